"""The pool: hypotheses share keys and values, and nothing of them moves while a search goes on."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from s2s.nn.cache import Pool

LAYERS, SENTENCES, HEADS, SOURCE, WIDTH = 2, 3, 2, 4, 5


def pool() -> Pool:
    buffer = torch.randn(LAYERS, 2, SENTENCES, HEADS, SOURCE + 1, WIDTH, generator=torch.Generator().manual_seed(0))
    real = torch.arange(SOURCE) < torch.tensor([4, 1, 3]).unsqueeze(1)
    return Pool(buffer, real, torch.arange(SOURCE).expand(SENTENCES, -1))


def feed(state: Pool, time: int, tokens: int, hypotheses: int, steps: int) -> Tensor:
    """One step of some tokens of each hypothesis, the last of them not remembered; the last layer's output."""
    sentences = len(state._positions)
    positions = torch.full((sentences, tokens), 4 + time)
    attention = state.feed(positions, tokens - 1, steps - time - 1, None)
    generator = torch.Generator().manual_seed(time)
    rows = torch.randn(3, sentences, tokens * hypotheses, HEADS, WIDTH, generator=generator)
    for layer in range(LAYERS):
        output = attention(layer)(rows[0], torch.stack([rows[1], rows[2]], dim=2), 0.0)
    return output


class Recorded(TorchDispatchMode):
    """The names of the operations that run."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.append(str(function.overloadpacket.__name__))
        return function(*args, **(kwargs or {}))


def test_the_buffer_is_sized_once_when_the_beam_is_known_and_stays() -> None:
    state, steps, beam = pool(), 7, 3
    feed(state, 0, 1, 1, steps)
    state.select(None, torch.zeros(SENTENCES, beam, dtype=torch.int64))
    feed(state, 1, 2, beam, steps)
    place = state._buffer.data_ptr()
    for time in range(2, steps):
        state.select(None, torch.randint(0, beam, (SENTENCES, beam), generator=torch.Generator().manual_seed(time)))
        feed(state, time, 2, beam, steps)
    assert state._buffer.data_ptr() == place
    assert state._buffer.shape[4] == SOURCE + steps * beam


def test_choosing_parents_moves_no_keys_or_values() -> None:
    state = pool()
    feed(state, 0, 1, 1, 4)
    state.select(None, torch.zeros(SENTENCES, 2, dtype=torch.int64))
    feed(state, 1, 2, 2, 4)
    before = state._buffer.clone()
    state.select(None, torch.tensor([[1, 1], [0, 0], [1, 0]]))
    bits = state._buffer.view(torch.int32)  # free slots may hold anything, NaN too, which equals nothing
    assert torch.equal(bits, before.view(torch.int32))


def test_what_is_not_remembered_is_overwritten() -> None:
    state = pool()
    feed(state, 0, 1, 1, 3)
    fed_once = state._buffer[..., SOURCE, :].clone()
    state.select(None, torch.zeros(SENTENCES, 1, dtype=torch.int64))
    feed(state, 1, 2, 1, 3)
    assert not torch.isclose(state._buffer[..., SOURCE, :], fed_once).any()


def test_a_step_never_waits_for_the_device() -> None:
    state = pool()
    feed(state, 0, 1, 1, 4)
    with Recorded() as recorded:
        state.select(torch.tensor([0, 2]), torch.zeros(2, 3, dtype=torch.int64))
        feed(state, 1, 2, 3, 4)
    assert "flash_attention" in " ".join(recorded.names)
    assert not {"_local_scalar_dense", "nonzero", "item", "is_nonzero", "equal"} & set(recorded.names)
