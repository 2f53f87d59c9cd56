"""Pairs of ids from fairseq's files, as examples of ours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from fairseq.data import FairseqDataset
from fairseq.data.data_utils import collate_tokens
from numpy.typing import NDArray
from torch import Tensor

from s2s.data.corpus import Corpus, Ragged
from s2s.data.pair_dataset import PairDataset
from s2s.tasks.seq2seq import Seq2Seq

from .vocabulary import Vocabulary

BATCH = "unilatent"
"""Where the `TokenBatch` of a sample is."""


class Pairs(FairseqDataset):
    """Sources and targets by index, and our examples of them; without targets, sources to generate from.

    Args:
        sources, targets: Ids of the dictionaries with their end, as fairseq stores them.
        constraints: What the outputs must contain, as fairseq packs it.
        seed: Of the noise; that of an example depends on it, the epoch and the index alone.
    """

    def __init__(
        self,
        pairs: Seq2Seq,
        vocabularies: tuple[Vocabulary, Vocabulary],
        sources: Any,
        targets: Any | None,
        seed: int,
        constraints: Tensor | None = None,
    ) -> None:
        self._pairs, self._vocabularies = pairs, vocabularies
        self._sources, self._targets, self._constraints = sources, targets, constraints
        self._examples = None if targets is None else self._laid_out(targets, seed)
        most_source, most_target = pairs.room
        read = np.minimum(_lengths(sources), most_source + 1)
        written = np.zeros_like(read) if targets is None else np.minimum(_lengths(targets), most_target + 1)
        self._lengths: NDArray[np.int64] = read + (2 if pairs.config.method == "pseudo_masked" else 1) * written
        self._epoch = 0

    def _laid_out(self, targets: Any, seed: int) -> PairDataset:
        columns = Ragged("i"), Ragged("i")
        for column, found, vocabulary, most in zip(
            columns, (self._sources, targets), self._vocabularies, self._pairs.room, strict=True
        ):
            column.extend(vocabulary.ids(found[index])[:most] for index in range(len(found)))
        names = Ragged("B")
        names.extend(str(index).encode() for index in range(len(self._sources)))
        return self._pairs.examples(Corpus(*columns, names), seed)

    def __len__(self) -> int:
        return len(self._sources)

    def __getitem__(self, index: int) -> dict[str, Any]:
        example = None if self._examples is None else self._examples.example(index, self._epoch)
        return {"id": index, "example": example}

    def set_epoch(self, epoch: int) -> None:
        """Epochs count from 1 in fairseq, from 0 here."""
        self._epoch = epoch - 1

    def collater(self, samples: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """A batch in fairseq's form, and ours."""
        if not samples:
            return {}
        numbers = [sample["id"] for sample in samples]
        source, target = (vocabulary.dictionary for vocabulary in self._vocabularies)
        read = [self._cut(self._sources[number], 0) for number in numbers]
        batch: dict[str, Any] = {
            "id": torch.tensor(numbers),
            "nsentences": len(numbers),
            "ntokens": sum(map(len, read)),
            "net_input": {
                "src_tokens": collate_tokens(read, source.pad()),
                "src_lengths": torch.tensor([len(row) for row in read]),
            },
            "target": None,
        }
        if self._targets is not None:
            written = [self._cut(self._targets[number], 1) for number in numbers]
            batch |= {"target": collate_tokens(written, target.pad()), "ntokens": sum(map(len, written))}
            batch[BATCH] = self._pairs.collate([sample["example"] for sample in samples])
        if self._constraints is not None:
            batch["constraints"] = self._constraints[numbers]
        return batch

    def _cut(self, ids: Tensor, side: int) -> Tensor:
        """The ids that are kept, and the end."""
        end = self._vocabularies[side].dictionary.eos()
        kept = ids[ids != end][: self._pairs.room[side]]
        return torch.cat([kept, kept.new_tensor([end])]).long()

    def num_tokens(self, index: int) -> int:
        """Slots of an example, for `--max-tokens`."""
        return int(self._lengths[index])

    def num_tokens_vec(self, indices: NDArray[np.int64]) -> NDArray[np.int64]:
        """`num_tokens` of many."""
        return self._lengths[indices]

    def size(self, index: int) -> int:
        """See `num_tokens`."""
        return self.num_tokens(index)

    def ordered_indices(self) -> NDArray[np.int64]:
        """A random order, sorted by length; fairseq has seeded numpy."""
        order = np.random.permutation(len(self))
        return order[np.argsort(self._lengths[order], kind="stable")]

    def batch_by_size(
        self,
        indices: NDArray[np.int64],
        max_tokens: int | None = None,
        max_sentences: int | None = None,
        required_batch_size_multiple: int = 1,
    ) -> list[NDArray[np.int64]]:
        """Batches of all indices. With a multiple, 8 by default, fairseq leaves out the last sentences of a split."""
        return super().batch_by_size(indices, max_tokens, max_sentences, 1)  # type: ignore[no-any-return]


def _lengths(rows: Any) -> NDArray[np.int64]:
    return np.array([len(rows[index]) for index in range(len(rows))], np.int64)
