"""Everyday texts for a teacher to read: from templates, WordNet and texts at hand, chosen for kinds and sounds.

Prose alone has few questions, exclamations and numbers, and its rare pairs of sounds stay rare. So all sources make a
pool, and texts are chosen from it by kind and by their sounds (`phonetic_coverage`).
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from data_prep.corpus_writer import listed
from data_prep.phonetic_coverage import Candidate, choose, diphones
from data_prep.sentence_templates import template_sentences
from data_prep.teacher_speech import readable, texts_of
from data_prep.wordnet_examples import read_wordnet
from latent.text.phonemes import PhonemeFrontEnd
from s2s.data.sentences import sentences
from s2s.durable import write_whole
from s2s.errors import InputError
from s2s.json_files import dump_json

SHARES = {"statement": 40, "question": 20, "exclamation": 10, "number": 15, "long": 15}
"""Of the texts, by kind, in percent."""
_SIGN = re.compile(r"[^\w .,;:!?'\"()%$£€-]|_")
_LONG = 18
"""Words of a long text."""
_MOST = 45
_TEMPLATES = 3
"""Sentences by template in the pool for each text that is wanted."""


@dataclass(frozen=True)
class Sources:
    """Where sentences come from besides the templates.

    Args:
        wordnet: See `read_wordnet`.
        texts: JSON lines.
        field: Their field.
    """

    wordnet: Path | None
    texts: Sequence[Path]
    field: str

    def sentences(self, count: int, seed: int) -> dict[str, Iterable[str]]:
        """Sentences by source, `count` of them by template."""
        found: dict[str, Iterable[str]] = {"templates": islice(template_sentences(seed), count)}
        if self.wordnet:
            found["wordnet"] = read_wordnet(self.wordnet)
        for path in self.texts:
            cut = (sentence for text in texts_of([path], self.field) for sentence in sentences(text))
            found[path.stem] = [sentence for sentence in cut if _is_sentence(sentence)]
        return found


def kind_of(text: str) -> str:
    """The kind of a text, one of `SHARES`: digits come before questions, these before exclamations and length."""
    if re.search(r"\d", text):
        return "number"
    if "?" in text:
        return "question"
    if "!" in text:
        return "exclamation"
    return "long" if text.count(" ") + 1 >= _LONG else "statement"


def write_teacher_texts(sources: Sources, output: Path, count: int, seed: int, held_out: Sequence[Path]) -> str:
    """Choose texts and write them as JSON lines, `{"id", "kind", "source", "text"}`; the first ones are chosen best.

    Args:
        sources: Where the sentences come from.
        output: The file; an older one is replaced.
        count: Number of texts; fewer are written if the sources have no more.
        seed: Of the templates and of the order.
        held_out: JSON lines with `text`; a text that holds one of these is left out.

    Returns:
        A report: texts by kind and by source, and how many pairs of sounds they cover.

    Raises:
        InputError: a source cannot be read, or the file cannot be written.
    """
    skipped: Counter[str] = Counter()
    pool = list(_pool(sources, count, seed, held_out, skipped))
    chosen = choose(pool, count, SHARES)
    if not chosen:
        raise InputError(f"{output}: no text to write; skipped {listed(skipped)}")
    lines = [
        {"id": f"t{number:06}", "kind": candidate.kind, "source": candidate.source, "text": candidate.text}
        for number, candidate in enumerate(chosen)
    ]
    write_whole(output, "".join(f"{dump_json(line)}\n" for line in lines).encode())
    return f"{output}: {_report(chosen, pool)}\nleft out of the pool: {listed(skipped) or 'none'}"


def _pool(
    sources: Sources, count: int, seed: int, held_out: Sequence[Path], skipped: Counter[str]
) -> Iterator[Candidate]:
    def skip(reason: str) -> None:
        skipped[reason] += 1

    front_end = PhonemeFrontEnd(PhonemeFrontEnd.learn([], None).pronunciations)  # guesses are poor examples
    chooser = random.Random(seed)
    kept_back = list(texts_of(held_out, "text"))
    for source, found in sources.sentences(count * _TEMPLATES, seed).items():
        for text, said in readable(_joined(found, chooser), "en", kept_back, skip):
            reading = front_end.read(said)
            if reading.spelled or reading.dropped:
                skip("texts with a word that the dictionary lacks")
            elif text.count(" ") >= _MOST:
                skip(f"texts of more than {_MOST} words")
            else:
                yield Candidate(text, source, kind_of(text), diphones(front_end, said))


def _joined(found: Iterable[str], chooser: random.Random) -> Iterator[str]:
    """The sentences in random order, one to three of them in a text: a voice must pause between sentences too."""
    left = list(dict.fromkeys(found))
    chooser.shuffle(left)
    start = 0
    while start < len(left):
        stop = start + chooser.choices((1, 2, 3), (4, 2, 1))[0]
        yield " ".join(left[start:stop])
        start = stop


def _is_sentence(text: str) -> bool:
    return text[0].isupper() and text[-1] in ".?!" and text.count(" ") >= 2 and not _SIGN.search(text)


def _report(chosen: Sequence[Candidate], pool: Sequence[Candidate]) -> str:
    kinds, origins = (Counter(getattr(text, name) for text in chosen) for name in ("kind", "source"))
    mine: Counter[tuple[str, str]] = Counter()
    for candidate in chosen:
        mine.update(candidate.diphones)
    everything = {pair for candidate in pool for pair in candidate.diphones}
    often = sum(times >= 10 for times in mine.values())
    return (
        f"{len(chosen):,} texts ({listed(kinds)}; {listed(origins)}), {sum(mine.values()):,} sounds\n"
        f"pairs of sounds: {len(mine):,} of {len(everything):,} in the pool, {often:,} of them ten times or more"
    )
