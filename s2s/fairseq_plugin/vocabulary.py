"""Ids of a dictionary of fairseq and ids of a tokenizer."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import torch
from torch import Tensor

from s2s.data.batch import Ids
from s2s.data.tokenizer import Tokenizer
from s2s.errors import InputError, shown

ABSENT = -1
_PADDING = re.compile(r"madeupword\d{4}")
"""Items that fairseq appends, so that the size of a dictionary is a multiple of 8."""


class Vocabulary:
    """A dictionary whose items are those of a tokenizer.

    Its special items stand for those of the tokenizer: `<s>` for [CLS], `<pad>` for [PAD], `</s>` for [SEP] and `<unk>`
    for [UNK].

    Args:
        dictionary: A `fairseq.data.Dictionary`.

    Raises:
        InputError: an item is not in the tokenizer's vocabulary.
    """

    def __init__(self, dictionary: Any, tokenizer: Tokenizer, where: str) -> None:
        special = tokenizer.special
        unknown = ABSENT if tokenizer.unknown is None else tokenizer.unknown
        known = {
            dictionary.bos(): special.cls,
            dictionary.pad(): special.pad,
            dictionary.eos(): special.sep,
            dictionary.unk(): unknown,
        }
        items = {item: id for id, item in enumerate(tokenizer.tokens(range(tokenizer.vocab_size)))}
        for id, item in enumerate(dictionary.symbols):
            if id not in known and item not in items and not _PADDING.fullmatch(item):
                raise InputError(
                    f"{where}: {shown(item)} is not in the vocabulary of tokenizer {tokenizer.name}; "
                    "`unilatent prepare fairseq-text` writes a dictionary that fits"
                )
        ids = [known.get(id, items.get(item, ABSENT)) for id, item in enumerate(dictionary.symbols)]
        self.dictionary = dictionary
        self._ids: Ids = np.array(ids, np.int64)
        self._unknown = unknown

    def ids(self, found: Any) -> Ids:
        """Ids of the tokenizer, of those of the dictionary `(n,)`, whose end and padding are left out."""
        given = np.asarray(found)
        given = given[(given != self.dictionary.pad()) & (given != self.dictionary.eos())]
        ids = self._ids[given]
        return np.where(ids == ABSENT, self._unknown, ids)

    def tokens(self, found: Tensor) -> Tensor:
        """Ids of the tokenizer, of generated ones of the dictionary, of any shape."""
        return torch.from_numpy(self._ids).to(found.device)[found]

    def scores(self, logits: Tensor) -> Tensor:
        """Scores of the items of the dictionary, `(..., D)`, of those of the tokenizer's, `(..., V)`."""
        ids = torch.from_numpy(self._ids).to(logits.device)
        chosen = logits.index_select(-1, ids.clamp(min=0))
        return chosen.masked_fill_(ids == ABSENT, -torch.inf)
