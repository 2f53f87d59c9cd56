"""Fine-tuning a VibeVoice: what an example holds, the loss, and what cannot be learned from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
import transformers
from tiny_checkpoint import SWITCHES, write_vibevoice
from torch import Tensor

from latent.criteria.next_token_diffusion import NextTokenDiffusion
from latent.data.latent_store import StoreFacts, write_store
from latent.data.manifest import Utterance
from latent.data.turns import SpeakerTurn
from latent.models.vibevoice_language import VibeVoiceLanguage
from latent.tasks.vibevoice_synthesis import VibeVoiceSynthesis
from s2s.checkpoint import named_tensors
from s2s.errors import ConfigError, InputError
from s2s.models.adapted import start_from_base
from s2s.nn.adapters import adapters_of

L, S = 3, 5
FACTS = StoreFacts("tiny", L, 24_000, 3200, "none", 0.0, semantic_size=S)
"""Without noise, so that latents tell where they come from."""
PEOPLE = {"ann": 3, "ben": 2, "eve": 4}


def entries(people: dict[str, int], first: int = 0) -> list[tuple[Utterance, Any]]:
    """Utterance n of 4 + n frames: all its means are n, its features 100 + n."""
    found = []
    for speaker, count in people.items():
        for _ in range(count):
            number = first + len(found)
            frames = np.full((4 + number, L + S), number, np.float32)
            frames[:, L:] += 100
            said = Utterance(f"u{number}", Path("none"), 1.0, f"This is {number}.", speaker)
            found.append((said, frames))
    return found


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_vibevoice(tmp_path_factory.mktemp("tuning") / "tiny")


@pytest.fixture
def store(tmp_path: Path) -> Path:
    write_store(tmp_path / "store", FACTS, entries(PEOPLE))
    return tmp_path / "store"


def task_of(checkpoint: Path, store: Path, valid: Path | None = None, **options: Any) -> VibeVoiceSynthesis:
    given = {"train": str(store), "valid": str(valid or store), "tokenizer": str(checkpoint), **options}
    return VibeVoiceSynthesis(VibeVoiceSynthesis.Config(**given))


def spelled(tokens: Sequence[int]) -> str:
    """Tokens as text, the switches as <start>, ⟂, <end>, <stop>."""
    marks = {SWITCHES["latent"]: "⟂", **{SWITCHES[name]: f"<{name}>" for name in ("start", "end", "stop")}}
    letters = sorted(transformers_bytes())
    return "".join(marks.get(token) or letters[token] for token in tokens).replace("Ġ", " ").replace("Ċ", "\n")


def transformers_bytes() -> list[str]:
    from tokenizers import pre_tokenizers

    return pre_tokenizers.ByteLevel.alphabet()


def test_an_example_is_the_prompt_of_synthesis_and_then_the_speech(checkpoint: Path, store: Path) -> None:
    options = {"voice_prompt_drop": 0, "condition_dropout": 0, "voice_frames": 3, "min_voice_frames": 3}
    example = task_of(checkpoint, store, **options).dataset("train", 1).example(0, 0)
    assert spelled(example.tokens) == (
        " Transform the text provided by various speakers into speech output, utilizing the distinct voice of each "
        "respective speaker.\n Voice input:\n Speaker 0:<start>⟂⟂⟂<end>\n Text input:\n Speaker 0: This is 0.\n"
        " Speech output:\n<start>⟂⟂⟂⟂<end><stop>"
    )
    assert example.latents[3:].tolist() == [[0.0] * L] * 4
    assert example.features.tolist() == [[100.0] * S] * 4


def test_the_voice_is_always_another_recording_of_the_same_speaker(checkpoint: Path, store: Path) -> None:
    task = task_of(checkpoint, store, voice_prompt_drop=0, condition_dropout=0, voice_frames=2)
    data, heard = task.dataset("train", 3), dict[int, set[int]]()
    for epoch in range(40):
        for index in range(len(data)):
            example = data.example(index, epoch)
            heard.setdefault(index, set()).update(example.latents[: example.voice].flatten().astype(int).tolist())
    speakers = [speaker for speaker, count in PEOPLE.items() for _ in range(count)]
    for index, voices in heard.items():
        assert voices == {n for n, speaker in enumerate(speakers) if speaker == speakers[index] and n != index}


def test_voices_of_validation_are_recordings_of_training(checkpoint: Path, store: Path, tmp_path: Path) -> None:
    write_store(tmp_path / "valid", FACTS, entries({"ann": 1, "zoe": 2}, first=20))
    task = task_of(checkpoint, store, tmp_path / "valid", voice_prompt_drop=0, voice_frames=2)
    data = task.dataset("valid", 1)
    examples = [data.example(index, 0) for index in range(3)]
    heard = [int(example.latents[0, 0]) for example in examples]
    assert heard[0] in (0, 1, 2), "of ann in training"
    assert heard[1:] == [22, 21], "zoe is new, so her other recording"
    for index, example in enumerate(examples):
        again = data.example(index, 7)
        assert again.tokens == example.tokens
        assert np.array_equal(again.latents, example.latents)


@pytest.mark.parametrize(("drop", "untold"), [(0.0, 0.0), (0.25, 0.0), (1.0, 0.0), (0.25, 0.3)])
def test_voice_and_text_are_dropped_as_often_as_asked(
    checkpoint: Path, store: Path, drop: float, untold: float
) -> None:
    task = task_of(checkpoint, store, voice_prompt_drop=drop, condition_dropout=untold)
    data = task.dataset("train", 1)
    examples = [data.example(index, epoch) for epoch in range(60) for index in range(len(data))]
    bare = [example for example in examples if example.tokens[0] == SWITCHES["start"]]
    assert len(bare) / len(examples) == pytest.approx(untold, abs=0.06)
    assert all(spelled(example.tokens) == f"<start>{'⟂' * len(example.features)}<end><stop>" for example in bare)
    told = [example for example in examples if example.tokens[0] != SWITCHES["start"]]
    assert sum(not example.voice for example in told) / len(told) == pytest.approx(drop, abs=0.06)
    assert all(("Voice input" in spelled(example.tokens)) == bool(example.voice) for example in told)


def test_lengths_are_those_of_the_longest_examples(checkpoint: Path, store: Path) -> None:
    options = {"voice_prompt_drop": 0, "condition_dropout": 0, "voice_frames": 2, "min_voice_frames": 2}
    data = task_of(checkpoint, store, **options).dataset("train", 1)
    assert data.lengths.tolist() == [len(data.example(index, 0).tokens) for index in range(len(data))]


DIALOGUE = (
    SpeakerTurn("eve", "Who is there?", 0.0, 0.3),
    SpeakerTurn("ann", "Me.  Ann.", 0.4, 0.7),
    SpeakerTurn("eve", "Come in.", 0.7, 0.8),
)


def dialogue(id: str, number: int, turns: tuple[SpeakerTurn, ...]) -> tuple[Utterance, Any]:
    """A recording of 6 frames of 2/15 s, whose means are its number."""
    frames = np.full((6, L + S), number, np.float32)
    said = Utterance(id, Path("none"), 0.8, " ".join(turn.text for turn in turns), turns=turns)
    return said, frames


def test_a_dialogue_has_a_line_for_each_turn_and_a_voice_for_each_speaker(checkpoint: Path, tmp_path: Path) -> None:
    write_store(tmp_path / "store", FACTS, [*entries(PEOPLE), dialogue("talk", 50, DIALOGUE)])
    options = {"voice_prompt_drop": 0, "condition_dropout": 0, "voice_frames": 2, "min_voice_frames": 2}
    task = task_of(checkpoint, tmp_path / "store", **options)
    data = task.dataset("train", 1)
    example = data.example(9, 0)
    assert spelled(example.tokens).partition(" Voice input:\n")[2] == (
        " Speaker 0:<start>⟂⟂<end>\n Speaker 1:<start>⟂⟂<end>\n Text input:\n Speaker 0: Who is there?\n"
        " Speaker 1: Me. Ann.\n Speaker 0: Come in.\n Speech output:\n<start>⟂⟂⟂⟂⟂⟂<end><stop>"
    )
    assert (example.voice, data.lengths[9]) == (4, len(example.tokens))
    for epoch in range(20):
        eve, ann = data.example(9, epoch).latents[[0, 2], 0]
        assert (eve in (5, 6, 7, 8), ann in (0, 1, 2)) == (True, True)
    batch = task.collate([example])
    assert batch.latents[batch.predicted, 0].tolist() == [50.0] * 6
    found = losses(tuned(checkpoint), batch)
    wanted = independent_losses(checkpoint, [example])
    assert {name: loss.item() for name, loss in found.items()} == pytest.approx(wanted, rel=2e-5)


def test_voices_come_from_turns_of_other_dialogues_whose_times_are_known(checkpoint: Path, tmp_path: Path) -> None:
    talks = [dialogue(f"talk{number}", number, DIALOGUE) for number in (50, 60)]
    talks[1][1][:, 0] = np.arange(6) + 60  # frames of 2/15 s: eve is in 0 to 1 and in none, ann in 3 to 4
    write_store(tmp_path / "store", FACTS, talks)
    task = task_of(checkpoint, tmp_path / "store", voice_prompt_drop=0, condition_dropout=0)
    data = task.dataset("train", 1)
    example = data.example(0, 0)
    assert example.latents[: example.voice, 0].tolist() == [60, 61, 63, 64]
    untimed = tuple(SpeakerTurn(turn.speaker, turn.text) for turn in DIALOGUE)
    write_store(tmp_path / "untimed", FACTS, [dialogue("a", 1, untimed), dialogue("b", 2, untimed)])
    with pytest.raises(InputError, match=r"speaker 'eve' has one recording, 'a'.*with times of turns.*drop=1"):
        task_of(checkpoint, tmp_path / "untimed")
    assert task_of(checkpoint, tmp_path / "untimed", voice_prompt_drop=1).dataset("train", 1).example(0, 0).voice == 0


def batch_of(task: VibeVoiceSynthesis, indices: Sequence[int] = (0, 4, 7)) -> Any:
    data = task.dataset("train", 1)
    return task.collate([data.example(index, 0) for index in indices])


def test_each_token_but_those_of_voices_and_each_latent_of_speech_is_predicted(checkpoint: Path, store: Path) -> None:
    task = task_of(checkpoint, store, voice_prompt_drop=0, condition_dropout=0, voice_frames=3, min_voice_frames=3)
    data = task.dataset("train", 1)
    examples = [data.example(index, 0) for index in (0, 4)]
    batch = batch_of(task, (0, 4))
    width = batch.tokens.shape[1]
    for row, example in enumerate(examples):
        mine = [slot - row * width for slot in batch.slots.tolist() if row * width <= slot < (row + 1) * width]
        voice = example.tokens.index(SWITCHES["latent"])
        assert mine == [place for place in range(len(example.tokens) - 1) if not voice - 1 <= place < voice + 2]
    assert batch.labels.tolist() == batch.tokens.flatten()[batch.slots + 1].tolist()
    spoken = batch.latent_slots[batch.predicted]
    assert torch.equal(batch.feature_slots, spoken)
    assert (batch.tokens.flatten()[spoken] == SWITCHES["latent"]).all()
    assert batch.latents[batch.predicted, 0].tolist() == [0.0] * 4 + [4.0] * 8


def tuned(checkpoint: Path, **adapters: Any) -> VibeVoiceLanguage:
    """The tiny checkpoint, as training begins."""
    config = {"init": str(checkpoint)} | ({"adapters": adapters} if adapters else {})
    resolved = VibeVoiceLanguage.resolve(VibeVoiceLanguage.Config(**config), {})
    torch.manual_seed(0)
    model = VibeVoiceLanguage(resolved)
    start_from_base(model)
    return model.eval()


def losses(model: VibeVoiceLanguage, batch: Any, seed: int = 5) -> dict[str, Tensor]:
    criterion = NextTokenDiffusion(NextTokenDiffusion.Config(token_weight=0.04, latent_weight=1.4))
    torch.manual_seed(seed)
    sums = criterion(cast(Any, model), batch)
    weights = criterion.weights(batch)
    return {name: sums[name] / weights[name] for name in ("token_loss", "latent_loss")}


@torch.no_grad()
def independent_losses(checkpoint: Path, examples: Sequence[Any], seed: int = 5) -> dict[str, float]:
    """The same with the classes of `transformers`, one example and one latent at a time."""
    whole = transformers.VibeVoiceForConditionalGeneration.from_pretrained(checkpoint).eval()
    inner, hidden, tokens, counts = whole.model, [], 0.0, 0
    for example in examples:
        embedded = inner.language_model.embed_tokens(torch.tensor(example.tokens))
        places = [place for place, token in enumerate(example.tokens) if token == SWITCHES["latent"]]
        for number, place in enumerate(places):
            scaled = (torch.tensor(example.latents[number]) - 0.1) * 0.7
            embedded[place] = inner.multi_modal_projector(scaled)
            if number >= example.voice:
                embedded[place] += inner.semantic_connector(torch.tensor(example.features[number - example.voice]))
        states = inner.language_model(inputs_embeds=embedded.unsqueeze(0)).last_hidden_state[0]
        scores = whole.lm_head(states).log_softmax(-1)
        for place in range(1, len(example.tokens)):
            if place not in places[: example.voice]:
                tokens -= float(scores[place - 1, example.tokens[place]])
                counts += 1
        for number, place in list(enumerate(places))[example.voice :]:
            hidden.append((states[place - 1], (torch.tensor(example.latents[number]) - 0.1) * 0.7))
    torch.manual_seed(seed)
    steps = torch.randint(1000, (4 * len(hidden),))
    noise = torch.randn(4 * len(hidden), L)
    u = torch.arange(1001, dtype=torch.float64) / 1000
    bars = ((u + 0.008) / 1.008 * torch.pi / 2).cos() ** 2
    alphas = (1 - (1 - bars[1:] / bars[:-1]).clamp(max=0.999)).cumprod(0)
    total = 0.0
    for row in range(len(noise)):
        condition, clean = hidden[row // 4]
        alpha, sigma = (float(value) for value in (alphas[steps[row]].sqrt(), (1 - alphas[steps[row]]).sqrt()))
        noisy = alpha * clean + sigma * noise[row]
        found = inner.diffusion_head(noisy[None], steps[row : row + 1].float(), condition=condition[None])
        total += float((found[0] - (alpha * noise[row] - sigma * clean)).square().mean())
    return {"token_loss": 0.04 * tokens / counts, "latent_loss": 1.4 * total / len(noise)}


def test_losses_are_those_of_an_independent_computation(checkpoint: Path, store: Path) -> None:
    """Would fail if a condition had seen its latent, a placeholder stayed, or a voice had semantic features."""
    task = task_of(checkpoint, store, voice_prompt_drop=0, condition_dropout=0, voice_frames=3)
    data = task.dataset("train", 1)
    examples = [data.example(index, 0) for index in (0, 4, 7)]
    found = losses(tuned(checkpoint), task.collate(examples))
    wanted = independent_losses(checkpoint, examples)
    assert {name: loss.item() for name, loss in found.items()} == pytest.approx(wanted, rel=2e-5)


def test_a_condition_knows_nothing_of_its_latent_but_of_those_before(checkpoint: Path, store: Path) -> None:
    task = task_of(checkpoint, store, condition_dropout=0, voice_prompt_drop=1)
    batch, model = batch_of(task, (0,)), tuned(checkpoint)
    latents = batch.latents.clone().requires_grad_()
    hidden = model.hidden(replace(batch, latents=latents)).flatten(0, 1)
    for number, slot in enumerate(batch.latent_slots[batch.predicted].tolist()):
        (gradient,) = torch.autograd.grad(hidden[slot - 1].sum(), latents, retain_graph=True)
        reached = gradient.abs().sum(1) > 0
        assert reached.tolist() == [other < number for other in range(len(latents))]


def test_nothing_depends_on_the_embedding_of_the_placeholder_as_an_input(checkpoint: Path, store: Path) -> None:
    batch, model = batch_of(task_of(checkpoint, store, voice_prompt_drop=0)), tuned(checkpoint)
    before = model.embed(batch)
    with torch.no_grad():
        model.embeddings.weight[SWITCHES["latent"]] += 100
    assert torch.equal(model.embed(batch), before)


def test_gradients_of_both_losses_equal_finite_differences(
    checkpoint: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Tensor, "float", Tensor.double)  # losses are summed in float32, too coarse for differences
    task = task_of(checkpoint, store, voice_prompt_drop=0, condition_dropout=0, voice_frames=3)
    batch = batch_of(task, (0, 4))
    model = tuned(checkpoint, rank=2, targets=["q_proj", "v_proj", "up_proj"], full=["head", "*connector"]).double()
    torch.manual_seed(2)
    for adapter in adapters_of(model).values():
        torch.nn.init.normal_(adapter.up, std=0.3)
    batch = replace(batch, latents=batch.latents.double(), features=batch.features.double())

    def loss() -> Tensor:
        return sum(losses(model, batch).values(), torch.tensor(0.0))

    loss().backward()  # type: ignore[no-untyped-call]
    checked = named_tensors(model)
    assert {name.split(".")[0] for name in checked} == {"layers", "head", "connector", "semantic_connector"}
    for name, tensor in checked.items():
        direction = torch.randn(tensor.shape, dtype=torch.float64)
        with torch.no_grad():
            tensor += 1e-5 * direction
            above = loss()
            tensor -= 2e-5 * direction
            below = loss()
            tensor += 1e-5 * direction
        assert tensor.grad is not None, name
        slope = ((above - below) / 2e-5).item()
        assert slope == pytest.approx((tensor.grad * direction).sum().item(), rel=1e-5, abs=1e-8), name


@pytest.mark.parametrize(
    ("people", "message"),
    [
        ({"unknown": 3}, r"no line of its manifest names a 'speaker'.*task\.voice_prompt_drop=1"),
        ({"ann": 3, "ben": 1}, r"speaker 'ben' has one recording, 'u3'; the voice comes from another one"),
    ],
)
def test_speakers_without_another_recording_are_refused_unless_voices_are(
    checkpoint: Path, tmp_path: Path, people: dict[str, int], message: str
) -> None:
    write_store(tmp_path / "bad", FACTS, entries(people))
    with pytest.raises(InputError, match=message):
        task_of(checkpoint, tmp_path / "bad")
    data = task_of(checkpoint, tmp_path / "bad", voice_prompt_drop=1).dataset("train", 1)
    assert not any(data.example(index, 0).voice for index in range(len(data)))


def test_stores_of_other_encoders_are_refused(checkpoint: Path, store: Path, tmp_path: Path) -> None:
    plain = [(said, mean[:, :L]) for said, mean in entries(PEOPLE)]
    write_store(tmp_path / "plain", replace(FACTS, semantic_size=0), plain)
    with pytest.raises(InputError, match=r"plain: has no semantic features; encode it with --tokenizer .*tiny"):
        task_of(checkpoint, tmp_path / "plain")
    wide = [(said, np.pad(mean, ((0, 0), (0, 1)))) for said, mean in entries(PEOPLE)]
    write_store(tmp_path / "wide", replace(FACTS, semantic_size=S + 1), wide)
    with pytest.raises(ConfigError, match=r"task\.valid: .*wide: has other latents than task\.train"):
        task_of(checkpoint, store, tmp_path / "wide")
    defaults = task_of(checkpoint, tmp_path / "wide").model_defaults()
    with pytest.raises(ConfigError, match=r"model\.semantic_size: the data have 6, .*tiny has 5"):
        VibeVoiceLanguage.resolve(VibeVoiceLanguage.Config(init=str(checkpoint)), defaults)


def test_what_does_not_fit_the_checkpoint_is_refused(checkpoint: Path) -> None:
    def resolve(defaults: dict[str, Any] | None = None, **options: Any) -> Any:
        return VibeVoiceLanguage.resolve(VibeVoiceLanguage.Config(**options), defaults or {})

    with pytest.raises(ConfigError, match=r"model\.init: must name the VibeVoice checkpoint"):
        resolve()
    with pytest.raises(ConfigError, match=r"model\.hidden_size: must be 12 as in .*tiny, found 16"):
        resolve(init=str(checkpoint), hidden_size=16)
    with pytest.raises(ConfigError, match=r"longest example needs 601 positions, .*tiny has 600"):
        resolve({"num_positions": 601}, init=str(checkpoint))
    assert resolve(init=str(checkpoint), dropout=0.1).hidden_size == 12
