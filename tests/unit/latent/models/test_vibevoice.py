"""VibeVoice: rows are independent, switches do what they must, checkpoints of both layouts are read."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from tiny_models import tiny_vibevoice

from latent.data.batch import GenerationPrompts, MixedSequences
from latent.decoding.vibevoice import SpokenStep, VibeVoiceDecoder
from latent.models.checkpoints import load_vibevoice, realtime_config, vibevoice_config, vibevoice_state
from latent.models.vibevoice import SwitchTokens, VibeVoice
from s2s.errors import InputError

TOKENS = SwitchTokens(latent=6, end=7, start=8, stop=9)


def sequences(rows: list[list[int]]) -> MixedSequences:
    width = max(map(len, rows))
    return MixedSequences(
        ids=[str(row) for row in range(len(rows))],
        tokens=torch.tensor([row + [0] * (width - len(row)) for row in rows]),
        lengths=torch.tensor([len(row) for row in rows]),
        latents=torch.empty(0, 3, dtype=torch.float64),
        latent_slots=torch.empty(0, dtype=torch.int64),
    )


def prompts(rows: list[list[int]], most: int = 12, first_seed: int = 7) -> GenerationPrompts:
    return GenerationPrompts(
        conditional=sequences(rows),
        unconditional=sequences([[TOKENS.start]] * len(rows)),
        latent_token=TOKENS.latent,
        end_token=TOKENS.end,
        seeds=[first_seed + row for row in range(len(rows))],
        temperatures=torch.ones(len(rows), dtype=torch.float64),
        max_frames=[most] * len(rows),
    )


def generate(model: VibeVoice, given: GenerationPrompts, guidance: float = 1.5) -> list[SpokenStep]:
    config = VibeVoiceDecoder.Config(num_inference_steps=3, guidance_scale=guidance)
    return list(VibeVoiceDecoder(config).stream(model, given))


def tokens_of(steps: list[SpokenStep], row: int) -> list[int]:
    return [step.tokens[row] for step in steps if row in step.tokens]


def audio_of(steps: list[SpokenStep], row: int) -> torch.Tensor:
    return torch.cat([step.audio[step.rows.index(row)] for step in steps if row in step.rows])


ROWS = [[1, 2, 8], [3, 8], [4, 5, 1, 2, 8]]


def follow(model: VibeVoice, scripts: list[str]) -> None:
    """Let scripts choose the tokens of the rows: L, E, S and . for latent, end, start, stop."""
    alive = [iter(script) for script in scripts]

    def logits(features: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        choices = ["LES.".index(next(script)) for script in alive]
        alive[:] = [script for script, choice in zip(alive, choices, strict=True) if choice != 3]
        return torch.nn.functional.one_hot(torch.tensor(choices), 4).to(features)

    model.language.logits = logits  # type: ignore[method-assign]


SCRIPTS = ["LLESLL.", "ELLLLLL.", "LESLELES."]


@pytest.mark.parametrize("guidance", [1.0, 1.5])
def test_a_row_in_a_batch_equals_the_row_alone(guidance: float) -> None:
    model = tiny_vibevoice()
    follow(model, SCRIPTS)
    together = generate(model, prompts(ROWS), guidance)
    for row in range(3):
        follow(model, SCRIPTS[row : row + 1])
        alone = generate(model, prompts(ROWS[row : row + 1], first_seed=7 + row), guidance)
        names = dict(zip(TOKENS.legal(), "LES.", strict=True))
        assert "".join(names[token] for token in tokens_of(together, row)) == SCRIPTS[row]
        torch.testing.assert_close(audio_of(alone, 0), audio_of(together, row))
        assert len(audio_of(together, row)) == 6 * SCRIPTS[row].count("L")
        assert alone[-1].ended == {0: True}


def test_a_speaker_begins_in_silence() -> None:
    model = tiny_vibevoice()
    follow(model, ["LLESLL."])
    said = [step for step in generate(model, prompts(ROWS[:1])) if step.rows]
    frames = [model.language.denormalize(step.latents) for step in said]
    for start in (0, 2):
        expected = model.acoustic.decode(torch.stack(frames[start : start + 2], dim=1))[0, 0]
        audio = torch.cat([step.audio[0] for step in said[start : start + 2]])
        torch.testing.assert_close(audio, expected)


def test_the_unconditional_stream_sees_the_latents_since_the_last_start_alone() -> None:
    model = tiny_vibevoice()
    state = model.prefill(sequences([ROWS[0], [TOKENS.start]]), 30, streams=2)
    step = torch.randn(2, 12, dtype=torch.float64)
    lengths = []
    for paused, restarted in ((False, False), (False, False), (True, False), (True, True), (False, False)):
        state.turn_back(torch.tensor([paused]), torch.tensor([restarted]))
        model.language.append(state.language, step)
        lengths.append(state.language.cache.lengths.tolist())
    assert lengths == [[4, 2], [5, 3], [6, 3], [7, 1], [8, 2]]


def test_a_model_that_never_stops_is_cut() -> None:
    model = tiny_vibevoice()
    model.language.scores.weight.zero_()  # all equal: the first one, a latent, is chosen
    steps = generate(model, prompts(ROWS[:2], most=5))
    assert [tokens_of(steps, row) for row in range(2)] == [[6] * 6] * 2
    assert steps[-1].ended == {0: False, 1: False}
    assert len(audio_of(steps, 0)) == 5 * 6


def test_what_was_said_feeds_back_through_both_tokenizers() -> None:
    model = tiny_vibevoice()
    state = model.prefill(sequences([ROWS[0]]), 20, streams=1)
    latent = torch.randn(1, 3, dtype=torch.float64)
    audio, inputs = model.speak(state, latent)
    expected = model.acoustic.decode(model.language.denormalize(latent)[None])
    torch.testing.assert_close(audio, expected[0])
    heard, _ = model.semantic(expected)
    both = model.language.embed_latents(latent) + model.semantic_connector(heard[0])
    torch.testing.assert_close(inputs, both)


def test_a_prepared_model_says_the_same() -> None:
    plain, prepared = tiny_vibevoice().float(), tiny_vibevoice().float()
    prepared.prepare()
    follow(plain, SCRIPTS)
    follow(prepared, SCRIPTS)
    given = replace(prompts(ROWS), temperatures=torch.ones(3))
    given = replace(given, conditional=replace(given.conditional, latents=torch.empty(0, 3)))
    given = replace(given, unconditional=replace(given.unconditional, latents=torch.empty(0, 3)))
    first, second = (generate(model, given) for model in (plain, prepared))
    for row in range(3):
        torch.testing.assert_close(audio_of(first, row), audio_of(second, row), rtol=1e-3, atol=1e-4)


# Checkpoints


def transformers_config() -> dict[str, Any]:
    codec = {"downsampling_ratios": [2, 3], "depths": [1, 2, 1], "num_filters": 2, "kernel_size": 7}
    codec |= {"ffn_expansion": 4, "rms_norm_eps": 1e-5, "vae_std": 0.625, "hidden_size": 3}
    text = {"vocab_size": 10, "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 4}
    text |= {"num_key_value_heads": 2, "intermediate_size": 6, "rms_norm_eps": 1e-6, "max_position_embeddings": 64}
    head = {"intermediate_size": 24, "num_hidden_layers": 1, "rms_norm_eps": 1e-5}
    return {
        "audio_config": codec,
        "semantic_model_config": codec | {"hidden_size": 5},
        "text_config": text | {"rope_parameters": {"rope_theta": 500.0}},
        "diffusion_head_config": head | {"frequency_embedding_size": 256, "diffusion_max_period": 10_000},
        "audio_token_id": 6,
        "audio_eos_token_id": 7,
        "audio_bos_token_id": 8,
        "eos_token_id": 9,
        "tie_word_embeddings": True,
    }


def repository_config() -> dict[str, Any]:
    codec = {"encoder_ratios": [3, 2], "encoder_depths": "1-2-1", "encoder_n_filters": 2, "layernorm_eps": 1e-5}
    codec |= {"decoder_depths": None}
    text = transformers_config()["text_config"] | {"rope_theta": 500.0, "tie_word_embeddings": True}
    del text["rope_parameters"]
    head = {"head_layers": 1, "head_ffn_ratio": 3.0, "rms_norm_eps": 1e-5, "ddpm_beta_schedule": "cosine"}
    return {
        "acoustic_tokenizer_config": codec | {"vae_dim": 3, "fix_std": 0.5, "std_dist_type": "gaussian"},
        "semantic_tokenizer_config": codec | {"vae_dim": 5, "fix_std": 0, "std_dist_type": "none"},
        "decoder_config": text,
        "diffusion_head_config": head | {"prediction_type": "v_prediction"},
        "acostic_vae_dim": 3,
    }


def test_both_layouts_give_the_same_configuration() -> None:
    one, other = (vibevoice_config(said, "config.json") for said in (transformers_config(), repository_config()))
    assert one.tokens == TOKENS
    assert other.tokens == SwitchTokens(), "this layout does not say them"
    assert one.language == other.language
    assert one.language.rope_theta == 500
    assert one.acoustic == other.acoustic
    sizes = {"ratios", "depths", "widths", "latent_size", "sigma_rule"}
    assert one.semantic.model_dump(include=sizes) == other.semantic.model_dump(include=sizes)


def checkpoint(folder: Path) -> VibeVoice:
    """A checkpoint in the layout of `transformers`, in two shards, and the model it came from."""
    import transformers

    said = transformers_config()
    text = said["text_config"] | {"model_type": "qwen2", "tie_word_embeddings": True}
    text["rope_parameters"] = {"rope_type": "default", "rope_theta": 500.0}
    for name, kind in (("audio_config", ""), ("semantic_model_config", "_encoder")):
        said[name] = said[name] | {"model_type": f"vibevoice_acoustic_tokenizer{kind}"}
    config = transformers.VibeVoiceConfig(**(said | {"text_config": text, "pad_token_id": 9}))
    torch.manual_seed(0)
    theirs = transformers.VibeVoiceForConditionalGeneration(config)
    weights = {name: tensor.clone() for name, tensor in theirs.state_dict().items() if name != "lm_head.weight"}
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config.to_dict(), default=str))
    files = {name: f"part-{index % 2}.safetensors" for index, name in enumerate(weights)}
    for file in set(files.values()):
        save_file({name: weights[name] for name in files if files[name] == file}, folder / file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": files}))
    ours = vibevoice_config(config.to_dict(), "config")
    model = VibeVoice(ours)
    model.load_state_dict(vibevoice_state(weights, ours))
    return model


def test_a_checkpoint_in_shards_is_read_whole(tmp_path: Path) -> None:
    expected = checkpoint(tmp_path / "model").state_dict()
    found = load_vibevoice(str(tmp_path / "model"), torch.bfloat16)
    assert found.language.embeddings.weight.dtype == torch.bfloat16
    assert all(torch.equal(tensor, expected[name].bfloat16()) for name, tensor in found.state_dict().items())
    assert found.language.schedule.alpha.device.type == "cpu"
    assert not found.training


def test_what_is_no_vibevoice_is_said_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"config\.json: expected the configuration of a VibeVoice, found .* 'bert'"):
        vibevoice_config({"model_type": "bert"}, "config.json")
    broken = transformers_config()
    del broken["audio_config"]["depths"]
    with pytest.raises(InputError, match=re.escape("config.json: 'depths' is missing; expected")):
        vibevoice_config(broken, "config.json")
    checkpoint(tmp_path / "model")
    said = json.loads((tmp_path / "model/config.json").read_text())
    said["text_config"]["hidden_size"] = 16
    (tmp_path / "model/config.json").write_text(json.dumps(said))
    with pytest.raises(InputError, match=r"model: weights do not fit config.json: size mismatch for"):
        load_vibevoice(str(tmp_path / "model"))


def test_a_weight_that_is_missing_is_named(tmp_path: Path) -> None:
    checkpoint(tmp_path / "model")
    shards = list((tmp_path / "model").glob("*.safetensors"))
    weights = {name: tensor for shard in shards for name, tensor in load_file(shard).items()}
    del weights["model.latent_bias_factor"]
    save_file(weights, tmp_path / "model/model.safetensors")
    with pytest.raises(InputError, match=r"model: the weights lack 'model.latent_bias_factor'"):
        load_vibevoice(str(tmp_path / "model"))


def test_a_damaged_configuration_of_vibevoice_realtime_is_refused() -> None:
    with pytest.raises(InputError, match=r"config\.json: 'tts_backbone_num_hidden_layers' is missing; expected the"):
        realtime_config({}, "config.json")
    with pytest.raises(InputError, match=r"config\.json: expected the configuration of a VibeVoice-Realtime: "):
        realtime_config({**repository_config(), "tts_backbone_num_hidden_layers": "4"}, "config.json")


def restless(model: VibeVoice) -> VibeVoice:
    """A model that often changes speakers, depending on what they said."""
    weights = torch.randn(12, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    bias = torch.tensor([1.5, 0.3, 0.3, -1.0], dtype=torch.float64)
    model.language.logits = lambda hidden, _: hidden @ weights + bias  # type: ignore[method-assign]
    return model


MOST = [12, 5, 20, 9]
SPOKEN = [*ROWS, [2, 2, 8]]
arrivals = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 3), st.none() | st.integers(0, 8)), max_size=5)


def wanted(row: int) -> GenerationPrompts:
    return prompts([SPOKEN[row]], MOST[row], first_seed=40 + row)


@cache
def spoken_alone(row: int, guidance: float) -> tuple[list[int], torch.Tensor]:
    steps = generate(restless(tiny_vibevoice()), wanted(row), guidance)
    return tokens_of(steps, 0), audio_of(steps, 0)


def test_the_rows_below_switch_speakers_and_end_in_both_ways() -> None:
    tokens = [spoken_alone(row, 1.5)[0] for row in range(4)]
    assert {token for row in tokens for token in row} == {6, 7, 8, 9}
    assert {row[-1] == TOKENS.stop for row in tokens} == {True, False}


@pytest.mark.parametrize("guidance", [1.0, 1.5])
@settings(max_examples=15, deadline=None)
@given(arrivals)
def test_a_row_that_joins_says_what_it_says_alone(guidance: float, plan: list[tuple[int, int, int | None]]) -> None:
    """The plan: steps until a row arrives, which one it is, and after how many steps it is removed, if it is."""
    config = VibeVoiceDecoder.Config(num_inference_steps=3, guidance_scale=guidance)
    speaking = VibeVoiceDecoder(config).start(restless(tiny_vibevoice()))
    steps, rows, leaving = list[SpokenStep](), dict[int, int](), dict[int, int]()

    def step() -> None:
        if len(speaking):
            steps.append(speaking.step())
        ended = {key for one in steps for key in one.ended}
        speaking.remove([key for key, left in leaving.items() if left <= 0 and key not in ended])
        for key in leaving:
            leaving[key] -= 1

    for wait, row, stay in plan:
        for _ in range(wait):
            step()
        (key,) = speaking.add(wanted(row))
        rows[key] = row
        if stay is not None:
            leaving[key] = stay
    while len(speaking):
        step()
    for key, row in rows.items():
        tokens, audio = spoken_alone(row, guidance)
        found = tokens_of(steps, key)
        assert found == tokens[: len(found)]
        assert len(found) == len(tokens) or key in leaving
        if TOKENS.latent in found:
            said = audio_of(steps, key)
            torch.testing.assert_close(said, audio[: len(said)])
