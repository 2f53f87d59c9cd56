"""Speakers without a name: what training tells of them, and how fast they speak."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_voice import request_of

from latent.data.latent_store import Latents, StoreFacts, write_store
from latent.data.manifest import Sounding, Utterance
from latent.data.speech_prompts import generation_prompts
from latent.data.vocabulary import (
    LATENT,
    NOTHING,
    SPEECH_START,
    VOICE_END,
    VOICE_START,
    SpeechVocabulary,
    timed_tokens,
)
from latent.models.timed_latent_lm import TimedLatentLM
from latent.tasks.speech_synthesis import SpeechExample, SpeechSynthesis
from s2s import checkpoint
from s2s.errors import ConfigError, InputError
from s2s.run import build_model, parse_config, read_run, train_run

FACTS = StoreFacts("tests", latent_size=2, sample_rate=2000, hop_length=40, sigma_rule="none", std=0.0)
PACES = {"ann": 2, "bob": 4, "cyd": 2, "dan": 4}
"""Latents of each sound; the latents of slow speakers are about 1, those of fast ones about -1."""


def spoken(speaker: str, number: int) -> tuple[Utterance, Latents]:
    pace, sounds = PACES[speaker], ["/S", "/OW", "/N", "/OW"]
    alignment = [Sounding(sound, place * pace / 50, (place + 1) * pace / 50) for place, sound in enumerate(sounds)]
    noise = np.random.default_rng(number).standard_normal((4 * pace, 2))
    said = Utterance(f"{speaker}{number}", Path("none.wav"), 1.0, "so no", speaker, alignment=tuple(alignment))
    return said, (0.1 * noise + (1 if pace > 2 else -1)).astype(np.float32)


def store(folder: Path, *speakers: str) -> Path:
    (folder.parent / "words.txt").write_text("so S OW\nno N OW\n")
    write_store(folder, FACTS, [spoken(speaker, number) for speaker in speakers for number in range(4)])
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return store(tmp_path / "store", "ann", "bob")


OPTIONS = {"voice_prompt_prob": 1.0, "voice_frames": 12, "min_voice_frames": 5, "nameless_rate": 0.5}


def task(folder: Path, **options: object) -> SpeechSynthesis:
    told = {"front_end": {"name": "phonemes", "file": str(folder.parent / "words.txt")}, "cues": {}}
    given = {"train": str(folder), "valid": str(folder)} | told | OPTIONS | options
    return SpeechSynthesis(SpeechSynthesis.Config(**given))


def kind(example: SpeechExample, vocabulary: SpeechVocabulary) -> tuple[str, bool]:
    """Whom an example names, and whether there is a voice prompt."""
    voice = VOICE_START in example.tokens
    token = example.tokens[example.tokens.index(VOICE_END) + 1 if voice else 0]
    names = {vocabulary.stranger: "stranger", NOTHING: "nothing"}
    return names.get(token, "name"), voice


def test_the_stranger_is_one_token_after_all_others(folder: Path, tmp_path: Path) -> None:
    with_strangers, without = task(folder).vocabulary, task(folder, nameless_rate=0).vocabulary
    assert with_strangers.stranger == len(without) == len(with_strangers) - 1
    assert without.stranger is None
    assert with_strangers.speaker("bob") == without.speaker("bob")
    with_strangers.save(tmp_path)
    assert SpeechVocabulary.load(tmp_path) == with_strangers


def test_names_voices_and_texts_are_left_out_as_often_as_asked(folder: Path) -> None:
    whole = task(folder, condition_dropout=0.2)
    dataset = whole.dataset("train", 1)
    seen = Counter(kind(dataset.example(index, epoch), whole.vocabulary) for epoch in range(100) for index in range(8))
    shares = {who: count / 800 for who, count in seen.items()}
    wanted = {
        ("nothing", False): 0.2,
        ("stranger", False): 0.8 * 0.2,
        ("stranger", True): 0.8 * 0.8 * 0.5,
        ("name", True): 0.8 * 0.8 * 0.5,
    }
    assert shares == pytest.approx(wanted, abs=0.05)


def test_validation_drops_nothing_and_is_the_same_every_time(folder: Path) -> None:
    whole = task(folder, condition_dropout=0.5)
    valid = whole.dataset("valid", 1)
    for index in range(8):
        first, later = valid.example(index, 0), valid.example(index, 7)
        assert first.tokens == later.tokens
        np.testing.assert_array_equal(first.latents, later.latents)
        assert kind(first, whole.vocabulary) in {("name", True), ("stranger", True)}


def test_voice_prompts_have_all_lengths_and_join_short_utterances(folder: Path) -> None:
    whole = task(folder, condition_dropout=0)
    dataset = whole.dataset("train", 1)
    found = set()
    for index in range(8):
        examples = [dataset.example(index, epoch) for epoch in range(3)]
        lengths = {example.tokens.index(VOICE_END) - 1 for example in examples}
        assert len(lengths) == 1, "the same in every epoch, for batches of similar length"
        assert all(len(example.tokens) == dataset.lengths[index] for example in examples)
        found |= lengths
    assert found <= set(range(5, 13))
    assert len(found) > 3
    assert max(found) > 8, "longer than any utterance of ann"


def test_prompts_are_of_the_speaker_but_not_of_the_utterance(folder: Path) -> None:
    whole = task(folder, condition_dropout=0)
    dataset = whole.dataset("train", 1)
    for index in range(8):
        example = dataset.example(index, 0)
        count = example.tokens.index(VOICE_END) - 1
        voice, said = example.latents[:count], example.latents[count:]
        assert (np.sign(voice.mean()) == np.sign(said.mean())).all()
        assert not (voice[:, None] == said[None]).all(-1).any()


def test_validation_may_have_voices_that_training_never_heard(folder: Path, tmp_path: Path) -> None:
    others = store(tmp_path / "others", "cyd")
    whole = task(folder, valid=str(others), nameless_rate=0.1)
    valid = whole.dataset("valid", 1)
    assert {kind(valid.example(index, 0), whole.vocabulary) for index in range(4)} == {("stranger", True)}
    with pytest.raises(InputError, match=r"'cyd0': speaker 'cyd' is not in task\.train"):
        task(folder, valid=str(others), nameless_rate=0)


def test_durations_are_told_the_voice_of_strangers_alone(folder: Path) -> None:
    whole = task(folder, condition_dropout=0.3)
    dataset = whole.dataset("train", 1)
    examples = [dataset.example(index, epoch) for index in range(8) for epoch in range(3)]
    batch = whole.collate(examples)
    assert batch.timed is not None
    for row, example in enumerate(examples):
        who, heard = kind(example, whole.vocabulary)
        told = batch.timed.voices[row]
        if who == "stranger" and heard:
            mean = example.latents[: example.tokens.index(VOICE_END) - 1].mean(0)
            torch.testing.assert_close(told, torch.from_numpy(mean))
        else:
            assert told.isnan().all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_voice_frames": 13}, r"task\.min_voice_frames: must be at most task\.voice_frames \(12\), found 13"),
        (
            {"voice_prompt_prob": 0},
            r"task\.voice_prompt_prob: must be above 0 with task\.nameless_rate, found 0",
        ),
    ],
)
def test_options_that_contradict_each_other_are_told(folder: Path, options: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        task(folder, **options)


def test_guidance_has_the_text_without_the_voice_at_the_same_time(folder: Path) -> None:
    vocabulary = task(folder).vocabulary
    voice, durations = np.ones((5, 2), np.float32), np.array([1.0, 2, 2, 2, 2, 0])
    wanted = [
        request_of(vocabulary, "so no", None, voice, durations[: len(vocabulary.text("so no")) + 2]),
        request_of(vocabulary, "so", "bob", None, durations[: len(vocabulary.text("so")) + 2]),
    ]
    prompts = generation_prompts(vocabulary, wanted, latent_size=2)
    assert prompts.textual is not None
    assert prompts.conditional.cues is not None
    assert prompts.textual.cues is not None
    assert not len(prompts.textual.latents)
    for row, request in enumerate(wanted):
        length, whole = int(prompts.textual.lengths[row]), int(prompts.conditional.lengths[row])
        tokens = prompts.textual.tokens[row, :length].tolist()
        assert tokens == [vocabulary.stranger, *vocabulary.text(request.text), SPEECH_START]
        assert torch.equal(prompts.textual.cues[row, length - 1], prompts.conditional.cues[row, whole - 1])
    assert LATENT in prompts.conditional.tokens


def test_the_pace_of_a_stranger_is_heard_from_the_prompt(folder: Path, tmp_path: Path) -> None:
    """Two voices of two paces: the durations follow whichever the prompt resembles, and the average without one."""
    sizes = {"hidden_size": 16, "num_layers": 1, "num_heads": 2, "num_kv_heads": 1, "intermediate_size": 16}
    config = parse_config(
        {
            "task": {"name": "speech_synthesis"} | task(folder, nameless_rate=1.0).config.model_dump(),
            "model": {"name": "timed_latent_lm", "max_positions": 80, "head": {"num_layers": 1, "timestep_size": 8}}
            | sizes,
            "criterion": {"name": "timed_next_token_diffusion", "duration_weight": 1.0},
            "optim": {"lr": 1e-2},
            "train": {"max_steps": 60, "max_tokens": 200, "workers": 0, "device": "cpu"},
        }
    )
    train_run(config, tmp_path / "run")
    model, vocabulary = build_model(read_run(tmp_path / "run")).eval(), SpeechVocabulary.load(tmp_path / "run")
    assert isinstance(model, TimedLatentLM)
    checkpoint.load_weights(model, checkpoint.weights_path(tmp_path / "run", None))
    assert vocabulary.stranger is not None
    tokens = timed_tokens(vocabulary.text("so no"))
    fast, slow = (spoken(speaker, 9)[1] for speaker in ("cyd", "dan"))
    for voice, pace in ((fast, 2), (slow, 4)):
        np.testing.assert_allclose(model.plan(tokens, vocabulary.stranger, voice)[[1, 2]], pace, rtol=0.25)
    unheard = model.plan(tokens, vocabulary.stranger)[1:3].mean()
    assert 2.1 < unheard < 3.9


def test_durations_without_a_voice_are_those_of_nan_for_a_voice(folder: Path) -> None:
    whole = task(folder)
    batch = whole.collate([whole.dataset("train", 1).example(0, 0)])
    assert batch.timed is not None
    told = {**whole.model_defaults(), "hidden_size": 16, "num_layers": 1, "num_heads": 2, "num_kv_heads": 1}
    del told["num_positions"]
    model = TimedLatentLM(TimedLatentLM.Config(**told, intermediate_size=16, head={"num_layers": 1})).eval()
    unheard = replace(batch.timed, voices=torch.full_like(batch.timed.voices, torch.nan))
    with_nan = model.log_durations(unheard.tokens, unheard.speakers, unheard.voices)
    without = model.log_durations(unheard.tokens, unheard.speakers)
    torch.testing.assert_close(with_nan, without, rtol=0, atol=0)
