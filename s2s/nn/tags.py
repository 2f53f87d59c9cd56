"""Embeddings of the tags of tokens, summed with those of words or joined to them."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from s2s.config import Fact, Section
from s2s.nn.linear import Linear
from s2s.nn.packing import Packing


class TagSection(Section):
    """How a model reads the features of tokens."""

    counts: Fact[dict[str, int]] = Field(default_factory=dict)
    """Number of tags of each feature; the task's."""
    join: Literal["sum", "concat"] = "sum"
    """Add the embeddings of tags to those of words; or put them beside and project both, as recurrent networks have."""
    size: int = Field(16, ge=1)
    """Width of the embedding of each tag that is put beside."""


class TagEmbeddings(nn.Module):
    """One table for each feature. The tag 0, of special tokens and outputs, is a zero vector.

    Source: Zhou et al. 2017 (arXiv 1704.01792) for embeddings that are put beside those of words.

    Args:
        width: Of the words.
        project: Whether words with embeddings beside them are projected to their width again.
    """

    def __init__(self, section: TagSection, width: int, project: bool = True) -> None:
        super().__init__()
        self._beside = section.join == "concat"
        size = section.size if self._beside else width
        self.tables = nn.ModuleList(nn.Embedding(count + 1, size, padding_idx=0) for count in section.counts.values())
        joined = width + size * len(self.tables) if self._beside else width
        self.project = Linear(joined, width) if self._beside and project else None
        self.width = joined if self.project is None else width
        """Of what it gives."""
        self._added = joined - width

    def start_(self, std: float) -> None:
        """Give the tables random rows and pass words on as they are; call it after the other weights are drawn."""
        if self.project is not None:
            nn.init.eye_(self.project.weight)
        for table in self.tables:
            assert isinstance(table, nn.Embedding)
            nn.init.normal_(table.weight, std=std)
            nn.init.zeros_(table.weight[0])

    def forward(self, words: Tensor, tags: Tensor | None) -> Tensor:
        """Words `(..., width)` with their tags `(..., F)`, or with none: `(..., self.width)`."""
        if not self._beside:
            return words if tags is None else words + sum(self._looked_up(tags))
        beside = [words.new_zeros(*words.shape[:-1], self._added)] if tags is None else self._looked_up(tags)
        joined = torch.cat([words, *beside], -1)
        return joined if self.project is None else self.project(joined)

    def _looked_up(self, tags: Tensor) -> list[Tensor]:
        return [table(column) for table, column in zip(self.tables, tags.unbind(-1), strict=True)]


def pack_tags(tags: Tensor | None, packing: Packing) -> Tensor | None:
    """The tags `(N, F)` of packed rows; those of the columns after the context are 0."""
    if tags is None:
        return None
    behind = packing.padded_steps.shape[1] - tags.shape[1]
    return packing.pack(F.pad(tags, (0, 0, 0, behind)))


def tag_embeddings(section: TagSection, width: int, project: bool = True) -> TagEmbeddings | None:
    """The embeddings of a section; None if the task has no features."""
    return TagEmbeddings(section, width, project) if section.counts else None
