"""What outputs look like, whatever they mean: novelty, lead bias, length, repetition, copies, empty ones."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from eval.metric import Metric, mean, ratio
from s2s.data.words import WORDS, ngrams, words


def surface(hypotheses: Sequence[str], references: Sequence[str], sources: Sequence[str] | None) -> list[Metric]:
    """Novelty and lead bias (if the sources are known), length, repetition, duplicates and empty outputs."""
    outputs = [words(text) for text in hypotheses]
    targets = [words(text) for text in references]
    copies = Counter(text.strip() for text in hypotheses)
    lengths = [float(len(tokens)) for tokens in outputs]
    return [
        *([] if sources is None else _copying(outputs, [words(text) for text in sources])),
        mean("words", lengths, f"mean number of words of an output; {WORDS}", scale=1),
        ratio(
            "length %",
            lengths,
            [len(tokens) for tokens in targets],
            "words of all outputs, % of those of all references",
            note="no reference has a word",
        ),
        ratio(
            "repeated %",
            [_repeats(tokens) for tokens in outputs],
            [max(len(tokens) - 1, 0) for tokens in outputs],
            f"% of the outputs' 2-grams that stood earlier in the same output; {WORDS}",
            note="no output has a 2-gram",
        ),
        mean(
            "duplicates %",
            [float(bool(text.strip()) and copies[text.strip()] > 1) for text in hypotheses],
            "% of outputs that are, letter for letter, the output of another example too",
        ),
        mean("empty %", [float(not text.strip()) for text in hypotheses], "% of outputs without any text"),
    ]


def _copying(outputs: list[list[str]], sources: list[list[str]]) -> list[Metric]:
    """How much is new, and where in the sources the rest comes from."""
    return [*(_novelty(outputs, sources, size) for size in (1, 2)), _lead_bias(outputs, sources)]


def _novelty(outputs: list[list[str]], sources: list[list[str]], size: int) -> Metric:
    new, all_of_them = [], []
    for tokens, source in zip(outputs, sources, strict=True):
        known = set(ngrams(source, size))
        made = ngrams(tokens, size)
        new.append(sum(ngram not in known for ngram in made))
        all_of_them.append(len(made))
    signature = f"% of the outputs' {size}-grams not in their source; {WORDS}"
    return ratio(f"new {size}-grams %", new, all_of_them, signature, note=f"no output has a {size}-gram")


def _lead_bias(outputs: list[list[str]], sources: list[list[str]]) -> Metric:
    """Where copied 2-grams stand. One that stands in several places counts in all of them, in equal parts; a place on
    the edge of the first third counts in part.
    """
    leading, copied = [], []
    for tokens, source in zip(outputs, sources, strict=True):
        standing, shares = ngrams(source, 2), defaultdict[tuple[str, ...], list[float]](list)
        for place, ngram in enumerate(standing):
            shares[ngram].append(min(1.0, max(0.0, len(standing) / 3 - place)))
        found = [shares[ngram] for ngram in ngrams(tokens, 2) if ngram in shares]
        leading.append(sum(sum(places) / len(places) for places in found))
        copied.append(len(found))
    signature = f"% of the outputs' copied 2-grams from the first third of their source; even copying gives 33; {WORDS}"
    return ratio("lead bias %", leading, copied, signature, note="no output has a 2-gram of its source")


def _repeats(tokens: list[str]) -> int:
    pairs = ngrams(tokens, 2)
    return len(pairs) - len(set(pairs))
