"""Words that a vocabulary lacks, and the ids by which a model copies them from its source.

Beyond the V items of a vocabulary, the unknown words of one source have the ids V, V + 1, ... in their order. Example,
a vocabulary without "anna" and "bergen", whose unknown token is 1:

    source   anna lives in bergen       tokens 1 7 8 1     extended V 7 8 V+1
    target   where does anna live       tokens 9 6 1 5     extended 9 6 V 5

Source: See et al. 2017 (arXiv 1704.04368), section 2.2.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import numpy as np

from s2s.data.batch import Ids
from s2s.data.readable import join_words
from s2s.data.tokenizer import Tokenizer


def unknown_words(text: str | list[str], ids: Sequence[int], tokenizer: Tokenizer) -> list[str]:
    """The text of each piece of `ids` that is unknown, in order; `text` may be longer than its pieces."""
    if tokenizer.unknown is None or tokenizer.unknown not in ids:
        return []
    items = text if isinstance(text, list) else [text[slice(*span)] for span in tokenizer.spans(text)]
    return [item for id, item in zip(ids, items, strict=False) if id == tokenizer.unknown]


class Extension:
    """The unknown words of one source: the pieces `ids` of `text`."""

    def __init__(self, text: str | list[str], ids: Sequence[int], tokenizer: Tokenizer) -> None:
        self._tokenizer, self._key = tokenizer, str.lower if tokenizer.drops_case else str
        found = unknown_words(text, ids, tokenizer)
        self._numbers: dict[str, int] = {}
        self.words: list[str] = []
        for word in found:
            if self._key(word) not in self._numbers:
                self._numbers[self._key(word)] = tokenizer.vocab_size + len(self.words)
                self.words.append(word)

    def extend(self, text: str | list[str], ids: Sequence[int]) -> list[int]:
        """The ids of a text, in which those of unknown words that the source has are extended."""
        words = iter(unknown_words(text, ids, self._tokenizer))
        unknown = self._tokenizer.unknown
        return [id if id != unknown else self._numbers.get(self._key(next(words)), id) for id in ids]

    def text(self, ids: Sequence[int], write: Callable[[Sequence[int]], str], attach: bool) -> str:
        """The text of ids, some of them extended.

        Args:
            write: The text of ids of the vocabulary.
            attach: Whether punctuation is attached to words, also to copied ones.
        """
        size, parts = self._tokenizer.vocab_size, list[str]()
        for is_known, run in itertools.groupby(ids, lambda id: id < size):
            here = list(run)
            parts += [write(here)] if is_known else [self.words[id - size] for id in here]
        whole = " ".join(filter(None, parts))
        return join_words(whole.split()) if attach else whole


def known(ids: Ids, tokenizer: Tokenizer) -> Ids:
    """Extended ids with the unknown token in place of copied words."""
    return ids if tokenizer.unknown is None else np.where(ids >= tokenizer.vocab_size, tokenizer.unknown, ids)
