"""Cues: times of tokens from an alignment, what sounds around a latent, and a model that is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_voice import request_of

from latent.data.cues import NO_CUE, CueWindow, token_durations
from latent.data.latent_store import LatentStore, StoreFacts, write_store
from latent.data.manifest import Sounding, Utterance
from latent.data.speech_prompts import generation_prompts
from latent.data.vocabulary import NOTHING, PAD, SPEECH_END, SPEECH_START, SpeechVocabulary, timed_tokens
from latent.decoding.next_token_diffusion import NextTokenDiffusionDecoder
from latent.models.latent_lm import MixedState
from latent.models.timed_latent_lm import TimedLatentLM
from latent.tasks.speech_synthesis import SpeechSynthesis
from latent.text.front_end import FrontEnd
from latent.text.phonemes import PhonemeFrontEnd
from s2s import checkpoint
from s2s.errors import ConfigError, InputError
from s2s.run import RunConfig, build_model, parse_config, read_run, train_run

FACTS = StoreFacts("tests", latent_size=3, sample_rate=2000, hop_length=40, sigma_rule="none", std=0.0)
RATE = 50.0
SAID = {"so": ["/S", "/OW"], "no, so": ["/N", "/OW", "/S", "/OW"], "in": ["/IH", "/N"]}


def aligned(text: str, first: float = 0.02) -> tuple[Sounding, ...]:
    """Sounds of 20 ms with 10 ms between them."""
    starts = [first + 0.03 * index for index in range(len(SAID[text]))]
    return tuple(
        Sounding(unit, round(start, 3), round(start + 0.02, 3)) for unit, start in zip(SAID[text], starts, strict=True)
    )


@pytest.fixture
def store(tmp_path: Path) -> Path:
    dictionary = tmp_path / "words.txt"
    dictionary.write_text("so S OW\nno N OW\nin IH N\n")
    generator = np.random.default_rng(0)
    entries = [
        (
            Utterance(str(index), Path("none.wav"), 1.0, text, speaker, alignment=aligned(text)),
            generator.standard_normal((9 + index, 3)).astype(np.float32),
        )
        for index, (text, speaker) in enumerate([("so", "ann"), ("no, so", "bob"), ("in", "ann"), ("so", "bob")])
    ]
    write_store(tmp_path / "store", FACTS, entries)
    return tmp_path / "store"


def run_of(store: Path, steps: int = 3, **options: object) -> RunConfig:
    task = {
        "name": "speech_synthesis",
        "train": str(store),
        "valid": str(store),
        "front_end": {"name": "phonemes", "file": str(store.parent / "words.txt")},
        "cues": {"per_latent": 2, "before": 1, "after": 2},
        "condition_dropout": 0.0,
    }
    model = {"name": "timed_latent_lm", "hidden_size": 16, "num_layers": 2, "num_heads": 2, "num_kv_heads": 1}
    model |= {
        "intermediate_size": 16,
        "max_positions": 80,
        "head": {"num_layers": 1, "timestep_size": 8},
        "cue_size": 4,
    }
    return parse_config(
        {
            "task": task | options,
            "model": model,
            "criterion": {"name": "timed_next_token_diffusion"},
            "decoder": {"name": "next_token_diffusion", "num_inference_steps": 2},
            "optim": {"lr": 1e-2},
            "train": {"max_steps": steps, "max_tokens": 100, "workers": 0, "device": "cpu"},
        }
    )


def task_of(store: Path, **options: object) -> SpeechSynthesis:
    config = run_of(store, **options).task.config  # type: ignore[arg-type]
    assert isinstance(config, SpeechSynthesis.Config)
    return SpeechSynthesis(config)


# Times


durations = st.lists(st.floats(0, 5), min_size=1, max_size=8)


@given(durations, st.integers(1, 3), st.integers(0, 3), st.integers(0, 3), st.integers(1, 9))
def test_a_cue_names_the_token_that_sounds_at_each_of_its_instants(
    lasting: list[float], per_latent: int, before: int, after: int, count: int
) -> None:
    tokens = list(range(10, 10 + len(lasting)))
    cues = CueWindow(per_latent, before, after).cues(tokens, np.array(lasting), count)
    assert cues.shape == (count, (before + 1 + after) * per_latent)
    for latent, cue in enumerate(cues):
        for place, told in enumerate(cue):
            instant = latent - before + (place + 0.5) / per_latent
            ends = np.cumsum(lasting)
            sounding = next((token for token, end in zip(tokens, ends, strict=True) if end > instant), tokens[-1])
            assert told == sounding


def test_silences_belong_to_the_first_mark_and_to_the_ends() -> None:
    sounds = [None, "/N", "/OW", None, None, "/S", "/OW", None]  # "no, so" within quotation marks
    times = [("/N", 0.04, 0.06), ("/OW", 0.06, 0.10), ("/S", 0.20, 0.22), ("/OW", 0.24, 0.26)]
    found = token_durations(sounds, [Sounding(*time) for time in times], 20, RATE)
    #                            silence  "  N  OW  ,  _  S  OW  "  silence; the gap before the last OW is the OW's
    np.testing.assert_allclose(found, [2, 0, 1, 2, 5, 0, 1, 2, 0, 7], atol=1e-9)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 4), st.integers(0, 4)), max_size=8), st.integers(0, 3))
def test_durations_add_up_to_the_recording(tokens: list[tuple[bool, int, int]], rest: int) -> None:
    now, alignment = 0.0, []
    for silent, gap, length in tokens:
        if not silent:
            alignment.append(Sounding("x", now + gap / RATE, now + (gap + length) / RATE))
            now = alignment[-1].end
    latents = round(now * RATE) + rest
    found = token_durations([None if silent else "x" for silent, _, _ in tokens], alignment, latents, RATE)
    assert found.min() >= -1e-9
    assert found.sum() == pytest.approx(latents)


def test_an_alignment_of_another_text_is_told() -> None:
    with pytest.raises(InputError, match=r"'alignment' does not fit 'text': sound 2 must be '/OW', found '/AH'"):
        token_durations(["/N", "/OW"], [Sounding("/N", 0, 0.1), Sounding("/AH", 0.1, 0.2)], 9, RATE)
    with pytest.raises(InputError, match=r"sound 2 must be '/OW', found the end"):
        token_durations(["/N", "/OW"], [Sounding("/N", 0, 0.1)], 9, RATE)


# The task


def test_the_slot_before_a_latent_has_its_cue(store: Path) -> None:
    task = task_of(store)
    dataset = task.dataset("train", 1)
    batch = task.collate([dataset.example(index, 0) for index in range(4)])
    assert batch.cues is not None
    assert batch.timed is not None
    front_end = task.vocabulary.front_end
    sounds = {
        name: NOTHING + 1 + front_end.tokens(word)[place] for name, word, place in [("S", "so", 0), ("OW", "so", 1)]
    }
    row, start = batch.cues[0], len(task.vocabulary.text("so")) + 1
    assert (row[:start] == NO_CUE).all(), "text has no cue"
    assert row[start].tolist() == [SPEECH_START] * 4 + [sounds["S"]] * 2 + [sounds["OW"]] * 2, (
        "1 latent of silence, then S"
    )
    assert (row[start + 9] == SPEECH_END).all(), "the end is predicted from silence"
    assert (row[start + 10 :] == NO_CUE).all()
    durations = batch.timed.durations[0]
    np.testing.assert_allclose(durations[:4], [1, 1, 1.5, 5.5], atol=1e-6)
    assert batch.timed.tokens[0, :4].tolist() == [SPEECH_START, sounds["S"], sounds["OW"], SPEECH_END]
    assert batch.timed.num_tokens == int((batch.timed.tokens != PAD).sum())


def test_without_condition_there_are_no_cues(store: Path) -> None:
    task = task_of(store, condition_dropout=0.999)
    dataset = task.dataset("train", 1)
    batch = task.collate([dataset.example(index, 0) for index in range(4)])
    assert batch.cues is not None
    assert (batch.cues == NO_CUE).all()


def test_recordings_that_are_not_aligned_or_not_with_their_text_are_left_out(
    store: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spoken = LatentStore(store)
    entries = [
        (
            Utterance(said.id, Path("none.wav"), 1.0, said.text, said.speaker, alignment=said.alignment),
            spoken.mean(index),
        )
        for index, said in enumerate(spoken.utterances)
    ]
    entries[1] = (replace(entries[1][0], alignment=None), entries[1][1])
    write_store(tmp_path / "some", FACTS, entries)
    some = task_of(store, train=str(tmp_path / "some"))
    assert len(some.dataset("train", 1)) == 3
    assert some.vocabulary.frames_per_token == pytest.approx((9 + 11 + 12) / 6), "of what is left"
    write_store(tmp_path / "none", FACTS, [(replace(said, alignment=None), mean) for said, mean in entries])
    with pytest.raises(InputError, match=r"none: task\.cues needs 'alignment', which no utterance has"):
        task_of(store, train=str(tmp_path / "none"))
    entries[1] = (replace(entries[0][0], id="odd", alignment=aligned("in")), entries[1][1])
    write_store(tmp_path / "odd", FACTS, entries)
    assert len(task_of(store, train=str(tmp_path / "odd")).dataset("train", 1)) == 3
    assert "1 of 4 utterances have an alignment of another text and are left out: 'odd': 'alignment'" in caplog.text
    write_store(
        tmp_path / "all", FACTS, [(replace(said, alignment=aligned("in")), mean) for said, mean in entries[::3]]
    )
    with pytest.raises(
        InputError, match=r"all: '0': 'alignment' does not fit 'text': sound 1 must be '/S', found '/IH'"
    ):
        task_of(store, train=str(tmp_path / "all"))


def test_durations_of_a_voice_without_a_name_must_be_learned(store: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"task\.condition_dropout: must be above 0 with task\.cues and task\.voice_prompt_prob"
    ):
        task_of(store, voice_prompt_prob=0.5)


@pytest.mark.parametrize(("name", "units"), [("characters", "añoa"), ("bytes", ["a", "<c3>", "<b1>", "o", "a"])])
def test_letters_of_any_language_have_cues(name: str, units: Sequence[str], tmp_path: Path) -> None:
    spans = tuple(Sounding(unit, 0.02 * place, 0.02 * place + 0.02) for place, unit in enumerate(units))
    said = Utterance("0", Path("none.wav"), 1.0, "¡Año, a!", "ann", "es", spans)
    write_store(tmp_path / "letters", FACTS, [(said, np.zeros((9, 3), np.float32))])
    task = task_of(tmp_path / "letters", front_end={"name": name})
    example = task.dataset("train", 1).example(0, 0)
    assert example.timed is not None
    heard = example.timed.durations
    assert heard.sum() == pytest.approx(9)
    letters = [place for place, sound in enumerate(task.vocabulary.sounds(said.text), start=1) if sound]
    np.testing.assert_allclose(heard[letters], 1)


def test_pieces_have_no_alignment(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PhonemeFrontEnd, "sounds", FrontEnd.sounds)
    with pytest.raises(
        ConfigError, match=r"task\.cues: recordings are aligned with phonemes, characters or bytes, not"
    ):
        task_of(store)


def test_cues_need_a_model_that_reads_them(store: Path) -> None:
    config, told = run_of(store), task_of(store).model_defaults()
    assert TimedLatentLM.resolve(config.model.config, told).cue_tokens == 8
    with pytest.raises(ConfigError, match=r"model\.name: 'timed_latent_lm' needs a task with task\.cues, found none"):
        TimedLatentLM.resolve(config.model.config, {**told, "cue_tokens": 0})


@pytest.mark.parametrize(
    ("section", "name", "message"),
    [
        ("model", "latent_lm", r"model\.name: must be 'timed_latent_lm', which the task's 'cue_tokens' is for"),
        ("criterion", "next_token_diffusion", r"criterion\.name: .*NextTokenDiffusion does not train durations"),
    ],
)
def test_parts_that_do_not_fit_are_told_before_training(
    store: Path, tmp_path: Path, section: str, name: str, message: str
) -> None:
    tree = run_of(store).tree()
    tree[section]["name"] = name
    for option in ("cue_size", "cue_tokens", "durations", "strangers", "duration_weight"):
        tree[section].pop(option, None)
    with pytest.raises(ConfigError, match=message):
        train_run(parse_config(tree), tmp_path / "run")


# The model


def tiny_model(store: Path) -> tuple[SpeechSynthesis, TimedLatentLM]:
    config, task = run_of(store), task_of(store)
    torch.manual_seed(1)
    model = TimedLatentLM(TimedLatentLM.resolve(config.model.config, task.model_defaults())).eval()
    return task, model


@torch.no_grad()
def test_generation_is_told_what_training_is_told(store: Path) -> None:
    """Prompts and steps with durations of an alignment give the hidden states of the whole utterances."""
    task, model = tiny_model(store)
    dataset, chosen = task.dataset("train", 1), [0, 1]
    batch = task.collate([dataset.example(index, 0) for index in chosen])
    hidden = model.hidden(batch)
    requests = []
    for index in chosen:
        said = LatentStore(store).utterances[index]
        durations = token_durations(task.vocabulary.sounds(said.text), said.alignment or (), said.frames, RATE)
        requests.append(request_of(task.vocabulary, said.text, said.speaker, durations=durations))
    prompts = generation_prompts(task.vocabulary, requests, latent_size=3)
    assert prompts.cues is not None
    state = model.prefill(prompts.conditional, 40)
    starts, rows = prompts.conditional.lengths - 1, torch.arange(2)
    torch.testing.assert_close(state.hidden, hidden[rows, starts], rtol=1e-4, atol=1e-5)
    for frame in range(9):
        latents = torch.stack([batch.latents[frame], batch.latents[9 + frame]])
        cue = model.embed_cues(prompts.cues[:, min(frame + 1, prompts.cues.shape[1] - 1)])
        after = model.append(state, model.embed_latents(model.normalize(latents)) + cue)
        torch.testing.assert_close(after, hidden[rows, starts + 1 + frame], rtol=1e-4, atol=1e-5)


def test_the_decoder_gives_each_latent_its_cue_and_none_without_condition(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Row 0 ends long before row 1; from then on row 1 must still get its own cues."""
    task, model = tiny_model(store)
    lasting = [np.array([1.0, 1, 2, 0]), np.array([0.0, 3, 2, 1, 1, 4, 2, 0])]
    requests = [
        request_of(task.vocabulary, "so", "ann", durations=lasting[0], max_frames=5),
        request_of(task.vocabulary, "no, so", "bob", durations=lasting[1], max_frames=20, seed=2),
    ]
    prompts = generation_prompts(task.vocabulary, requests, latent_size=3)
    added: list[torch.Tensor] = []
    step = model.append

    def stepping(state: MixedState, inputs: torch.Tensor) -> torch.Tensor:
        added.append(inputs.clone())
        return step(state, inputs)

    monkeypatch.setattr(model, "append", stepping)
    monkeypatch.setattr(model, "embed_latents", lambda latents: torch.zeros(len(latents), 16))
    options = NextTokenDiffusionDecoder.Config(num_inference_steps=2, guidance_scale=1.3, stop_threshold=1.0)
    steps = list(NextTokenDiffusionDecoder(options).stream(model, prompts))
    assert [len(one.rows) for one in steps[:-1]] == [2] * 5 + [1] * 15
    for number, (inputs, frames) in enumerate(zip(added, steps, strict=False), start=1):
        for place, row in enumerate(frames.rows):
            window, said = CueWindow(2, 1, 2), requests[row]
            wanted = window.cues(timed_tokens(task.vocabulary.text(said.text)), lasting[row], number + 1)[number]
            torch.testing.assert_close(inputs[place], model.embed_cues(torch.from_numpy(wanted)))
        assert not inputs[len(frames.rows) :].any()


@torch.no_grad()
def test_no_cue_changes_nothing(store: Path) -> None:
    task, model = tiny_model(store)
    batch = task.collate([task.dataset("train", 1).example(0, 0)])
    assert batch.cues is not None
    bare, told = replace(batch, cues=None), replace(batch, cues=torch.full_like(batch.cues, NO_CUE))
    torch.testing.assert_close(model.hidden(bare), model.hidden(told), rtol=0, atol=0)
    assert not torch.allclose(model.hidden(bare), model.hidden(batch))


def test_durations_of_a_text_do_not_depend_on_others(store: Path) -> None:
    _, model = tiny_model(store)
    rows = torch.tensor([[2, 9, 8, 3, 0, 0], [2, 8, 9, 9, 8, 3]])
    together = model.predict_durations(rows, torch.tensor([1, 4]))
    torch.testing.assert_close(model.predict_durations(rows[:1, :4], torch.tensor([1])), together[:1, :4])


def test_durations_are_learned(store: Path, tmp_path: Path) -> None:
    config = run_of(store, steps=60)
    train_run(config, tmp_path / "run")
    vocabulary = SpeechVocabulary.load(tmp_path / "run")
    assert vocabulary.cues == CueWindow(2, 1, 2)
    model = build_model(read_run(tmp_path / "run")).eval()
    assert isinstance(model, TimedLatentLM)
    checkpoint.load_weights(model, checkpoint.weights_path(tmp_path / "run", None))
    predicted = model.predict_durations(
        torch.tensor([timed_tokens(vocabulary.text("so"))]), torch.tensor([vocabulary.speaker("ann")])
    )
    np.testing.assert_allclose(predicted[0, 1:3], [1, 1.5], atol=0.4)
