"""Noise schedules, solvers, the diffusion head and guided sampling."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import draw_weights_

from latent.diffusion.sampler import GuidedSampler, RowNoise, StreamName
from latent.diffusion.schedule import NoiseSchedule, add_noise, clean_from, target
from latent.diffusion.solver import make_solver
from latent.nn.diffusion_head import DiffusionHead

SCHEDULES = ("cosine", "linear", "cauchy", "laplace")
SOLVERS = ("dpm", "dpm_heun", "dpm_sde", "ddim", "ddpm")
PREDICTIONS = ("v", "epsilon", "clean")

schedules, solvers, predictions = map(st.sampled_from, (SCHEDULES, SOLVERS, PREDICTIONS))


def tiny_head() -> DiffusionHead:
    torch.manual_seed(2)
    head = DiffusionHead(latent_size=3, condition_size=5, hidden_size=8, intermediate_size=12, num_layers=2)
    return draw_weights_(head).double().requires_grad_(False)


HEAD = tiny_head()


@pytest.mark.parametrize("name", SCHEDULES)
def test_noise_only_grows_and_variance_is_kept(name: str) -> None:
    schedule = NoiseSchedule.named(name)
    assert (schedule.alphas_cumprod.diff() < 0).all()
    torch.testing.assert_close(schedule.alpha**2 + schedule.sigma**2, torch.ones(1000))


@settings(max_examples=40, deadline=None)
@given(schedules, predictions, st.integers(0, 999))
def test_the_clean_latent_comes_back_from_every_prediction(name: str, prediction: str, step: int) -> None:
    schedule = NoiseSchedule.named(name)
    alpha, sigma = (table[step].double() for table in (schedule.alpha, schedule.sigma))
    clean, noise = torch.randn(2, 4, 3, dtype=torch.float64)
    noisy = add_noise(clean, noise, alpha, sigma)
    p, q = clean_from(prediction, alpha.item(), sigma.item())
    recovered = p * noisy + q * target(prediction, clean, noise, alpha, sigma)
    torch.testing.assert_close(recovered, clean, rtol=1e-5, atol=1e-5 / alpha.item() * 1e-4 + 1e-6)


@settings(max_examples=40, deadline=None)
@given(schedules, solvers, predictions, st.integers(2, 30))
def test_a_network_that_knows_the_answer_is_led_to_it(name: str, kind: str, prediction: str, steps: int) -> None:
    """With exact outputs for one clean latent every solver must end there, whatever its order and its noise."""
    schedule = NoiseSchedule.named(name)
    solver = make_solver(kind, schedule, steps, prediction)
    answer, x = torch.randn(2, 4, 3, dtype=torch.float64)
    previous = None
    for step in solver:
        output = (answer - step.p * x) / step.q
        clean = step.clean(x, output)
        x, previous = step.next(x, clean, previous, torch.randn_like(x)), clean
    torch.testing.assert_close(x, answer, rtol=1e-6, atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(schedules, st.sampled_from(("dpm", "dpm_heun", "ddim")), st.integers(2, 30))
def test_each_step_keeps_a_noisy_latent_on_its_way(name: str, kind: str, steps: int) -> None:
    """A latent that is alpha · clean + sigma · noise goes to the same mixture at the next step."""
    solver = make_solver(kind, NoiseSchedule.named(name), steps, "v")
    clean, noise = torch.randn(2, 5, dtype=torch.float64)
    for step, following in itertools.pairwise(solver):
        moved = step.next(step.p * clean - step.q * noise, clean, clean, None)
        torch.testing.assert_close(moved, following.p * clean - following.q * noise)


@settings(max_examples=40, deadline=None)
@given(schedules, st.integers(2, 30))
def test_stochastic_steps_keep_the_share_of_signal_and_noise(name: str, steps: int) -> None:
    """Noise of the step before shrinks by a, new noise of size d comes in: together they are the next step's."""
    for kind in ("dpm_sde", "ddpm"):
        solver = make_solver(kind, NoiseSchedule.named(name), steps, "v")
        for step, following in itertools.pairwise(solver):
            assert step.a * step.p + step.b + step.c == pytest.approx(following.p, rel=1e-6, abs=1e-9)
            if kind == "dpm_sde":  # the ancestral sampler's variance is larger by definition
                assert (step.a * step.q) ** 2 + step.d**2 == pytest.approx(following.q**2, rel=1e-6)


@pytest.mark.parametrize("kind", ["dpm", "dpm_heun", "ddim"])
def test_more_steps_come_nearer_to_the_exact_solution(kind: str) -> None:
    """For Gaussian data of spread 0.3 the exact flow is known: x scales with the spread of the noisy latent."""
    schedule, spread = NoiseSchedule.named("cosine"), 0.3
    errors = []
    for steps in (5, 20, 80):
        x, previous = torch.ones(1, dtype=torch.float64), None
        for step in make_solver(kind, schedule, steps, "clean"):
            alpha, sigma = schedule.alpha[step.timestep].item(), schedule.sigma[step.timestep].item()
            clean = x * alpha * spread**2 / (alpha**2 * spread**2 + sigma**2)
            x, previous = step.next(x, clean, previous, None), clean
        errors.append(abs(x.item() - spread))
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < (0.01 if kind == "ddim" else 0.001)


def test_ddim_is_the_first_step_of_dpm() -> None:
    schedule = NoiseSchedule.named("cosine")
    ddim, dpm = (make_solver(name, schedule, 10, "v") for name in ("ddim", "dpm"))
    assert ddim[0] == dpm[0]
    assert ddim[-1] == dpm[-1]
    assert all(step.c == 0 for step in ddim)


def test_the_published_table_of_ten_steps() -> None:
    solver = make_solver("dpm", NoiseSchedule.named("cosine"), 10, "v")
    assert [step.timestep for step in solver] == [999, 899, 799, 699, 599, 500, 400, 300, 200, 100]
    assert (solver[1].a, solver[1].b, solver[1].c) == pytest.approx((0.963493, 0.164113, -0.006993), abs=2e-6)
    assert (solver[9].a, solver[9].b, solver[9].c) == (0, 1, 0)


def test_a_new_head_predicts_zero() -> None:
    head = DiffusionHead(latent_size=3, condition_size=5, hidden_size=8, intermediate_size=12, num_layers=2)
    output = head(torch.randn(4, 3), torch.arange(4), torch.randn(4, 5))
    assert not output.any()


def test_rows_of_the_head_are_independent() -> None:
    noisy, steps = torch.randn(4, 3, dtype=torch.float64), torch.tensor([0, 7, 500, 999])
    condition = torch.randn(4, 5, dtype=torch.float64)
    together = HEAD(noisy, steps, condition)
    for row in range(4):
        alone = HEAD(noisy[row : row + 1], steps[row : row + 1], condition[row : row + 1])
        torch.testing.assert_close(alone[0], together[row])


def test_the_released_head_has_the_published_number_of_parameters() -> None:
    with torch.device("meta"):
        head = DiffusionHead(64, 1536, 1536, 4608, num_layers=4)
    assert sum(parameter.numel() for parameter in head.parameters()) == 123_279_360


@pytest.mark.parametrize("kind", SOLVERS)
def test_the_sampler_equals_the_head_called_step_by_step(kind: str) -> None:
    """Hoisted modulations and one call for both streams give what two plain calls a step give."""
    solver = make_solver(kind, NoiseSchedule.named("cosine"), 6, "v")
    condition, other = torch.randn(2, 4, 5, dtype=torch.float64)
    noise = torch.randn(4, 3, dtype=torch.float64)
    sampled = GuidedSampler(HEAD, solver, 1.7).sample([condition, other], noise, DoubleNoise(range(4), 3))
    drawn, x, previous = DoubleNoise(range(4), 3), noise, None
    for step in solver:
        steps = torch.full((4,), step.timestep)
        with_condition, without = HEAD(x, steps, condition), HEAD(x, steps, other)
        clean = step.clean(x, without + 1.7 * (with_condition - without))
        x, previous = step.next(x, clean, previous, drawn.draw() if step.d else None), clean
    torch.testing.assert_close(sampled, x)


@pytest.mark.parametrize("kind", ["dpm", "dpm_sde"])
def test_a_sampled_row_in_a_batch_equals_the_row_alone(kind: str) -> None:
    sampler = GuidedSampler(HEAD, make_solver(kind, NoiseSchedule.named("cosine"), 5, "v"), 1.3)
    condition, other = torch.randn(2, 3, 5, dtype=torch.float64)
    seeds = [4, 9, 11]
    source = DoubleNoise(seeds, 3)
    together = sampler.sample([condition, other], source.draw(), source)
    for row, seed in enumerate(seeds):
        source = DoubleNoise([seed], 3)
        alone = sampler.sample([condition[row : row + 1], other[row : row + 1]], source.draw(), source)
        torch.testing.assert_close(alone[0], together[row])


def test_guidance_of_one_does_not_read_the_other_stream() -> None:
    solver = make_solver("dpm", NoiseSchedule.named("cosine"), 5, "v")
    condition, other = torch.randn(2, 3, 5, dtype=torch.float64)
    noise = torch.randn(3, 3, dtype=torch.float64)
    plain = GuidedSampler(HEAD, solver, 1.0).sample([condition], noise)
    nearly = GuidedSampler(HEAD, solver, 1 + 1e-12).sample([condition, other], noise)
    torch.testing.assert_close(plain, nearly)


def test_equal_scales_are_the_single_guidance_exactly() -> None:
    solver = make_solver("dpm", NoiseSchedule.named("cosine"), 5, "v")
    condition, other = torch.randn(2, 3, 5, dtype=torch.float64)
    noise = torch.randn(3, 3, dtype=torch.float64)
    single, both = GuidedSampler(HEAD, solver, 1.6), GuidedSampler(HEAD, solver, 1.6, 1.6)
    assert single.streams == both.streams == ["conditional", "unconditional"]
    assert torch.equal(single.sample([condition, other], noise), both.sample([condition, other], noise))


@pytest.mark.parametrize(
    ("of_text", "of_speaker", "streams"),
    [
        (1.6, 2.5, ["conditional", "textual", "unconditional"]),
        (1.6, 1.0, ["conditional", "textual", "unconditional"]),
        (1.0, 2.5, ["conditional", "textual"]),
        (1.0, 1.0, ["conditional"]),
    ],
)
def test_guidance_of_text_and_speaker_computes_the_streams_that_have_a_weight(
    of_text: float, of_speaker: float, streams: list[StreamName]
) -> None:
    solver = make_solver("dpm", NoiseSchedule.named("cosine"), 6, "v")
    hidden = dict(zip(["conditional", "textual", "unconditional"], torch.randn(3, 4, 5).double(), strict=True))
    noise = torch.randn(4, 3, dtype=torch.float64)
    sampler = GuidedSampler(HEAD, solver, of_text, of_speaker)
    assert sampler.streams == streams
    x, previous = noise, None
    for step in solver:
        steps = torch.full((4,), step.timestep)
        full, text, empty = (HEAD(x, steps, condition) for condition in hidden.values())
        clean = step.clean(x, empty + of_text * (text - empty) + of_speaker * (full - text))
        x, previous = step.next(x, clean, previous, None), clean
    torch.testing.assert_close(sampler.sample([hidden[name] for name in streams], noise), x)


def test_noise_of_a_row_depends_on_its_seed_alone() -> None:
    source, alone = RowNoise([3, 5, 8], 4), RowNoise([8], 4)
    assert torch.equal(source.draw()[2], alone.draw()[0])
    source.select([2, 0])
    assert torch.equal(source.draw()[0], alone.draw()[0])


class DoubleNoise(RowNoise):
    """Noise in float64."""

    def draw(self) -> torch.Tensor:
        return super().draw().double()
