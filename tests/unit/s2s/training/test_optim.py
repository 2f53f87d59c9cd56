"""Learning-rate schedules, and which tensors decay."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from s2s.config import parse_section
from s2s.errors import ConfigError
from s2s.training.optim import OptimConfig, decays, make_optimizer, make_schedule, set_lr

SCHEDULES = ["linear", "cosine", "inverse_sqrt", "constant", "wsd"]


def config(**options: object) -> OptimConfig:
    return parse_section(OptimConfig, options, "optim")


def test_linear_schedule_gives_the_golden_learning_rates() -> None:
    """Expected values: case_pub_optimizer_bert of the golden data (lr 0.005, warm-up 2, 6 updates)."""
    schedule = make_schedule(config(lr=0.005, warmup_steps=2), total_steps=6)
    rates = [0.005 * schedule(step) for step in range(6)]
    assert rates == pytest.approx([0.0, 0.0025, 0.005, 0.00375, 0.0025, 0.00125], abs=1e-9)


@given(st.sampled_from(SCHEDULES), st.integers(0, 30), st.integers(1, 200))
def test_schedules_rise_to_one_then_never_rise(name: str, warmup: int, total: int) -> None:
    schedule = make_schedule(config(schedule=name, warmup_steps=warmup), total)
    factors = [schedule(step) for step in range(total + 1)]
    assert all(0 <= factor <= 1 for factor in factors)
    assert factors[:warmup] == [step / warmup for step in range(min(warmup, len(factors)))]
    after = factors[warmup:]
    assert all(later <= earlier + 1e-12 for earlier, later in itertools.pairwise(after))
    if total > warmup and name != "wsd":
        assert factors[warmup] == pytest.approx(1)


@given(st.sampled_from(["linear", "cosine", "wsd"]), st.integers(0, 30), st.integers(40, 200))
def test_falling_schedules_end_at_zero(name: str, warmup: int, total: int) -> None:
    schedule = make_schedule(config(schedule=name, warmup_steps=warmup), total)
    assert schedule(total) == pytest.approx(0, abs=1e-12)
    assert schedule(total - 1) > 0


def test_inverse_sqrt_falls_with_the_root_of_the_step() -> None:
    schedule = make_schedule(config(schedule="inverse_sqrt", warmup_steps=16), 1000)
    assert [schedule(step) for step in (16, 64, 256)] == pytest.approx([1, 0.5, 0.25])


def test_wsd_stays_then_falls_over_its_last_steps() -> None:
    schedule = make_schedule(config(schedule="wsd", warmup_steps=2, decay_steps=4), 20)
    assert [schedule(step) for step in (2, 10, 16, 17, 18, 19, 20)] == pytest.approx([1, 1, 1, 0.75, 0.5, 0.25, 0])


def test_cosine_is_half_way_at_half_of_the_time() -> None:
    schedule = make_schedule(config(schedule="cosine", warmup_steps=10), 30)
    assert schedule(20) == pytest.approx(0.5)
    assert schedule(15) == pytest.approx(0.5 * (1 + math.cos(math.pi / 4)))


def test_decay_steps_of_another_schedule_are_refused() -> None:
    with pytest.raises(ConfigError, match="decay_steps belongs to the schedule 'wsd', found schedule 'linear'"):
        config(decay_steps=3)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(5, 3)
        self.norm = nn.LayerNorm(3)
        self.relative_position_bias = nn.Embedding(4, 2)
        self.output = nn.Linear(3, 5)
        self.output.weight = self.embedding.weight


def test_only_matrices_that_are_no_bias_decay_and_tied_ones_once() -> None:
    net = Net()
    optimizer = make_optimizer(config(weight_decay=0.1), net.named_parameters(remove_duplicate=False))
    decayed, spared = optimizer.param_groups
    assert [id(p) for p in decayed["params"]] == [id(net.embedding.weight)]
    assert decayed["weight_decay"] == 0.1
    assert spared["weight_decay"] == 0
    expected = {net.norm.weight, net.norm.bias, net.relative_position_bias.weight, net.output.bias}
    assert set(spared["params"]) == expected


def test_names_of_s2s_ft_that_do_not_decay() -> None:
    matrix, vector = torch.zeros(2, 3), torch.zeros(3)
    assert decays("bert.encoder.layer.0.attention.self.query.weight", matrix)
    assert not decays("bert.rel_pos_bias.weight", matrix)
    assert not decays("bert.embeddings.LayerNorm.weight", vector)
    assert not decays("cls.predictions.bias", vector)


def test_a_rate_of_zero_changes_no_weight() -> None:
    net = Net()
    optimizer = make_optimizer(config(), net.named_parameters())
    before = net.output.bias.detach().clone()
    net.output(net.norm(net.embedding(torch.tensor([1])))).sum().backward()
    set_lr(optimizer, 0.0)
    optimizer.step()
    assert torch.equal(net.output.bias, before)
