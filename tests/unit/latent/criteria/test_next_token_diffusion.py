"""The criterion of LatentLM: its parts are what they say, it learns to draw latents and to stop."""

from __future__ import annotations

import pytest
import torch
from tiny_models import tiny_latent_lm

from latent.criteria.next_token_diffusion import NextTokenDiffusion, diffusion_loss
from latent.data.batch import GenerationPrompts, MixedBatch, MixedSequences
from latent.decoding.next_token_diffusion import NextTokenDiffusionDecoder
from latent.diffusion.schedule import add_noise, target
from latent.models.latent_lm import HeadSection, LatentLM

LATENT, END, START = 9, 10, 8


def tiny_model(hidden_size: int = 32, **options: object) -> LatentLM:
    sizes = {"latent_size": 2, "latent_mean": 0.0, "latent_std": 1.0, "num_heads": 4, "intermediate_size": 64}
    sizes |= {"hidden_size": hidden_size, "head": HeadSection(num_layers=2), "initializer_range": 0.02}
    return tiny_latent_lm(**(sizes | options))


def speech(texts: list[list[int]], latents: list[torch.Tensor]) -> MixedBatch:
    """Text, the start of speech, latents, the end of speech, all on one level; all but the text is predicted."""
    lengths = [len(text) + 2 + len(sound) for text, sound in zip(texts, latents, strict=True)]
    width = max(lengths)
    tokens, latent_slots, slots, labels = torch.zeros(len(texts), width, dtype=torch.int64), [], [], []
    for row, (text, sound) in enumerate(zip(texts, latents, strict=True)):
        line = [*text, START, *[LATENT] * len(sound), END]
        tokens[row, : len(line)] = torch.tensor(line)
        first = row * width + len(text) + 1
        latent_slots += range(first, first + len(sound))
        slots += range(first - 1, first + len(sound))
        labels += line[len(text) + 1 :]
    every = torch.cat(latents)
    ids = [str(row) for row in range(len(texts))]
    return MixedBatch(
        ids,
        tokens,
        torch.tensor(lengths),
        every,
        torch.tensor(latent_slots),
        slots=torch.tensor(slots),
        labels=torch.tensor(labels),
        predicted=torch.arange(len(every)),
        pad_id=0,
    )


@pytest.mark.parametrize("prediction", ["v", "epsilon", "clean"])
def test_the_diffusion_loss_is_the_mean_over_draws_and_numbers(prediction: str) -> None:
    model = tiny_model(prediction=prediction)
    for parameter in model.head.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    clean, conditions = torch.randn(3, 2), torch.randn(3, 32)
    torch.manual_seed(8)
    losses = diffusion_loss(model, clean, conditions, noise_draws=5)
    torch.manual_seed(8)
    steps, noise = torch.randint(1000, (15,)), torch.randn(15, 2)
    for row in range(3):
        expected = 0.0
        for draw in range(5 * row, 5 * row + 5):
            alpha, sigma = model.schedule.alpha[steps[draw]], model.schedule.sigma[steps[draw]]
            noisy = add_noise(clean[row], noise[draw], alpha, sigma)
            output = model.head(noisy[None], steps[draw : draw + 1], conditions[row : row + 1])[0]
            expected += (output - target(prediction, clean[row], noise[draw], alpha, sigma)).square().mean() / 5
        torch.testing.assert_close(losses[row], expected, rtol=1e-5, atol=1e-5)


def test_a_latent_is_denoised_from_the_state_before_it() -> None:
    """The condition of a latent may depend on earlier latents, never on itself or later ones."""
    model = tiny_model().requires_grad_(False)
    for parameter in model.head.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    batch = speech([[1, 2]], [torch.randn(4, 2)])
    latents = batch.latents.clone().requires_grad_()
    hidden = model.hidden(MixedSequences(batch.ids, batch.tokens, batch.lengths, latents, batch.latent_slots))
    for index, slot in enumerate((batch.latent_slots[batch.predicted] - 1).tolist()):
        (gradient,) = torch.autograd.grad(hidden[0, slot].sum(), latents, retain_graph=True)
        assert (gradient.abs().sum(1) > 0).tolist() == [other < index for other in range(4)]


def test_sums_weights_and_factors() -> None:
    model, batch = tiny_model(), speech([[1], [2, 3]], [torch.randn(3, 2), torch.randn(1, 2)])
    plain = NextTokenDiffusion(NextTokenDiffusion.Config())
    weighted = NextTokenDiffusion(NextTokenDiffusion.Config(token_weight=3, latent_weight=0.5))
    assert plain.weights(batch) == {"token_loss": 6, "latent_loss": 4, "accuracy": 6}
    sums = []
    for criterion in (plain, weighted):
        torch.manual_seed(1)
        sums.append(criterion(model, batch))
    torch.testing.assert_close(sums[1]["token_loss"], 3 * sums[0]["token_loss"])
    torch.testing.assert_close(sums[1]["latent_loss"], 0.5 * sums[0]["latent_loss"])
    scores = model.logits(model.hidden(batch).flatten(0, 1).index_select(0, batch.slots))
    expected = torch.nn.functional.cross_entropy(scores, batch.labels, reduction="sum")
    torch.testing.assert_close(sums[0]["token_loss"], expected)


def test_it_learns_what_to_say_and_when_to_stop() -> None:
    """Two texts, three latents for one and five for the other: generation gives them back, and their number."""
    generator = torch.Generator().manual_seed(0)
    sounds = [torch.randn(count, 2, generator=generator) for count in (3, 5)]
    model, batch = tiny_model(), speech([[1], [2]], sounds)
    criterion = NextTokenDiffusion(NextTokenDiffusion.Config(noise_draws=16))
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3)
    torch.manual_seed(0)
    for _ in range(250):
        sums, weights = criterion(model, batch), criterion.weights(batch)
        loss = sum(sums[name] / weights[name] for name in criterion.losses)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    text = MixedSequences(
        ["0", "1"],
        torch.tensor([[1, START], [2, START]]),
        torch.tensor([2, 2]),
        torch.empty(0, 2),
        torch.empty(0, dtype=torch.int64),
    )
    prompts = GenerationPrompts(text, text, LATENT, END, [3, 4], torch.ones(2), [9, 9])
    decoder = NextTokenDiffusionDecoder(NextTokenDiffusionDecoder.Config(guidance_scale=1))
    drawn: list[list[torch.Tensor]] = [[], []]
    ended = {}
    for step in decoder.stream(model.eval(), prompts):
        ended |= step.ended
        for row, latent in zip(step.rows, step.latents, strict=True):
            drawn[row].append(latent)
    assert ended == {0: True, 1: True}
    assert [len(latents) for latents in drawn] == [3, 5]
    for latents, sound in zip(drawn, sounds, strict=True):
        assert (torch.stack(latents) - sound).square().mean() < 0.05
