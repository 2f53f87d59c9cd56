"""Words and sentences of a text, for metrics that are not bound to a benchmark's own tokens."""

from __future__ import annotations

import re

# A word is a run of letters and digits. In scripts written without spaces every character is one.
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai, Lao, Burmese, Khmer
    "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # kana and Chinese characters
)
_WORD = re.compile(f"[{_UNSPACED}]|[^\\W_{_UNSPACED}]+")
_SEPARATOR = re.compile(r"\s*(?:\[X_SEP\]|<S_SEP>|\n)\s*")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|(?<=[。！？])\s*")


def words(text: str) -> list[str]:
    """Lower-cased words; on ASCII text the same as the tokens of the rouge-score package.

    >>> words("Don't re-run it, 2 次!")
    ['don', 't', 're', 'run', 'it', '2', '次']
    """
    return _WORD.findall(text.lower())


def sentences(text: str) -> list[str]:
    """The sentences of a text whose sentences are marked: by newlines, `[X_SEP]` or `<S_SEP>`."""
    return [part for part in _SEPARATOR.split(text.strip()) if part]


def split_sentences(text: str) -> list[str]:
    """The sentences of running text: a marked end, or a full stop, `!` or `?` before white space."""
    return [part for marked in sentences(text) for part in _SENTENCE_END.split(marked) if part]


def ngrams(tokens: list[str], size: int) -> list[tuple[str, ...]]:
    """All runs of `size` tokens, in order."""
    return list(zip(*(tokens[start:] for start in range(size)), strict=False))
