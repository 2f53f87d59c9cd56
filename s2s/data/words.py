"""Words and sentences of a text in any script, for metrics that are not bound to a benchmark's own tokens."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

import regex

from s2s.packages import load

WORDS = "words: lower-cased runs of letters, digits and marks; single characters in scripts without blanks"

# Scripts written without blanks between words; Complex_Context is Thai, Lao, Khmer, Burmese and their relatives.
_UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Bopomofo}\p{Yi}\p{Tibetan}\p{Line_Break=Complex_Context}"
_JOINERS = r"\u200c\u200d"  # inside words of Persian and of Indian languages
_WORD = regex.compile(
    rf"(?=[[\p{{L}}\p{{N}}]&&[{_UNSPACED}]])\X"
    rf"|[[\p{{L}}\p{{N}}]--[{_UNSPACED}]][[\p{{L}}\p{{N}}\p{{M}}{_JOINERS}]--[{_UNSPACED}]]*",
    regex.V1,
)
_TOKEN = regex.compile(rf"(?=[{_UNSPACED}])\X|[[\S]--[{_UNSPACED}]]+", regex.V1)
_LETTER = regex.compile(r"\p{L}")
_UNSPACED_LETTER = regex.compile(rf"[\p{{L}}&&[{_UNSPACED}]]", regex.V1)
_SEPARATOR = regex.compile(r"\s*(?:\[X_SEP\]|<S_SEP>|\n)\s*")
_SENTENCE_END = regex.compile(r"(?<=[\p{Sentence_Break=ATerm}\p{Sentence_Break=STerm}])\s+|(?<=[。！？｡])\s*")

_UNSPACED_SHARE = 0.25
_NOT_CHINESE = regex.compile(r"[\p{Hiragana}\p{Katakana}\p{Line_Break=Complex_Context}\p{Tibetan}\p{Yi}]")
_CHINESE = regex.compile(r"\p{Han}")


def nfc(text: str) -> str:
    """The text in Unicode's normal form C: canonically equal texts become equal, and nothing else does.

    Not form KC, which also equates what may differ in meaning, such as x² and x2.
    """
    return unicodedata.normalize("NFC", text)


def words(text: str) -> list[str]:
    """Lower-cased words; on ASCII text the same as the tokens of the rouge-score package.

    >>> words("Don't re-run it, 2 次!")
    ['don', 't', 're', 'run', 'it', '2', '次']
    """
    return list(_WORD.findall(nfc(text).lower()))


def first_tokens(text: str, count: int) -> str:
    """The text up to its `count`-th token: what blanks divide, or one character in a script without blanks."""
    ends = [match.end() for match in _TOKEN.finditer(text)]
    return text if len(ends) <= count else text[: ends[count - 1]] if count else ""


def has_blanks_between_words(texts: Sequence[str]) -> bool:
    """Whether fewer than a quarter of the letters belong to scripts that put no blanks between words."""
    letters = sum(len(_LETTER.findall(text)) for text in texts)
    unspaced = sum(len(_UNSPACED_LETTER.findall(text)) for text in texts)
    return unspaced < max(1, _UNSPACED_SHARE * letters)


def bleu_tokenization(texts: Sequence[str]) -> str:
    """The tokenization of sacrebleu for the script of these texts: 13a, or without blanks between words zh or char."""
    if has_blanks_between_words(texts):
        return "13a"
    others, chinese = (sum(len(kind.findall(text)) for text in texts) for kind in (_NOT_CHINESE, _CHINESE))
    return "zh" if others < 0.05 * chinese else "char"


def sentences(text: str) -> list[str]:
    """The sentences of a text whose sentences are marked: by newlines, `[X_SEP]` or `<S_SEP>`."""
    return [part for part in _SEPARATOR.split(text.strip()) if part]


def split_sentences(text: str) -> list[str]:
    """The sentences of running text: a marked end, or a mark that ends sentences in its script before a blank."""
    return [part for marked in sentences(text) for part in _SENTENCE_END.split(marked) if part]


def ngrams(tokens: list[str], size: int) -> list[tuple[str, ...]]:
    """All runs of `size` tokens, in order."""
    return list(zip(*(tokens[start:] for start in range(size)), strict=False))


class WordTokenizer:
    """Words of any script, the English ones stemmed, in the form that the package rouge-score wants a tokenizer."""

    def __init__(self, stem: bool) -> None:
        self._stem = load("nltk.stem.porter", "eval").PorterStemmer().stem if stem else None

    def tokenize(self, text: str) -> list[str]:
        """See `words`."""
        found = words(text)
        if self._stem is None:
            return found
        return [self._stem(word) if len(word) > 3 and word.isascii() else word for word in found]
