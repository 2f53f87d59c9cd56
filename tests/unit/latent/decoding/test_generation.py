"""Generation of latents and audio: rows are independent, they end when they should, chunks equal the whole."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import draw_weights_, tiny_latent_lm

from latent.data.batch import GenerationPrompts, MixedSequences, stacked
from latent.decoding.audio import audio_chunks
from latent.decoding.next_token_diffusion import Frames, NextTokenDiffusionDecoder
from latent.models.latent_lm import LatentLM
from latent.models.sigma_vae import SigmaVAE

LATENT, END = 9, 10


def tiny_model() -> LatentLM:
    model = tiny_latent_lm(tie_embeddings=False)
    draw_weights_(model.head)
    return model.double().eval().requires_grad_(False)


MODEL = tiny_model()


def sequences(lengths: list[int], seed: int) -> MixedSequences:
    """Token prompts with a latent as their second slot, where there is one."""
    generator = torch.Generator().manual_seed(seed)
    width = max(lengths)
    slots = [row * width + 1 for row, length in enumerate(lengths) if length > 1]
    return MixedSequences(
        ids=[str(row) for row in range(len(lengths))],
        tokens=torch.randint(0, 9, (len(lengths), width), generator=generator),
        lengths=torch.tensor(lengths),
        latents=torch.randn(len(slots), 3, generator=generator, dtype=torch.float64),
        latent_slots=torch.tensor(slots, dtype=torch.int64),
    )


def prompts(lengths: list[int], most: list[int], others: list[int] | None = None) -> GenerationPrompts:
    rows = len(lengths)
    return GenerationPrompts(
        conditional=sequences(lengths, 1),
        unconditional=sequences(others or [1] * rows, 2),
        latent_token=LATENT,
        end_token=END,
        seeds=[7 + row for row in range(rows)],
        temperatures=torch.linspace(0.5, 1.0, rows, dtype=torch.float64),
        max_frames=most,
        textual=sequences([3] * rows, 3),
    )


def row_of(whole: MixedSequences, row: int) -> MixedSequences:
    width, length = whole.tokens.shape[1], int(whole.lengths[row])
    chosen = whole.latent_slots // width == row
    return MixedSequences(
        ids=whole.ids[row : row + 1],
        tokens=whole.tokens[row : row + 1, :length],
        lengths=whole.lengths[row : row + 1],
        latents=whole.latents[chosen],
        latent_slots=whole.latent_slots[chosen] - row * width,
    )


def alone(whole: GenerationPrompts, row: int) -> GenerationPrompts:
    return replace(
        whole,
        conditional=row_of(whole.conditional, row),
        unconditional=row_of(whole.unconditional, row),
        textual=row_of(whole.textual, row) if whole.textual else None,
        seeds=whole.seeds[row : row + 1],
        temperatures=whole.temperatures[row : row + 1],
        max_frames=whole.max_frames[row : row + 1],
    )


def decoder(**options: object) -> NextTokenDiffusionDecoder:
    return NextTokenDiffusionDecoder(NextTokenDiffusionDecoder.Config(**({"num_inference_steps": 4} | options)))


def collected(steps: list[Frames], rows: int) -> list[torch.Tensor]:
    """The latents of each row, `(F, L)`."""
    found: list[list[torch.Tensor]] = [[] for _ in range(rows)]
    for step in steps:
        for row, latent in zip(step.rows, step.latents, strict=True):
            found[row].append(latent)
    return [torch.stack(latents) for latents in found]


def ends(steps: list[Frames]) -> dict[int, bool]:
    return {row: said for step in steps for row, said in step.ended.items()}


@pytest.mark.parametrize("solver", ["dpm", "dpm_sde"])
@pytest.mark.parametrize("guidance", [(1.0, None), (1.6, None), (1.0, 2.0), (1.6, 2.0)])
@pytest.mark.parametrize("threshold", [0.5, 1.0])
def test_a_row_in_a_batch_equals_the_row_alone(
    solver: str, guidance: tuple[float, float | None], threshold: float
) -> None:
    whole = prompts([4, 1, 3], [6, 3, 5], [1, 2, 4])
    scales = dict(zip(["guidance_scale", "speaker_guidance_scale"], guidance, strict=True))
    generate = decoder(solver=solver, stop_threshold=threshold, **scales)
    together = list(generate.stream(MODEL, whole))
    latents = collected(together, 3)
    for row in range(3):
        steps = list(generate.stream(MODEL, alone(whole, row)))
        torch.testing.assert_close(collected(steps, 1)[0], latents[row])
        assert ends(steps)[0] == ends(together)[row]


def test_rows_are_cut_at_their_own_limits() -> None:
    steps = list(decoder(stop_threshold=1.0).stream(MODEL, prompts([2, 3, 1], [4, 1, 3])))
    assert [len(latents) for latents in collected(steps, 3)] == [4, 1, 3]
    assert ends(steps) == {0: False, 1: False, 2: False}
    assert [step.rows for step in steps] == [[0, 1, 2], [0, 2], [0, 2], [0], []]


def test_the_model_ends_a_row_but_not_before_the_minimum() -> None:
    model = tiny_model()
    model.scores.weight.zero_()  # end and latent are equally probable
    steps = list(decoder(min_frames=2).stream(model, prompts([2, 3], [5, 5])))
    assert [len(latents) for latents in collected(steps, 2)] == [2, 2]
    assert ends(steps) == {0: True, 1: True}
    steps = list(decoder(stop_threshold=0.51).stream(model, prompts([2, 3], [5, 4])))
    assert [len(latents) for latents in collected(steps, 2)] == [5, 4]


def test_without_guidance_the_other_stream_is_not_read() -> None:
    whole = prompts([2, 3], [3, 3])
    broken = replace(whole, unconditional=replace(whole.unconditional, tokens=torch.full((2, 1), 10**6)))
    plain, same = (list(decoder(guidance_scale=1.0).stream(MODEL, item)) for item in (whole, broken))
    torch.testing.assert_close(collected(plain, 2), collected(same, 2))


def test_latents_are_those_of_the_tokenizer() -> None:
    """The normalization is undone: with zero noise and a head that predicts clean zeros, latents are the mean."""
    model = tiny_model()
    for parameter in model.head.parameters():
        parameter.zero_()
    whole = replace(prompts([2], [2]), temperatures=torch.zeros(1, dtype=torch.float64))
    latents = collected(list(decoder().stream(model, whole)), 1)[0]
    torch.testing.assert_close(latents, torch.full_like(latents, 0.5))


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(1, 5), min_size=1, max_size=3), st.lists(st.integers(1, 5), min_size=1, max_size=3))
def test_stacked_rows_are_the_rows(first: list[int], second: list[int]) -> None:
    parts = sequences(first, 1), sequences(second, 2)
    hidden = MODEL.hidden(stacked(*parts))
    rows = [(part, row) for part in parts for row in range(len(part.ids))]
    for index, (part, row) in enumerate(rows):
        one = row_of(part, row)
        torch.testing.assert_close(hidden[index, : one.tokens.shape[1]], MODEL.hidden(one)[0])


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(1, 7), min_size=1, max_size=4), st.integers(1, 4))
def test_audio_in_chunks_equals_the_whole(counts: list[int], chunk: int) -> None:
    config = SigmaVAE.Config(ratios=(2, 3), depths=(1, 1, 1), widths=(2, 3, 4), latent_size=3, layer_scale=0.5)
    vae = SigmaVAE(config).double().requires_grad_(False)
    latents = [torch.randn(count, 3, dtype=torch.float64) for count in counts]

    def frames() -> list[Frames]:
        found, rows = [], list(range(len(counts)))
        for index in range(max(counts) + 1):
            ended = {row: True for row in rows if counts[row] == index}
            rows = [row for row in rows if row not in ended]
            now = [latents[row][index] for row in rows]
            found.append(Frames(rows, torch.stack(now) if now else torch.empty(0, 3), ended))
        return found

    audio: dict[int, list[torch.Tensor]] = {row: [] for row in range(len(counts))}
    ended: set[int] = set()
    for part in audio_chunks(vae.decode_chunk, frames(), chunk):
        assert not ended & set(part.rows), "no samples after the end"
        ended |= set(part.ended)
        for row, samples in zip(part.rows, part.audio, strict=True):
            audio[row].append(samples)
    assert ended == set(audio)
    for row, parts in audio.items():
        torch.testing.assert_close(torch.cat(parts), vae.decode(latents[row][None])[0, 0])


def test_prompts_move_with_all_that_is_in_them() -> None:
    moved = prompts([2, 3], [3, 3]).to("meta")
    assert moved.conditional.tokens.is_meta
    assert moved.unconditional.lengths.is_meta
    assert moved.seeds == [7, 8]
