"""What outputs look like, whatever they mean: new words, length, repetition, copies of each other, nothing at all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from eval.metric import Metric, mean, ratio
from eval.words import ngrams, words

_WORDS = "words are lower-cased runs of letters and digits"


def surface(hypotheses: Sequence[str], references: Sequence[str], sources: Sequence[str] | None) -> list[Metric]:
    """Novelty (if the sources are known), length, repetition, duplicates and empty outputs.

    Args:
        hypotheses: Texts; an empty one counts as such.
        references: As many texts.
        sources: As many texts, or None.
    """
    said = [words(text) for text in hypotheses]
    meant = [words(text) for text in references]
    copies = Counter(text.strip() for text in hypotheses)
    novelty = [] if sources is None else [_novelty(said, [words(text) for text in sources], size) for size in (1, 2)]
    lengths = [float(len(tokens)) for tokens in said]
    return [
        *novelty,
        mean("words", lengths, f"mean number of words of an output; {_WORDS}", scale=1),
        ratio(
            "length %", lengths, [len(tokens) for tokens in meant], "words of all outputs, % of those of all references"
        ),
        ratio(
            "repeated %",
            [_repeats(tokens) for tokens in said],
            [max(len(tokens) - 1, 0) for tokens in said],
            f"% of the outputs' 2-grams that stood earlier in the same output; {_WORDS}",
        ),
        mean(
            "duplicates %",
            [float(bool(text.strip()) and copies[text.strip()] > 1) for text in hypotheses],
            "% of outputs that are, letter for letter, the output of another example too",
        ),
        mean("empty %", [float(not text.strip()) for text in hypotheses], "% of outputs without any text"),
    ]


def _novelty(said: list[list[str]], sources: list[list[str]], size: int) -> Metric:
    new, all_of_them = [], []
    for tokens, source in zip(said, sources, strict=True):
        known = set(ngrams(source, size))
        made = ngrams(tokens, size)
        new.append(sum(ngram not in known for ngram in made))
        all_of_them.append(len(made))
    return ratio(
        f"new {size}-grams %", new, all_of_them, f"% of the outputs' {size}-grams not in their source; {_WORDS}"
    )


def _repeats(tokens: list[str]) -> int:
    pairs = ngrams(tokens, 2)
    return len(pairs) - len(set(pairs))
