"""A model that is a table of random scores, to compare searches with their rules."""

from __future__ import annotations

import torch
from torch import Tensor

from s2s.data.batch import Feeding, SourceBatch
from s2s.decoding.base import Hypothesis

END = 0
VOCABULARY = ["end", *"abcdefghij"]


class TableModel:
    """Scores that depend on the source, the last two tokens and the step, so that a lost parent shows."""

    def __init__(self, vocab_size: int, seed: int = 0, sharpness: float = 2.0) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.table = torch.randn(50, vocab_size + 1, vocab_size + 1, vocab_size, generator=generator) * sharpness
        self.vocab_size = vocab_size

    def row(self, source: int, tokens: list[int]) -> Tensor:
        *_, before, last = [self.vocab_size, self.vocab_size, *tokens]
        return self.table[(source + 7 * len(tokens)) % 50, before, last]

    def check_lengths(self, lengths: Tensor, max_steps: int) -> None:
        """Takes all."""

    def start(self, sources: SourceBatch, max_steps: int) -> TableState:
        return TableState([[(source, [])] for source in sources.tokens[:, 0].tolist()], max_steps)

    def step(self, state: TableState, tokens: Tensor | None) -> Tensor:
        state.steps -= 1
        assert state.steps >= 0, "more steps than were asked for"
        if tokens is not None:
            state.append(tokens.tolist())
        return torch.stack([torch.stack([self.row(*hypothesis) for hypothesis in row]) for row in state.rows])


class TableState:
    """What the table needs: each hypothesis' source and tokens."""

    def __init__(self, rows: list[list[tuple[int, list[int]]]], steps: int) -> None:
        self.rows, self.steps = rows, steps

    def append(self, tokens: list[list[int]]) -> None:
        self.rows = [
            [(source, [*path, token]) for (source, path), token in zip(row, new, strict=True)]
            for row, new in zip(self.rows, tokens, strict=True)
        ]

    def select(self, sentences: Tensor | None, parents: Tensor) -> None:
        kept = self.rows if sentences is None else [self.rows[i] for i in sentences.tolist()]
        self.rows = [[row[p] for p in chosen] for row, chosen in zip(kept, parents.tolist(), strict=True)]


def sources_of(values: list[int], prefixes: list[list[int]] | None = None) -> SourceBatch:
    return SourceBatch(
        ids=[str(value) for value in values],
        tokens=torch.tensor(values)[:, None],
        lengths=torch.ones(len(values), dtype=torch.int64),
        feeding=Feeding(end=END, start=1),
        prefixes=prefixes or [[] for _ in values],
    )


def log_prob_of(model: TableModel, source: int, tokens: list[int]) -> float:
    return sum(model.row(source, tokens[:i]).log_softmax(-1)[token].item() for i, token in enumerate(tokens))


def with_end(hypothesis: Hypothesis) -> list[int]:
    return hypothesis.tokens + [END] * hypothesis.finished
