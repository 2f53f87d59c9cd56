"""The losses of the audio tokenizer and its discriminators."""

from __future__ import annotations

import pytest
import torch
from tiny_models import tiny_sigma_vae

from latent.criteria.sigma_vae import SigmaVAECriterion, SpectraCriterion
from latent.data.batch import AudioBatch
from latent.models.sigma_vae import SigmaVAE
from latent.nn.discriminators import (
    PeriodDiscriminator,
    SpectrumDiscriminator,
    adversarial_loss,
    discriminator_loss,
    feature_loss,
)
from s2s.config import parse_section
from s2s.errors import ConfigError

SMALL = {"mel_windows": (32, 64), "mel_bins": (5, 10), "periods": (2, 3), "period_widths": (4, 6, 5)}
SMALL |= {"spectrum_windows": (64,), "spectrum_width": 3}


def criterion(**options: object) -> SigmaVAECriterion:
    torch.manual_seed(2)
    return SigmaVAECriterion(SigmaVAECriterion.Config(**(SMALL | options)))


def tones(rows: int, samples: int = 256) -> AudioBatch:
    time = torch.arange(samples) / 2000
    audio = torch.stack([torch.sin(2 * torch.pi * (100 + 40 * row) * time) for row in range(rows)])
    return AudioBatch([str(row) for row in range(rows)], 0.5 * audio.unsqueeze(1), 2000)


@pytest.mark.parametrize("samples", [100, 255, 256])
@pytest.mark.parametrize("network", [PeriodDiscriminator(3, (4, 6, 5)), SpectrumDiscriminator(64, 3)])
def test_discriminators_judge_rows_independently(network: torch.nn.Module, samples: int) -> None:
    audio = torch.randn(3, 1, samples)
    together = network(audio)
    for row in range(3):
        for whole, alone in zip(together, network(audio[row : row + 1]), strict=True):
            torch.testing.assert_close(whole[row], alone[0], rtol=1e-4, atol=1e-5)


def test_every_sample_counts_for_a_discriminator() -> None:
    for network in (PeriodDiscriminator(3, (4, 6, 5)), SpectrumDiscriminator(64, 3)):
        audio = torch.randn(1, 1, 200, requires_grad=True)
        network(audio)[-1].sum().backward()
        assert (audio.grad != 0).float().mean() > 0.95


def test_each_phase_gives_gradients_to_what_it_trains_and_to_nothing_else() -> None:
    judge, vae, batch = criterion(), tiny_sigma_vae(), tones(2)
    for phase in ("discriminator", "generator", "discriminator"):
        torch.stack(list(judge(vae, batch, phase).values())).sum().backward()
        for module, trained in ((judge, "discriminator"), (vae, "generator")):
            assert all((weight.grad is not None) == (phase == trained) for weight in module.parameters())
            module.zero_grad(set_to_none=True)


def test_losses_of_perfect_verdicts() -> None:
    one, zero, features = torch.ones(2, 3), torch.zeros(2, 3), torch.randn(2, 4)
    real, fake = [[features, one]], [[features + 0.5, zero]]
    assert discriminator_loss(real, fake) == 0
    assert discriminator_loss(fake, real) == 2
    assert adversarial_loss(real) == 0
    assert adversarial_loss([*fake, *fake]) == 2
    torch.testing.assert_close(feature_loss(real, fake), torch.tensor(0.5))


def test_each_phase_trains_its_own_part() -> None:
    vae, losses, batch = tiny_sigma_vae(), criterion(), tones(2)
    assert {id(p) for p in losses.parameters_of("discriminator", vae)} == {id(p) for p in losses.parameters()}
    assert {id(p) for p in losses.parameters_of("generator", vae)} == {id(p) for p in vae.parameters()}
    losses(vae, batch, "discriminator")["discriminator_loss"].backward()
    assert all(parameter.grad is None for parameter in vae.parameters())
    assert all(parameter.grad is not None for parameter in losses.parameters())
    torch.stack(list(losses(vae, batch, "generator").values())).sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in vae.parameters())


def test_the_names_of_the_phases_are_the_losses() -> None:
    vae, losses, batch = tiny_sigma_vae(), criterion(), tones(3)
    names = [name for phase in losses.phases for name in losses(vae, batch, phase)]
    assert sorted([*names, "pitch_loss"]) == sorted(losses.losses)  # this tokenizer finds no pitch
    assert losses.weights(batch) == dict.fromkeys(names, 3.0)


def test_sums_of_rows_add_up_where_rows_are_drawn_alike() -> None:
    """Without noise two micro-batches give the sums of the whole batch."""
    vae, losses, whole = tiny_sigma_vae(sigma_rule="none"), criterion(), tones(4)
    halves = [AudioBatch(whole.ids[part], whole.audio[part], 2000) for part in (slice(0, 1), slice(1, 4))]
    for phase in losses.phases:
        parts = [losses(vae, half, phase) for half in halves]
        for name, value in losses(vae, whole, phase).items():
            torch.testing.assert_close(parts[0][name] + parts[1][name], value, rtol=1e-4, atol=1e-4)


def test_the_mel_difference_is_zero_for_the_same_and_grows_with_noise() -> None:
    losses, audio = criterion(), tones(2).audio
    differences = [losses.mel_difference(audio, audio + size * torch.randn(2, 1, 256), 2000) for size in (0, 0.01, 0.3)]
    assert differences[0] == 0
    assert differences[0] < differences[1] < differences[2]


def test_the_tokenizer_learns_to_reconstruct() -> None:
    """Both phases in turn, as the trainer does it: the mel difference falls by 40 percent."""
    vae, losses, batch = tiny_sigma_vae(std=0.1), criterion(), tones(4)
    optimizers = {
        phase: torch.optim.AdamW(losses.parameters_of(phase, vae), lr=3e-3, betas=(0.8, 0.99))
        for phase in losses.phases
    }
    torch.manual_seed(0)
    history = []
    for _ in range(40):
        for phase, optimizer in optimizers.items():
            vae.zero_grad()
            losses.zero_grad()
            sums = losses(vae, batch, phase)
            torch.stack(list(sums.values())).sum().div(4).backward()
            optimizer.step()
        history.append(sums["mel_loss"].item())
    assert history[-1] < 0.6 * history[0]


def test_scales_must_agree() -> None:
    with pytest.raises(ConfigError, match="mel_windows and mel_bins must have as many entries"):
        parse_section(SigmaVAECriterion.Config, {"mel_bins": [5]}, "criterion")


def test_spectra_alone_train_the_whole_tokenizer_in_one_phase() -> None:
    vae, batch = tiny_sigma_vae(), tones(2)
    losses = SpectraCriterion(SpectraCriterion.Config(mel_windows=(32, 64), mel_bins=(5, 10)))
    assert losses.phases == ("generator",)
    sums = losses(vae, batch)
    assert set(sums) == set(losses.weights(batch)) == set(losses.losses) - {"pitch_loss"}
    torch.stack(list(sums.values())).sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in vae.parameters())


def test_what_is_softer_than_the_floor_does_not_count() -> None:
    loud, soft = tones(1).audio, 1e-4 * tones(1).audio
    assert criterion(mel_floor=0.1).mel_difference(soft, torch.zeros_like(soft), 2000) == 0
    assert criterion(mel_floor=0.1).mel_difference(loud, torch.zeros_like(loud), 2000) > 0
    assert criterion().mel_difference(soft, torch.zeros_like(soft), 2000) > 0


def test_wide_ratios_keep_the_size_of_signals_without_an_initializer_range() -> None:
    audio = torch.randn(2, 1, 4000)

    def size_of_frames(initializer_range: float | None) -> float:
        torch.manual_seed(3)
        sizes = {"ratios": (20, 10), "depths": (0, 1, 1), "widths": (8, 32, 32)}
        vae = SigmaVAE(SigmaVAE.Config(**sizes, latent_size=8, initializer_range=initializer_range))
        return float(vae.encode(audio).detach().std())

    assert 0.2 < size_of_frames(None) < 5
    assert size_of_frames(0.01) < 0.01
