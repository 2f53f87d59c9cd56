"""Latents in blocks, as a GPU draws them: those of the plain way, and never waiting inside a frame."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
import torch
from host_waits import HostWait, no_host_waits
from recorded_graph import record_steps
from tiny_models import draw_weights_, latent_lm_config, tiny_latent_lm
from torch import Tensor

from latent.data.batch import GenerationPrompts, MixedSequences
from latent.decoding.next_token_diffusion import BlockDrawing, Drawing, Frames, NextTokenDiffusionDecoder
from latent.diffusion.sampler import RowNoise
from latent.models.latent_lm import LatentLM
from latent.models.timed_latent_lm import TimedLatentLM
from s2s.nn.capture import Captured

LATENT, END = 9, 10
MOST = [20, 3, 17, 9, 30]


def ready(model: Any) -> LatentLM:
    """A random model that ends rows at different frames."""
    draw_weights_(model.head)
    made: LatentLM = model.double().eval().requires_grad_(False)
    return made


def timed_model() -> LatentLM:
    options = dict(latent_lm_config(tie_embeddings=False))
    torch.manual_seed(5)
    return ready(TimedLatentLM(TimedLatentLM.Config(**options, cue_tokens=2)))


MODELS = {"latent_lm": ready(tiny_latent_lm(tie_embeddings=False)), "timed_latent_lm": timed_model()}


def sequences(lengths: list[int], seed: int) -> MixedSequences:
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(0, 9, (len(lengths), max(lengths)), generator=generator)
    nothing = torch.zeros(0, 3, dtype=torch.float64)
    ids = [str(row) for row in range(len(lengths))]
    return MixedSequences(ids, tokens, torch.tensor(lengths), nothing, torch.zeros(0, dtype=torch.int64))


def prompts(most: list[int], cues: bool = False, seed: int = 7) -> GenerationPrompts:
    rows, generator = len(most), torch.Generator().manual_seed(seed)
    return GenerationPrompts(
        conditional=sequences([2 + row % 3 for row in range(rows)], seed),
        unconditional=sequences([1] * rows, seed + 1),
        latent_token=LATENT,
        end_token=END,
        seeds=[seed + row for row in range(rows)],
        temperatures=torch.linspace(0.5, 1.0, rows, dtype=torch.float64),
        max_frames=most,
        cues=torch.randint(1, 9, (rows, 6, 2), generator=generator) if cues else None,
        textual=sequences([3] * rows, seed + 2),
    )


def config(**options: Any) -> NextTokenDiffusionDecoder.Config:
    return NextTokenDiffusionDecoder.Config(**({"num_inference_steps": 3, "stop_threshold": 0.9} | options))


@contextmanager
def guarded_frames(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Let every frame run under the guard; counts them."""
    counted = []

    def call(self: Captured, step: Callable[[], None]) -> None:
        counted.append(1)
        with torch.inference_mode(), no_host_waits():
            step()

    with monkeypatch.context() as patched:
        patched.setattr(Captured, "__call__", call)
        yield counted


def drawn(drawing: Drawing, *batches: GenerationPrompts, join_after: int = 4) -> list[Frames]:
    """All steps, in which later batches join after some."""
    drawing.add(batches[0])
    steps, waiting = [], list(batches[1:])
    while len(drawing) or waiting:
        if waiting and len(steps) % join_after == 0:
            drawing.add(waiting.pop(0))
        steps.append(drawing.step())
    return steps


def rows_of(steps: list[Frames]) -> tuple[dict[int, Tensor], dict[int, bool]]:
    """The latents of each row, `(F, L)`, and how it ended."""
    found: dict[int, list[Tensor]] = {}
    for step in steps:
        for key, latent in zip(step.rows, step.latents, strict=True):
            found.setdefault(key, []).append(latent)
    return {key: torch.stack(rows) for key, rows in found.items()}, {
        k: v for step in steps for k, v in step.ended.items()
    }


def assert_same(found: list[Frames], expected: list[Frames]) -> None:
    (latents, ends), (other_latents, other_ends) = rows_of(found), rows_of(expected)
    assert ends == other_ends
    torch.testing.assert_close(latents, other_latents, atol=1e-5, rtol=0)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("solver", ["dpm", "dpm_sde", "ddpm"])
@pytest.mark.parametrize("guidance", [(1.0, None), (1.6, None), (1.6, 2.0)])
def test_blocks_draw_the_latents_of_the_plain_way_and_never_wait_in_a_frame(
    model: str, solver: str, guidance: tuple[float, float | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    options = config(solver=solver, guidance_scale=guidance[0], speaker_guidance_scale=guidance[1])
    given = prompts(MOST, cues=model == "timed_latent_lm")
    with guarded_frames(monkeypatch) as frames:
        found = drawn(BlockDrawing(MODELS[model], options), given)
    assert len(frames) >= 16, "more than one block"
    expected = drawn(Drawing(MODELS[model], options), given)
    assert_same(found, expected)
    assert [step.rows for step in found] == [step.rows for step in expected]
    assert len(set(map(len, rows_of(found)[0].values()))) > 2, "rows end at different frames"


def test_the_plain_way_waits_for_what_the_model_says() -> None:
    drawing = Drawing(MODELS["latent_lm"], config(min_frames=0))
    drawing.add(prompts(MOST))
    with pytest.raises(HostWait, match="tolist"), no_host_waits():
        drawing.step()


@pytest.mark.parametrize("model", MODELS)
def test_rows_that_join_between_blocks_are_drawn_as_alone(model: str) -> None:
    cues = model == "timed_latent_lm"
    batches = [prompts(MOST[:2], cues), prompts(MOST[2:], cues, seed=20), prompts([12], cues, seed=40)]
    options = config(min_frames=2)
    together = drawn(BlockDrawing(MODELS[model], options), *batches)
    assert_same(together, drawn(Drawing(MODELS[model], options), *batches))


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("solver", ["dpm", "dpm_sde"])
def test_a_recorded_frame_draws_the_same_when_it_is_repeated(
    model: str, solver: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cues = model == "timed_latent_lm"
    batches, options = [prompts(MOST, cues), prompts([12], cues, seed=40)], config(solver=solver, min_frames=9)
    expected = drawn(Drawing(MODELS[model], options), *batches, join_after=6)
    done = record_steps(monkeypatch)
    assert_same(drawn(BlockDrawing(MODELS[model], options), *batches, join_after=6), expected)
    assert done.count("replay") > 2 * done.count("record") > 0


def test_rows_leave_with_latents_that_were_not_given_out() -> None:
    options = config(stop_threshold=1.0)
    drawing, plain = BlockDrawing(MODELS["latent_lm"], options), Drawing(MODELS["latent_lm"], options)
    for one in (drawing, plain):
        one.add(prompts(MOST))
    found, expected = [[one.step() for _ in range(3)] for one in (drawing, plain)]
    for one in (drawing, plain):
        one.remove([0, 3])
    assert len(drawing) == 3
    for one, steps in ((drawing, found), (plain, expected)):
        while len(one):
            steps.append(one.step())
    assert_same(found, expected)
    drawing.add(prompts([2]))
    assert [step.rows for step in drawn(drawing, prompts([1]))] == [[5, 6], [5], []]


def test_many_draws_are_the_draws_one_by_one() -> None:
    one, other = RowNoise([3, 5], 7), RowNoise([3, 5], 7)
    assert torch.equal(one.draw_many(4), torch.stack([other.draw() for _ in range(4)]))
    assert torch.equal(one.draw(), other.draw())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("model", MODELS)
def test_a_gpu_draws_the_same_by_graphs(model: str) -> None:
    options, given = config(), prompts(MOST, cues=model == "timed_latent_lm")
    expected = drawn(Drawing(MODELS[model], options), given)
    found = drawn(NextTokenDiffusionDecoder(options).start(MODELS[model].to("cuda")), given.to("cuda"))
    MODELS[model].to("cpu")
    assert_same([replace(step, latents=step.latents.cpu()) for step in found], expected)
