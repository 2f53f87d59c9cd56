"""The pool: hypotheses share keys and values, and nothing of them moves while a search goes on."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from s2s.nn.cache import Pool

LAYERS, SENTENCES, HEADS, SOURCE, WIDTH = 2, 3, 2, 4, 5


def pool() -> Pool:
    buffer = torch.randn(LAYERS, 2, SENTENCES, HEADS, SOURCE + 1, WIDTH, generator=torch.Generator().manual_seed(0))
    real = torch.arange(SOURCE) < torch.tensor([4, 1, 3]).unsqueeze(1)
    return Pool(buffer, real, torch.arange(SOURCE).expand(SENTENCES, -1))


def feed(
    state: Pool, time: int, tokens: int, hypotheses: int, steps: int, sentences: int = SENTENCES, mask_seed: int = 0
) -> Tensor:
    """One step of some tokens of each hypothesis, the last of them not remembered; the last layer's output."""
    positions = torch.full((sentences, tokens), 4 + time)
    attention = state.feed(positions, tokens - 1, steps - time - 1, None)
    generator = torch.Generator().manual_seed(time)
    rows = torch.randn(3, sentences, tokens * hypotheses, HEADS, WIDTH, generator=generator)
    rows[1:, :, -hypotheses:] += mask_seed  # keys and values of the tokens that are not remembered
    for layer in range(LAYERS):
        output = attention(layer)(rows[0], torch.stack([rows[1], rows[2]], dim=2), 0.0)
    return output


class Recorded(TorchDispatchMode):
    """The operations that run: their names, and how many numbers each gave."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []
        self.largest = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.append(str(function.overloadpacket.__name__))
        result = function(*args, **(kwargs or {}))
        self.largest = max(self.largest, result.numel() if isinstance(result, Tensor) else 0)
        return result


def test_memory_is_taken_once_when_the_beam_is_known() -> None:
    state, steps, beam = pool(), 7, 3
    feed(state, 0, 1, 1, steps)
    taken = []
    for time in range(1, steps):
        parents = torch.randint(0, beam if time > 1 else 1, (SENTENCES, beam))
        with Recorded() as recorded:
            state.select(None, parents)
            feed(state, time, 2, beam, steps)
        taken.append(recorded.names.count("new_empty"))
    assert taken == [1, 0, 0, 0, 0, 0]


def test_choosing_parents_moves_no_keys_or_values() -> None:
    state = pool()
    feed(state, 0, 1, 1, 4)
    state.select(None, torch.zeros(SENTENCES, 2, dtype=torch.int64))
    feed(state, 1, 2, 2, 4)
    with Recorded() as recorded:
        state.select(None, torch.tensor([[1, 1], [0, 0], [1, 0]]))
    assert 0 < recorded.largest < SENTENCES * HEADS * SOURCE * WIDTH  # less than the keys of one layer


@pytest.mark.parametrize("sentences_leave", [False, True])
def test_dropping_what_no_hypothesis_sees_changes_no_output(
    sentences_leave: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    outputs, sizes = [], []
    for every in (2, 10**9):
        monkeypatch.setattr("s2s.nn.cache.DROP_EVERY", every)
        state, steps, beam, sentences = pool(), 12, 4, SENTENCES
        found = [feed(state, 0, 2, 1, steps)]
        for time in range(1, steps):
            leaving = torch.tensor([2, 0]) if sentences_leave and time == 5 else None
            sentences = sentences if leaving is None else 2
            parents = torch.zeros(sentences, beam, dtype=torch.int64)
            parents[:, 1:] = 0 if time % 3 else min(time - 1, beam - 1)  # now and then all have one parent
            state.select(leaving, parents)
            found.append(feed(state, time, 2, beam, steps, sentences))
        outputs.append(found)
        sizes.append(state.num_bytes)
    for ours, plain in zip(*outputs, strict=True):
        torch.testing.assert_close(ours, plain, atol=1e-6, rtol=1e-5)
    assert sizes[0] < 0.6 * sizes[1]


def test_what_is_not_remembered_is_not_seen_later() -> None:
    outputs = []
    for mask_seed in (0, 1):
        state = pool()
        first = feed(state, 0, 1, 1, 3, mask_seed=mask_seed)
        state.select(None, torch.zeros(SENTENCES, 1, dtype=torch.int64))
        outputs.append((first, feed(state, 1, 2, 1, 3)))
    assert not torch.allclose(outputs[0][0], outputs[1][0])
    torch.testing.assert_close(outputs[0][1], outputs[1][1])


def test_a_step_never_waits_for_the_device() -> None:
    state = pool()
    feed(state, 0, 1, 1, 4)
    with Recorded() as recorded:
        state.select(torch.tensor([0, 2]), torch.zeros(2, 3, dtype=torch.int64))
        feed(state, 1, 2, 3, 4, sentences=2)
    assert "flash_attention" in " ".join(recorded.names)
    assert not {"_local_scalar_dense", "nonzero", "item", "is_nonzero", "equal"} & set(recorded.names)
