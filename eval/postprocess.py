"""Clean-up of decoded text into the Penn-Treebank-like form of the published references.

These are the exact rules behind published scores, oddities included (an acronym `U . S . A .` becomes `U.S. . A .`):
they exist so that numbers can be compared, and none of them should be improved.
Source: the behavior of microsoft/unilm s2s-ft/evaluations and unilm-v1/src/qg, pinned by a golden test.
"""

from __future__ import annotations

import re
import string
from dataclasses import dataclass, field

_BRACKETS = {"(": "lrb", ")": "rrb", "[": "lsb", "]": "rsb", "{": "lcb", "}": "rcb"}
_UPPER = {bracket: f"-{name.upper()}-" for bracket, name in _BRACKETS.items()}
_LOWER = {bracket: f"-{name}-" for bracket, name in _BRACKETS.items()}
_ESCAPES = {"[UNK]": "UNK", "&": "&amp;", "<": "&lt;", ">": "&gt;"}


@dataclass(frozen=True)
class _Rules:
    """What a corpus does beyond the rules that all share."""

    replaced: dict[str, str]
    quotes_and_dashes: bool


_CORPORA = {
    "xsum": _Rules({}, quotes_and_dashes=False),
    "cnndm": _Rules(_UPPER, quotes_and_dashes=True),
    "gigaword": _Rules({**_LOWER, **_ESCAPES, "<unk>": "UNK"}, quotes_and_dashes=True),
    "qg": _Rules({**_LOWER, **_ESCAPES}, quotes_and_dashes=True),
}


def fix_tokenization(text: str, corpus: str) -> str:
    """Join what a WordPiece vocabulary has torn apart, and write brackets and quotes as the corpus does.

    Args:
        text: One line, its tokens between spaces.
        corpus: "xsum", "cnndm", "gigaword" or "qg".

    >>> fix_tokenization('he didn \\' t pay $ 3 , 000 ( " no " )', "cnndm")
    "he did n't pay $ 3,000 -LRB- `` no '' -RRB-"
    """
    joiner = _Joiner(text.split(), _CORPORA[corpus])
    while joiner.position < len(joiner.tokens):
        joiner.take()
    return " ".join(joiner.output)


def postprocess(prediction: str, corpus: str, trunc_len: int = 0, duplicate_rate: float = 1.0) -> str:
    """The text that is scored: tokens fixed, sentences (cnndm: divided by `[X_SEP]` or newlines) one a line.

    Args:
        prediction: One decoded line.
        corpus: As for `fix_tokenization`.
        trunc_len: Words to keep over all sentences; 0 keeps all.
        duplicate_rate: cnndm only. Drop a sentence if more than this share of its distinct words occurred earlier.
    """
    if corpus == "cnndm":
        fixed = (fix_tokenization(sentence, corpus) for sentence in re.split(r"\[X_SEP\]|\n", prediction))
        kept = [_spell_brackets(sentence, "()[]") for sentence in fixed]
        kept = [sentence for sentence in kept if len(sentence.split()) > 4]
        if 0 < duplicate_rate < 1:
            kept = _without_repeats(kept, duplicate_rate)
    elif corpus == "xsum":
        kept = [_spell_brackets(fix_tokenization(prediction, corpus), "()")]
    elif corpus == "gigaword":
        kept = [fix_tokenization(prediction, corpus).replace("1", "#")]  # the corpus writes every digit as #
    else:
        kept = [fix_tokenization(prediction, corpus).lower()]
    return "\n".join(_first_words(kept, trunc_len) if trunc_len else kept)


def one_line(text: str) -> str:
    """A post-processed text as one line of a file: `[X_SEP]` between its sentences."""
    return text.replace("\n", " [X_SEP] ").strip()


def _spell_brackets(text: str, brackets: str) -> str:
    for bracket in brackets:
        text = text.replace(bracket, f" {_UPPER[bracket]} ")
    return re.sub(" {2,}", " ", text)


def _without_repeats(sentences: list[str], rate: float) -> list[str]:
    seen: set[str] = set()
    kept = []
    for sentence in sentences:
        distinct = set(sentence.lower().split())
        if len(distinct & seen) / len(distinct) <= rate:
            kept.append(sentence)
        seen |= distinct
    return kept


def _first_words(sentences: list[str], limit: int) -> list[str]:
    kept: list[str] = []
    for sentence in sentences:
        if limit <= 0:
            break
        tokens = sentence.split()[:limit]
        kept.append(" ".join(tokens))
        limit -= len(tokens)
    return kept


@dataclass
class _Joiner:
    """Walks over the tokens of one line and writes the joined ones; the first rule that applies takes its tokens."""

    tokens: list[str]
    rules: _Rules
    output: list[str] = field(default_factory=list)
    position: int = 0
    open_quotes: dict[str, bool] = field(default_factory=lambda: {'"': False, "'": False})
    after_hyphen: bool = False

    def take(self) -> None:
        """Handle the token at `position` and move past what was used."""
        after_hyphen, self.after_hyphen = self.after_hyphen, False
        token = self.tokens[self.position]
        if token in self.rules.replaced:
            self._write(self.rules.replaced[token])
        elif token == '"' and self.rules.quotes_and_dashes:
            self._write(self._quote(token, "``", "''"))
        elif token == "'" and self._last().endswith("n") and self._ahead(1) == "t":
            self.output[-1] = self.output[-1][:-1]
            self._write("n't", used=2)
        elif token == "'" and self._ahead(1) in ("s", "d", "ll"):
            self._write("'" + self._ahead(1), used=2)
        elif token == "'" and self.rules.quotes_and_dashes:
            self._write(self._quote(token, "`", "'"))
        elif token == "." and self._ahead(1) == self._ahead(2) == ".":
            self._write("...", used=3)
        elif token == "," and _is_grouped_number(self._last()) and _is_grouped_number(self._ahead(1)):
            self._append("," + self._ahead(1), used=2)
        elif token == "." and self._last().isdigit() and self._ahead(1).isdigit():
            self._append("." + self._ahead(1), used=2)
        elif token == "." and _is_initial(self._last()) and self._initial_ahead(1):
            self._append_acronym()
        elif token == "-" and self.rules.quotes_and_dashes:
            self._dash()
        elif after_hyphen and self.output and token[0] not in string.punctuation:
            self._append(token)
        else:
            self._write(token)

    def _write(self, text: str, used: int = 1) -> None:
        self.output.append(text)
        self.position += used

    def _append(self, text: str, used: int = 1) -> None:
        self.output[-1] += text
        self.position += used

    def _last(self) -> str:
        return self.output[-1] if self.output else ""

    def _ahead(self, distance: int) -> str:
        """The token at this distance, "" past the end (a token is never empty)."""
        place = self.position + distance
        return self.tokens[place] if place < len(self.tokens) else ""

    def _quote(self, mark: str, opening: str, closing: str) -> str:
        self.open_quotes[mark] = not self.open_quotes[mark]
        return opening if self.open_quotes[mark] else closing

    def _initial_ahead(self, distance: int) -> bool:
        return _is_initial(self._ahead(distance)) and self._ahead(distance + 1) == "."

    def _append_acronym(self) -> None:
        end = 3
        while self._initial_ahead(end + 1):
            end += 2
        # Odd but published: whatever was appended, only the full stop and one initial are passed.
        self._append("".join(self.tokens[self.position : self.position + end]), used=2)

    def _dash(self) -> None:
        following = self._ahead(1)
        if following == "-":
            self._write("--", used=2)
        elif not following or self.position == 0:
            self._write("-")
        elif self._last() not in string.punctuation and following[0] not in string.punctuation:
            self._append("-")
            self.after_hyphen = True
        else:
            self._write("-")


def _is_grouped_number(token: str) -> bool:
    return bool(token) and all(character.isdigit() or character == "," for character in token)


def _is_initial(token: str) -> bool:
    return len(token) == 1 and token.isupper()
