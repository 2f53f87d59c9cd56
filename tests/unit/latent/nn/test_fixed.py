"""What `prepare` leaves behind computes what was there before, chunk by chunk and row by row."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from latent.diffusion.sampler import GuidedSampler
from latent.diffusion.schedule import NoiseSchedule
from latent.diffusion.solver import make_solver
from latent.models.sigma_vae import SigmaVAE
from latent.nn.conv import cleared, put_rows, take_rows
from latent.nn.diffusion_head import DiffusionHead
from latent.nn.fixed import FixedBlock, FixedConv
from s2s.nn.packed import can_pack

pytestmark = pytest.mark.skipif(not can_pack(torch.zeros(1, 1)), reason="weights cannot be packed here")

CHUNKS = st.lists(st.integers(1, 4), min_size=1, max_size=4)


def vae(dtype: torch.dtype = torch.float32) -> SigmaVAE:
    torch.manual_seed(1)
    config = SigmaVAE.Config(
        ratios=(2, 7), depths=(1, 2, 1), widths=(3, 5, 4), latent_size=6, layer_scale=0.5, initializer_range=0.3
    )
    model = SigmaVAE(config).to(dtype).eval().requires_grad_(False)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    return model


PLAIN, PREPARED = vae(), vae()
PREPARED.prepare()


@settings(max_examples=20, deadline=None)
@given(CHUNKS, st.integers(1, 2))
def test_the_prepared_tokenizer_in_chunks_equals_the_plain_one(chunks: list[int], batch: int) -> None:
    assert isinstance(PREPARED.decoder.layers[1], FixedBlock)
    audio = torch.randn(batch, 1, 14 * sum(chunks), generator=torch.Generator().manual_seed(len(chunks)))
    mean = PLAIN.encode(audio)
    history, parts = None, []
    for chunk in audio.split([14 * frames for frames in chunks], dim=2):
        part, history = PREPARED.encode_chunk(chunk, history)
        parts.append(part)
    torch.testing.assert_close(torch.cat(parts, 1), mean, rtol=1e-3, atol=1e-4)
    history, parts = None, []
    for frames in mean.split(chunks, dim=1):
        part, history = PREPARED.decode_chunk(frames, history)
        parts.append(part)
    torch.testing.assert_close(torch.cat(parts, 2), PLAIN.decode(mean), rtol=1e-3, atol=1e-4)


def test_rows_of_a_prepared_history_can_be_taken_put_back_and_cleared() -> None:
    first, second = torch.randn(2, 3, 1, 28)
    rows = torch.tensor([2, 0])
    _, history = PREPARED.encode_chunk(first, None)
    whole, after = PREPARED.encode_chunk(second, history)
    part, new = PREPARED.encode_chunk(second[rows], take_rows(history, rows))
    torch.testing.assert_close(part, whole[rows], rtol=1e-4, atol=1e-5)
    merged = put_rows(history, new, rows, batch=3)
    for past, expected, old in zip(merged, after, history, strict=True):
        torch.testing.assert_close(past[rows], expected[rows], rtol=1e-4, atol=1e-5)
        assert torch.equal(past[1], old[1])
    again, _ = PREPARED.encode_chunk(second, cleared(history, torch.tensor([True, False, False])))
    torch.testing.assert_close(again[0], PREPARED.encode(second)[0], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(again[1], whole[1], rtol=1e-4, atol=1e-5)


def test_a_prepared_history_does_not_keep_the_chunk_in_memory() -> None:
    histories = [PREPARED.encode_chunk(torch.randn(1, 1, 1400), None)[1]]
    histories.append(PREPARED.decode_chunk(torch.randn(1, 100, 6), None)[1])
    for past in (past for history in histories for past in history):
        assert past.untyped_storage().nbytes() == past.numel() * past.element_size()


def test_rows_that_first_speak_later_begin_with_silence() -> None:
    _, new = PLAIN.encode_chunk(torch.randn(1, 1, 14), None)
    merged = put_rows(None, new, torch.tensor([1]), batch=2)
    assert not any(past[0].any() for past in merged)
    assert all(torch.equal(past[1], part[0]) for past, part in zip(merged, new, strict=True))


def test_weights_that_cannot_be_packed_stay_as_they_are() -> None:
    double = vae(torch.float64)
    double.prepare()
    assert not any(isinstance(layer, FixedConv | FixedBlock) for layer in double.encoder.layers)


def test_a_prepared_head_samples_the_same() -> None:
    torch.manual_seed(2)
    head = DiffusionHead(latent_size=3, condition_size=5, hidden_size=8, intermediate_size=12, num_layers=2)
    for parameter in head.requires_grad_(False).parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    prepared = copy.deepcopy(head)
    prepared.prepare()
    solver = make_solver("dpm", NoiseSchedule.named("cosine"), 4, "v")
    inputs = [torch.randn(2, 5), torch.randn(2, 5)], torch.randn(2, 3)
    samples = [GuidedSampler(one, solver, 1.4).sample(*inputs) for one in (head, prepared)]
    torch.testing.assert_close(samples[0], samples[1], rtol=1e-4, atol=1e-5)
