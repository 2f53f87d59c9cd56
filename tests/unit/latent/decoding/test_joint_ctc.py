"""Search by attention and CTC together: equal to the same sums written out over all paths and all texts."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor

from latent.data.batch import LatentSources
from latent.decoding.joint_ctc import JointCTCSearch
from latent.nn.ctc import PrefixScores, by_recording
from s2s.data.batch import Feeding, SourceBatch
from s2s.errors import ConfigError

BLANK, END, VOCABULARY = 0, 1, 4


def spelled(path: Sequence[int]) -> tuple[int, ...]:
    """The text of a path of CTC."""
    return tuple(token for token, _ in itertools.groupby(path) if token != BLANK)


def log(value: float) -> float:
    return float(np.log(value)) if value else -np.inf


@lru_cache
def every_path(length: int) -> tuple[Tensor, list[tuple[int, ...]]]:
    """All paths of that many latents, `(N, T)`, and their texts."""
    paths = list(itertools.product(range(VOCABULARY), repeat=length))
    return torch.tensor(paths), [spelled(path) for path in paths]


def sums(log_probs: Tensor, prefix: tuple[int, ...]) -> tuple[float, float]:
    """Log-probabilities that a text begins with a prefix, and that it is the prefix: sums over all paths."""
    paths, found = every_path(len(log_probs))
    worth = log_probs.gather(1, paths.t()).sum(0).exp().tolist()
    begins = sum(value for value, text in zip(worth, found, strict=True) if text[: len(prefix)] == prefix)
    whole = sum(value for value, text in zip(worth, found, strict=True) if text == prefix)
    return log(begins), log(whole)


def drawn(seed: int, *shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (2 * torch.randn(*shape, generator=generator, dtype=torch.float64)).log_softmax(-1)


texts = st.lists(st.integers(2, VOCABULARY - 1), max_size=4)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 9999), st.lists(st.integers(1, 5), min_size=1, max_size=3), texts)
def test_prefixes_have_the_sums_over_all_paths(seed: int, lengths: list[int], text: list[int]) -> None:
    frames = drawn(seed, len(lengths), max(lengths), VOCABULARY)
    ctc = PrefixScores(frames, torch.tensor(lengths), BLANK)
    total = torch.zeros(len(lengths), dtype=torch.float64)
    for place in range(len(text) + 1):
        added = ctc.scores(END)
        for row, length in enumerate(lengths):
            prefix = tuple(text[:place])
            begins, whole = sums(frames[row, :length], prefix)
            assert float(total[row]) == pytest.approx(begins, abs=1e-9)
            if begins == -np.inf:
                assert bool((added[row, 0] == -torch.inf).all())
                continue
            wanted = [sums(frames[row, :length], (*prefix, token))[0] - begins for token in range(2, VOCABULARY)]
            assert added[row, 0].tolist() == pytest.approx([-np.inf, whole - begins, *wanted], abs=1e-9)
        if place < len(text):
            total = total + added[:, 0, text[place]]
            ctc.append(torch.full((len(lengths), 1), text[place]))


@dataclass
class TableState:
    """The tokens so far, `(B, K, S)`, and the rows of the sentences."""

    rows: Tensor
    tokens: Tensor

    def select(self, sentences: Tensor | None, parents: Tensor) -> None:
        chosen = torch.arange(len(self.rows)) if sentences is None else sentences
        self.rows, self.tokens = self.rows[chosen], self.tokens[chosen.unsqueeze(1), parents]


class Table:
    """A model whose scores are drawn from the row and the tokens before; `scale` 0: it knows nothing."""

    def __init__(self, frames: Tensor, seed: int, scale: float = 1.0) -> None:
        self.frames, self.seed, self.scale = frames, seed, scale

    def attention(self, row: int, prefix: tuple[int, ...]) -> Tensor:
        generator = torch.Generator().manual_seed(hash((self.seed, row, prefix)) % 2**31)
        return self.scale * torch.randn(VOCABULARY, generator=generator)

    def frame_scores(self, sources: LatentSources) -> Tensor:
        return sources.latents

    def check_lengths(self, lengths: Tensor, max_steps: int) -> None:
        """There is room for all."""

    def start(self, sources: SourceBatch, max_steps: int) -> TableState:
        rows = torch.tensor([int(id) for id in sources.ids])
        return TableState(rows, torch.empty(len(rows), 1, 0, dtype=torch.int64))

    def step(self, state: TableState, tokens: Tensor | None) -> Tensor:
        if tokens is not None:
            state.tokens = torch.cat([state.tokens, tokens.unsqueeze(-1)], -1)
        return torch.stack(
            [
                torch.stack([self.attention(row, tuple(prefix)) for prefix in prefixes])
                for row, prefixes in zip(state.rows.tolist(), state.tokens.tolist(), strict=True)
            ]
        )


def heard(frames: Tensor, lengths: Sequence[int], rows: Sequence[int]) -> LatentSources:
    """Recordings `rows` with their log-probabilities as latents."""
    width = max(lengths[row] for row in rows) + 2
    slots = [place * width + 1 + time for place, row in enumerate(rows) for time in range(lengths[row])]
    return LatentSources(
        ids=[str(row) for row in rows],
        tokens=torch.zeros(len(rows), width, dtype=torch.int64),
        lengths=torch.tensor([lengths[row] + 2 for row in rows]),
        feeding=Feeding(end=END, mask=3),
        prefixes=[[] for _ in rows],
        latents=torch.cat([frames[row, : lengths[row]] for row in rows]).float(),
        latent_slots=torch.tensor(slots),
    )


def search(weight: float, **options: Any) -> JointCTCSearch:
    return JointCTCSearch(JointCTCSearch.Config(ctc_weight=weight, min_length=0, **{"max_length": 4, **options}))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 9999), st.sampled_from([0.1, 0.5, 1.0]))
@example(1323, 1.0)
def test_the_best_text_is_that_of_both_scores_summed_over_all_texts(seed: int, weight: float) -> None:
    lengths = [4, 2]
    frames = drawn(seed, 2, 4, VOCABULARY)
    model = Table(frames, seed)
    found = search(weight, beam_size=30, max_length=5)(model, heard(frames, lengths, [0, 1]))
    for row, ((best, *_), length) in enumerate(zip(found, lengths, strict=True)):
        worth: dict[tuple[int, ...], float] = {}
        for text in (text for size in range(5) for text in itertools.product(range(2, VOCABULARY), repeat=size)):
            steps = [model.attention(row, text[:place]).log_softmax(-1) for place in range(len(text) + 1)]
            attention = sum(float(step[token]) for step, token in zip(steps, (*text, END), strict=True))
            whole = sums(frames[row, :length], text)[1]
            worth[text] = (1 - weight) * attention + weight * whole
        best_text = max(worth, key=worth.__getitem__)
        assert best.log_prob == pytest.approx(worth[best_text], abs=1e-4)
        assert worth[tuple(best.tokens)] == pytest.approx(worth[best_text], abs=1e-4)


def test_a_recording_is_heard_in_a_batch_as_alone() -> None:
    lengths = [5, 1, 3]
    frames = drawn(3, 3, 5, VOCABULARY)
    model = Table(frames, 3)
    together = search(0.4, beam_size=3)(model, heard(frames, lengths, [0, 1, 2]))
    for row in range(3):
        ((alone, *_),) = search(0.4, beam_size=3)(model, heard(frames, lengths, [row]))
        assert together[row][0].tokens == alone.tokens
        assert together[row][0].log_prob == pytest.approx(alone.log_prob, abs=1e-5)


def test_ctc_keeps_a_model_that_knows_nothing_from_leaving_words_out_or_repeating_them() -> None:
    said = [2, 0, 3, 0, 2]
    frames = torch.full((1, 5, VOCABULARY), 0.02).index_put(
        (torch.tensor(0), torch.arange(5), torch.tensor(said)), torch.tensor(0.94)
    )
    ((best, *_),) = search(0.5, beam_size=4)(Table(frames.log(), 0, scale=0.0), heard(frames.log(), [5], [0]))
    assert best.tokens == [2, 3, 2]
    assert best.finished


def test_models_and_sources_without_latents_are_refused() -> None:
    frames = drawn(0, 1, 2, VOCABULARY)
    sources = heard(frames, [2], [0])
    text = SourceBatch(sources.ids, sources.tokens, sources.lengths, sources.feeding, sources.prefixes)
    for model, given_sources in ((Table(frames, 0), text), (object(), replace(sources))):
        with pytest.raises(ConfigError, match=r"'joint_ctc' is for models of the task 'speech_recognition'"):
            search(0.5)(model, given_sources)  # type: ignore[arg-type]


def test_scores_are_sorted_by_recording_whatever_the_padding() -> None:
    scores = torch.arange(5.0).unsqueeze(1)
    padded, lengths = by_recording(scores, torch.tensor([1, 2, 3, 6, 7]), 2, 5)
    assert padded.squeeze(-1).tolist() == [[0, 1, 2], [3, 4, 0]]
    assert lengths.tolist() == [3, 2]
