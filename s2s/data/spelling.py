"""The spelling of outputs that a model without capitals and accents writes: taken from the source, else learned.

The model writes "perl module for tcp / ip"; where the source has "TCP/IP", and the training texts have "Perl", the
output becomes "Perl module for TCP/IP". References of a test set are never looked at.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from s2s.durable import write_whole
from s2s.json_files import dump_json, read_object

FILE = "spelling.json"
_TOKEN = re.compile(r"\[[A-Z][A-Z_]*\]|[^\W_]+|[^\w\s]|_")
_LEARNED_CHARACTERS = 5_000_000
_MOST_LEARNED = 20_000
_PLURALS = ("s", "es")


class _Token(NamedTuple):
    """A word or mark: without capitals and accents; as written; and whether a blank comes before it."""

    key: str
    written: str
    blank: bool


class Spelling:
    """How words and marks are written.

    Args:
        words: Words without capitals and accents, and how texts write them inside sentences.
        marks: Words and the marks beside them ("node . js", ". js", "node ."), and whether blanks come before and after
            the mark, as "00", "01", "10" or "11".
        capital: Whether outputs begin with a capital.
    """

    def __init__(self, words: dict[str, str], marks: dict[str, str], capital: bool) -> None:
        self._words = words
        self._marks = marks
        self._capital = capital

    @classmethod
    def learn(cls, pairs: Iterable[Sequence[str]]) -> Spelling:
        """From the sources and targets of training data, or of the first 5 million characters."""
        words: dict[str, Counter[str]] = defaultdict(Counter)
        marks: dict[str, Counter[str]] = defaultdict(Counter)
        first, characters = [], 0
        for pair in pairs:
            for text in pair:
                tokens = _split(text)
                for index, begins in enumerate(_begins(tokens)):
                    if tokens[index].written[0].isalpha() and not begins:
                        words[tokens[index].key][tokens[index].written] += 1
                    for context in _contexts(tokens, index):
                        marks[context][_blanks(tokens, index)] += 1
            first.extend(_split(pair[1])[:1])
            characters += sum(map(len, pair))
            if characters > _LEARNED_CHARACTERS:
                break
        usual = _usual(words, 2)
        capitals = [token.written[0].isupper() for token in first if usual.get(token.key) == token.key]
        return cls(usual, _usual(marks, 3), 2 * sum(capitals) > len(capitals))

    @classmethod
    def load(cls, folder: Path) -> Spelling:
        """What a run folder holds; nothing is learned where it lacks the file."""
        if not (folder / FILE).exists():
            return cls({}, {}, False)
        found = read_object(folder / FILE)
        return cls(found["words"], found["marks"], found["capital"])

    def save(self, folder: Path) -> None:
        """Write the file that `load` reads."""
        found = {"words": self._words, "marks": self._marks, "capital": self._capital}
        write_whole(folder / FILE, dump_json(found, indent=0).encode("utf-8") + b"\n")

    def restore(self, text: str, source: str) -> str:
        """The text with its words as the source writes them; blanks as in the longest passages that both share."""
        tokens, known = _split(text), _split(source)
        blanks = [token.blank for token in tokens]
        for index in range(len(tokens)):
            for context in _contexts(tokens, index):
                if context in self._marks:
                    blanks[index : index + 2] = [blank == "1" for blank in self._marks[context]][: len(blanks) - index]
                    break
        for start, end, place in _shared(tokens, known):
            blanks[start + 1 : end] = [token.blank for token in known[place + 1 : place + end - start]]
        names = self._names(known)
        written = [self._written(token, names) for token in tokens]
        if self._capital and written and written[0].islower():
            written[0] = written[0][0].upper() + written[0][1:]
        parts = zip(written, blanks, strict=True)
        return "".join(f" {word}" if blank else word for word, blank in parts).strip()

    def _names(self, source: list[_Token]) -> dict[str, str]:
        """How the source writes its words; a capital at the beginning of a sentence is not of the word."""
        forms: dict[str, Counter[str]] = defaultdict(Counter)
        names = {}
        for token, begins in zip(source, _begins(source), strict=True):
            if not begins:
                forms[token.key][token.written] += 1
            elif not token.written[1:].islower() and len(token.written) > 1:
                names[token.key] = token.written
            else:
                names.setdefault(token.key, self._words.get(token.key, token.written if self._words else token.key))
        return names | {key: counts.most_common(1)[0][0] for key, counts in forms.items()}

    def _written(self, token: _Token, names: dict[str, str]) -> str:
        if token.key in names:
            return names[token.key]
        for ending in _PLURALS:  # OSGi, APIs
            name = names.get(token.key.removesuffix(ending), "") if token.key.endswith(ending) else ""
            if name[1:].lower() != name[1:]:
                return name + ending
        return self._words.get(token.key, token.written)


def _split(text: str) -> list[_Token]:
    tokens, end = [], 0
    for match in _TOKEN.finditer(text):
        tokens.append(_Token(_key(match[0]), match[0], match.start() > end))
        end = match.end()
    return tokens


def _key(word: str) -> str:
    if word.isascii():
        return word.lower()
    plain = unicodedata.normalize("NFD", word.lower())
    return "".join(char for char in plain if unicodedata.category(char) != "Mn") or word


def _begins(tokens: list[_Token]) -> Iterator[bool]:
    """Whether each token is the first word of a sentence."""
    new = True
    for token in tokens:
        is_word = token.written[0].isalnum()
        yield new and is_word
        new = (new and not is_word) or token.written in (".", "!", "?", ":", "*")


def _contexts(tokens: list[_Token], index: int) -> list[str]:
    """A mark with its neighbors, longest first; none for a word."""
    mark = tokens[index].key
    if mark[0].isalnum() or len(mark) > 1:
        return []
    before = tokens[index - 1].key if index else ""
    after = tokens[index + 1].key if index + 1 < len(tokens) else ""
    return [f"{before} {mark} {after}", f" {mark} {after}", f"{before} {mark} "]


def _blanks(tokens: list[_Token], index: int) -> str:
    after = index + 1 < len(tokens) and tokens[index + 1].blank
    return f"{tokens[index].blank:d}{after:d}"


def _usual(counts: dict[str, Counter[str]], fewest: int) -> dict[str, str]:
    """The usual form of what is frequent."""
    often = Counter({key: found.total() for key, found in counts.items() if found.total() >= fewest})
    return {key: counts[key].most_common(1)[0][0] for key, _ in often.most_common(_MOST_LEARNED)}


def _shared(tokens: list[_Token], source: list[_Token]) -> Iterator[tuple[int, int, int]]:
    """Passages of at least two tokens that the source has too: from, to, and where in the source; longest first."""
    places = defaultdict(list)
    for place, token in enumerate(source):
        places[token.key].append(place)
    start = 0
    while start < len(tokens):
        length, place = max(
            ((_common(tokens[start:], source[place:]), -place) for place in places[tokens[start].key]), default=(1, 0)
        )
        if length > 1:
            yield start, start + length, -place
        start += length


def _common(first: list[_Token], second: list[_Token]) -> int:
    pairs = enumerate(zip(first, second, strict=False))
    return next((index for index, (one, other) in pairs if one.key != other.key), min(len(first), len(second)))
