"""Restores capitals, accents and blanks in the outputs of a model without them: from the source, else as learned.

"perl module for tcp / ip" becomes "Perl module for TCP/IP" if the source has "TCP/IP" and the training texts have
"Perl". References of a test set are never read.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Annotated, NamedTuple

from pydantic import Field

from s2s.config import Section, parse_section
from s2s.durable import write_whole
from s2s.errors import ConfigError, InputError
from s2s.json_files import dump_json, read_object

FILE = "spelling.json"
_TOKEN = re.compile(r"\[[A-Z][A-Z_]*\]|[^\W_]+|[^\w\s]|_")
_LEARNED_CHARACTERS = 5_000_000
_MOST_LEARNED = 20_000
_PLURALS = ("s", "es")
_ENDS = frozenset(".!?:*")
_MOST_PLACES = 50
_Places = dict[str, list[int]]


class _Token(NamedTuple):
    """A word or mark: without capitals and accents, as written, the blanks before it, if it begins a sentence."""

    key: str
    written: str
    blank: str
    begins: bool


class Spelling(Section):
    """How words and marks are written."""

    words: dict[str, str]
    """Words without capitals and accents, and how texts write them inside sentences."""
    marks: dict[str, Annotated[str, Field(pattern="^[01][01]$")]]
    """Marks between words ("node . js", ". js", "node ."), and whether blanks come before and after the mark."""
    capital: bool
    """Whether outputs begin with a capital."""

    @classmethod
    def learn(cls, pairs: Iterable[Sequence[str]]) -> Spelling:
        """From the sources and targets of training data, at most the first 5 million characters."""
        words: dict[str, Counter[str]] = defaultdict(Counter)
        marks: dict[str, Counter[str]] = defaultdict(Counter)
        first, characters = [], 0
        for pair in pairs:
            for text in pair:
                tokens = _split(text)
                for index, token in enumerate(tokens):
                    if token.written[0].isalpha() and not token.begins:
                        words[token.key][token.written] += 1
                    for context in _contexts(tokens, index):
                        after = index + 1 < len(tokens) and tokens[index + 1].blank
                        marks[context][f"{bool(token.blank):d}{bool(after):d}"] += 1
            first.extend(_split(pair[1])[:1])
            characters += sum(map(len, pair))
            if characters > _LEARNED_CHARACTERS:
                break
        usual = _usual(words, 2)
        capitals = [token.written[0].isupper() for token in first if usual.get(token.key) == token.key]
        return cls(words=usual, marks=_usual(marks, 3), capital=2 * sum(capitals) > len(capitals))

    @classmethod
    def load(cls, folder: Path) -> Spelling:
        """What a run folder holds; runs of former versions lack the file and have learned nothing."""
        path = folder / FILE
        if not path.exists():
            return cls(words={}, marks={}, capital=False)
        try:
            return parse_section(cls, read_object(path), str(path))
        except InputError as error:  # the fault is in the run, not in the record that is read
            raise ConfigError(str(error)) from error

    def save(self, folder: Path) -> None:
        """Write the file that `load` reads."""
        write_whole(folder / FILE, dump_json(self.model_dump(), indent=0).encode("utf-8") + b"\n")

    def restore(self, text: str, source: str) -> str:
        """The text with words written as in the source, and blanks as in the longest passages that both share."""
        tokens, (known, places) = _split(text), _read(source)
        wanted = [bool(token.blank) for token in tokens]
        for index in range(len(tokens)):
            learned = (self.marks[context] for context in _contexts(tokens, index) if context in self.marks)
            for after, blank in enumerate(next(learned, "")[: len(tokens) - index]):
                wanted[index + after] = blank == "1"
        for start, end, place in _shared(tokens, known, places):
            wanted[start + 1 : end] = [bool(token.blank) for token in known[place + 1 : place + end - start]]
        written = [self._written(token, known, places) for token in tokens]
        if self.capital and written and written[0].islower():
            written[0] = written[0][0].upper() + written[0][1:]
        blanks = [(token.blank or " ") if blank else "" for token, blank in zip(tokens, wanted, strict=True)]
        return "".join(itertools.chain.from_iterable(zip(blanks, written, strict=True))).strip()

    def _written(self, token: _Token, known: list[_Token], places: _Places) -> str:
        name = self._name(token.key, known, places)
        for ending in _PLURALS if name is None else ():  # OSGi, APIs
            if token.key.endswith(ending):
                stem = self._name(token.key.removesuffix(ending), known, places) or ""
                if stem[1:].lower() != stem[1:]:
                    return stem + ending
        return self.words.get(token.key, token.written) if name is None else name

    def _name(self, key: str, known: list[_Token], places: _Places) -> str | None:
        """How the source writes a word, without the capital at the beginning of a sentence."""
        found = [known[place] for place in places.get(key, ())]
        inside = Counter(token.written for token in found if not token.begins)
        if inside or not found:
            return inside.most_common(1)[0][0] if inside else None
        own = [token.written for token in found if token.written[1:].lower() != token.written[1:]]
        return own[0] if own else self.words.get(key, found[0].written if self.words else key)


def _split(text: str) -> list[_Token]:
    tokens, end, begins = [], 0, True
    for match in _TOKEN.finditer(text):
        is_word = match[0][0].isalnum()
        tokens.append(_Token(_key(match[0]), match[0], text[end : match.start()], begins and is_word))
        begins, end = (begins and not is_word) or match[0] in _ENDS, match.end()
    return tokens


@lru_cache(maxsize=4)
def _read(source: str) -> tuple[list[_Token], _Places]:
    """The tokens of a source, and the first places of each."""
    tokens = _split(source)
    places: _Places = defaultdict(list)
    for place, token in enumerate(tokens):
        if len(places[token.key]) < _MOST_PLACES:
            places[token.key].append(place)
    return tokens, dict(places)


def _key(word: str) -> str:
    if word.isascii():
        return word.lower()
    plain = unicodedata.normalize("NFD", word.lower())
    return "".join(char for char in plain if unicodedata.category(char) != "Mn") or word


def _contexts(tokens: list[_Token], index: int) -> list[str]:
    """A mark with its neighbors, longest first; none for a word."""
    mark = tokens[index].key
    if mark[0].isalnum() or len(mark) > 1:
        return []
    before = tokens[index - 1].key if index else ""
    after = tokens[index + 1].key if index + 1 < len(tokens) else ""
    return [f"{before} {mark} {after}", f" {mark} {after}", f"{before} {mark} "]


def _usual(counts: dict[str, Counter[str]], fewest: int) -> dict[str, str]:
    """The most common form of frequent keys."""
    often = Counter({key: found.total() for key, found in counts.items() if found.total() >= fewest})
    return {key: counts[key].most_common(1)[0][0] for key, _ in often.most_common(_MOST_LEARNED)}


def _shared(tokens: list[_Token], known: list[_Token], places: _Places) -> Iterator[tuple[int, int, int]]:
    """Passages of two or more tokens that are also in the source, as start, end and place in the source."""
    start = 0
    while start < len(tokens):
        lengths = {place: _common(tokens, start, known, place) for place in places.get(tokens[start].key, ())}
        place = max(lengths, key=lambda place: lengths[place], default=0)
        length = lengths.get(place, 1)
        if length > 1:
            yield start, start + length, place
        start += length


def _common(tokens: list[_Token], start: int, known: list[_Token], place: int) -> int:
    most = min(len(tokens) - start, len(known) - place)
    return next((i for i in range(most) if tokens[start + i].key != known[place + i].key), most)
