"""From stored latents to a trained LatentLM and back to latents."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_voice import request_of

from latent.data.latent_store import LatentStore, StoreFacts, write_store
from latent.data.manifest import Utterance
from latent.data.speech_prompts import generation_prompts
from latent.data.vocabulary import LATENT, NOTHING, SPEECH_END, SPEECH_START, VOICE_END, VOICE_START, SpeechVocabulary
from latent.decoding.next_token_diffusion import NextTokenDiffusionDecoder
from latent.models.latent_lm import LatentLM
from latent.tasks.speech_synthesis import SpeechSynthesis
from s2s import checkpoint
from s2s.errors import ConfigError, InputError
from s2s.run import RunConfig, build_model, parse_config, read_run, train_run

FACTS = StoreFacts("tests", latent_size=3, sample_rate=2000, hop_length=40, sigma_rule="gaussian", std=0.4)


def utterances() -> list[tuple[Utterance, np.ndarray]]:
    generator = np.random.default_rng(0)
    spoken = [("a", "hello", "ann"), ("b", "so", "bob"), ("c", "grüß", "ann"), ("d", "never", "ann")]
    return [
        (Utterance(id, Path("none.wav"), 1.0, text, speaker), 2 + generator.standard_normal((3 + index, 3)))
        for index, (id, text, speaker) in enumerate(spoken)
    ]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_store(tmp_path / "store", FACTS, utterances(), shard_frames=4)
    return tmp_path / "store"


def task(folder: Path, **options: object) -> SpeechSynthesis:
    return SpeechSynthesis(SpeechSynthesis.Config(train=str(folder), valid=str(folder), **options))


def test_a_store_gives_back_what_was_written_from_several_shards(folder: Path) -> None:
    store = LatentStore(folder)
    assert len(list(folder.glob("shard-*"))) == 3
    for index, (utterance, mean) in enumerate(utterances()):
        np.testing.assert_array_equal(store.mean(index), mean.astype(np.float32))
        assert (store.utterances[index].text, store.utterances[index].frames) == (utterance.text, len(mean))


def test_statistics_are_those_of_sampled_latents(folder: Path) -> None:
    store, generator = LatentStore(folder), np.random.default_rng(1)
    draws = [store.facts.sample(store.mean(index), generator) for _ in range(4000) for index in range(4)]
    every = np.concatenate(draws)
    assert store.facts.num_frames == 18
    assert every.mean() == pytest.approx(store.facts.mean, abs=0.02)
    assert every.std() == pytest.approx(store.facts.latent_std, abs=0.02)


def test_a_folder_that_is_no_store_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"is not a finished store of latents, it lacks store\.json"):
        LatentStore(tmp_path)
    with pytest.raises(InputError, match="no recordings to store"):
        write_store(tmp_path, FACTS, [])


def test_an_example_is_prompt_latents_end_and_labels_start_after_the_prompt(folder: Path) -> None:
    whole = task(folder, condition_dropout=0)
    dataset, vocabulary = whole.dataset("train", 1), whole.vocabulary
    examples = [dataset.example(index, 0) for index in (1, 0)]
    assert examples[0].tokens == [
        vocabulary.speaker("bob"),
        *vocabulary.text("so"),
        SPEECH_START,
        *[LATENT] * 4,
        SPEECH_END,
    ]
    batch = whole.collate(examples)
    flat = batch.tokens.flatten()
    assert torch.equal(flat[batch.slots + 1], batch.labels)
    assert batch.labels.tolist() == [*[LATENT] * 4, SPEECH_END, *[LATENT] * 3, SPEECH_END]
    assert (flat[batch.latent_slots] == LATENT).all()
    assert batch.predicted.tolist() == list(range(7))
    torch.testing.assert_close(batch.latents[:4], torch.from_numpy(examples[0].latents))


def test_voice_prompts_are_read_not_predicted_and_of_the_same_speaker(folder: Path) -> None:
    whole = task(folder, condition_dropout=0, voice_prompt_prob=1, voice_frames=2)
    dataset = whole.dataset("train", 1)
    assert dataset.example(1, 0).tokens[0] == whole.vocabulary.speaker("bob"), "bob has no other utterance"
    examples = [dataset.example(0, 0), dataset.example(2, 0)]
    for example in examples:
        assert example.tokens[:4] == [VOICE_START, LATENT, LATENT, VOICE_END]
    batch = whole.collate(examples)
    assert batch.predicted.tolist() == [2, 3, 4, 7, 8, 9, 10, 11]
    assert len(batch.labels) == 4 + 6
    assert (dataset.lengths >= [len(dataset.example(index, 0).tokens) for index in range(4)]).all()


def test_dropped_conditions_say_nothing_and_only_in_training(folder: Path) -> None:
    whole = task(folder, condition_dropout=0.5)
    train, valid = whole.dataset("train", 1), whole.dataset("valid", 1)
    beginnings = [train.example(0, epoch).tokens[:2] for epoch in range(200)]
    assert 60 < beginnings.count([NOTHING, SPEECH_START]) < 140
    assert all(valid.example(index, 0).tokens[0] != NOTHING for index in range(4))


def test_noise_depends_on_seed_epoch_and_index_alone(folder: Path) -> None:
    first, again = (task(folder).dataset("train", 5) for _ in range(2))
    np.testing.assert_array_equal(first.example(2, 3).latents, again.example(2, 3).latents)
    assert not np.array_equal(first.example(3, 3).latents[:1], first.example(3, 4).latents[:1])


def test_the_vocabulary_comes_back_from_the_run_folder(folder: Path, tmp_path: Path) -> None:
    vocabulary = task(folder).vocabulary
    vocabulary.save(tmp_path)
    assert SpeechVocabulary.load(tmp_path) == vocabulary
    assert vocabulary.speakers == ["ann", "bob"]
    assert vocabulary.longest_text == 5
    assert vocabulary.frames_per_token == 18 / (5 + 2 + 6 + 5)
    assert vocabulary.text("grüß") == vocabulary.text("gru\u0308ß")
    with pytest.raises(InputError, match=r"no speaker is called 'anne'\. Did you mean 'ann'"):
        vocabulary.speaker("anne")
    with pytest.raises(InputError, match="is not a run of speech synthesis"):
        SpeechVocabulary.load(folder)


@pytest.mark.parametrize("room", [0, 4, 9])
def test_speech_starts_at_one_distance_from_every_text_that_has_room(folder: Path, room: int) -> None:
    whole = task(folder, condition_dropout=0, fixed_text_length=room, voice_prompt_prob=1, voice_frames=2)
    dataset = whole.dataset("train", 1)
    batch = whole.collate([dataset.example(index, 0) for index in range(4)])
    positions = batch.position_ids().expand(4, -1)
    for row, example in enumerate(dataset.example(index, 0) for index in range(4)):
        start = example.tokens.index(SPEECH_START)
        text = len(whole.vocabulary.text(whole.dataset("train", 1)._store.utterances[row].text))
        ids = positions[row, : len(example.tokens)].tolist()
        assert ids[:start] == list(range(start))
        assert ids[start] - ids[start - text] == max(room, text)
        assert ids[start:] == list(range(ids[start], ids[start] + len(example.tokens) - start))


@torch.no_grad()
def test_generation_goes_on_from_the_positions_of_training(folder: Path) -> None:
    whole = task(folder, condition_dropout=0, fixed_text_length=9)
    told = {**whole.model_defaults(), "hidden_size": 16, "num_layers": 2, "num_heads": 2, "num_kv_heads": 1}
    del told["num_positions"]
    sizes = {"intermediate_size": 16, "max_positions": 80, "head": {"num_layers": 1, "timestep_size": 8}}
    torch.manual_seed(1)
    model = LatentLM(LatentLM.Config(**told, **sizes)).eval()
    dataset = whole.dataset("train", 1)
    batch = whole.collate([dataset.example(index, 0) for index in (1, 3)])
    hidden = model.hidden(batch)
    vocabulary = whole.vocabulary
    requests = [
        request_of(vocabulary, "so", "bob", max_frames=9),
        request_of(vocabulary, "never", "ann", max_frames=9),
    ]
    prompts = generation_prompts(vocabulary, requests, latent_size=3)
    state = model.prefill(prompts.conditional, 40)
    starts = prompts.conditional.lengths - 1
    torch.testing.assert_close(state.hidden, hidden[torch.arange(2), starts], rtol=1e-4, atol=1e-5)
    for frame in range(4):
        latents = torch.stack([batch.latents[frame], batch.latents[4 + frame]])
        after = model.append(state, model.embed_latents(model.normalize(latents)))
        torch.testing.assert_close(after, hidden[torch.arange(2), starts + 1 + frame], rtol=1e-4, atol=1e-5)


def test_latents_of_two_tokenizers_are_told_apart(folder: Path, tmp_path: Path) -> None:
    spoken = [(Utterance("x", Path("none.wav"), 1.0, "hi", "ann"), np.zeros((2, 4), np.float32))]
    other = StoreFacts("tests", latent_size=4, sample_rate=2000, hop_length=40, sigma_rule="gaussian", std=0.4)
    write_store(tmp_path / "valid", other, spoken)
    with pytest.raises(ConfigError, match=r"task\.valid: must have 3 numbers per latent as task\.train, found 4"):
        SpeechSynthesis(SpeechSynthesis.Config(train=str(folder), valid=str(tmp_path / "valid")))


def test_a_speaker_of_validation_must_be_known(folder: Path, tmp_path: Path) -> None:
    stranger = Utterance("x", Path("none.wav"), 1.0, "hi", "eve")
    write_store(tmp_path / "valid", FACTS, [(stranger, np.zeros((2, 3), np.float32))])
    with pytest.raises(InputError, match=r"'x': speaker 'eve' is not in task\.train"):
        SpeechSynthesis(SpeechSynthesis.Config(train=str(folder), valid=str(tmp_path / "valid")))


def tiny_run(folder: Path, **model: object) -> RunConfig:
    return parse_config(
        {
            "task": {"name": "speech_synthesis", "train": str(folder), "valid": str(folder), "voice_prompt_prob": 0.5},
            "model": {
                "name": "latent_lm",
                "hidden_size": 16,
                "num_layers": 1,
                "num_heads": 2,
                "num_kv_heads": 1,
                "intermediate_size": 16,
                "max_positions": 80,
                "head": {"num_layers": 1, "timestep_size": 8},
                **model,
            },
            "criterion": {"name": "next_token_diffusion"},
            "optim": {"lr": 1e-3},
            "train": {"max_steps": 3, "max_tokens": 100, "workers": 0, "device": "cpu", "ema_decay": 0.9},
        }
    )


def test_a_model_is_trained_into_a_run_folder_and_speaks(folder: Path, tmp_path: Path) -> None:
    config = tiny_run(folder)
    run = tmp_path / "run"
    assert train_run(config, run).step == 3
    saved = read_run(run)
    assert json.loads(json.dumps(saved.model.config.head.num_layers)) == 1
    model = build_model(saved)
    checkpoint.load_weights(model, checkpoint.weights_path(run, None))
    assert float(model.latent_scale) == pytest.approx(1 / LatentStore(folder).facts.latent_std)
    vocabulary = SpeechVocabulary.load(run)
    voice = np.zeros((2, 3), np.float32)
    requests = [
        request_of(vocabulary, "hello", "ann", max_frames=4),
        request_of(vocabulary, "so", None, voice, seed=2, temperature=0.9, max_frames=3),
    ]
    prompts = generation_prompts(vocabulary, requests, latent_size=3)
    decoder = NextTokenDiffusionDecoder(NextTokenDiffusionDecoder.Config(num_inference_steps=2))
    steps = list(decoder.stream(model.eval(), prompts))
    assert set().union(*(step.ended for step in steps)) == {0, 1}
    assert all(torch.isfinite(step.latents).all() for step in steps)


def test_a_voice_goes_on_learning_from_another(folder: Path, tmp_path: Path) -> None:
    train_run(tiny_run(folder), tmp_path / "first")
    more = tmp_path / "more"
    write_store(more, FACTS, [(said, 2 * mean) for said, mean in utterances()])
    train_run(tiny_run(more, init=str(tmp_path / "first")), tmp_path / "second")
    first, second = (checkpoint.read_tensors(tmp_path / run / "model.safetensors") for run in ("first", "second"))
    fresh = build_model(read_run(tmp_path / "first")).state_dict()
    assert torch.equal(second["latent_scale"], first["latent_scale"]), "latents mean the same as before"
    assert not torch.equal(second["layers.0.qkv.weight"], first["layers.0.qkv.weight"])
    moved = (second["layers.0.qkv.weight"] - first["layers.0.qkv.weight"]).norm()
    assert moved < (fresh["layers.0.qkv.weight"] - first["layers.0.qkv.weight"]).norm() / 2
