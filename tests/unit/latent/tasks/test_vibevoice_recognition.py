"""Fine-tuning a VibeVoice-ASR: what an example holds, the golden loss and gradients, and what merging writes."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from command_line import unilatent
from safetensors.torch import load_file, save_file
from tiny_checkpoint import write_vibevoice
from tiny_listener import write_listener

from latent.audio.files import write_audio
from latent.criteria.next_token import NextToken
from latent.data.batch import MixedBatch
from latent.data.turns import SpeakerTurn
from latent.models.checkpoints import load_asr
from latent.models.keymaps import listening_name
from latent.models.vibevoice_files import public_names
from latent.models.vibevoice_language import VibeVoiceListener
from latent.recognition.recognizers import open_recognizer
from latent.synthesis.voices import open_voice
from latent.tasks.vibevoice_recognition import VibeVoiceRecognition, answer
from latent.text.text_encoder import load_text_encoder
from s2s.errors import ConfigError, InputError
from s2s.models.adapted import start_from_base
from s2s.run import build_model, load_weights, parse_config, read_run, train_run

pytest.importorskip("soundfile")
pytest.importorskip("soxr")

GOLDEN = Path(__file__).parents[3] / "golden/data/recognition/case_pub_asr"
RATE = 24_000


def recordings(folder: Path) -> Path:
    folder.mkdir()
    lines = []
    for number, text in enumerate(["Good morning.", "„Drei“  Worte?", "So."]):
        noise = np.random.default_rng(number).standard_normal(RATE // 2 + 1000 * number)
        write_audio(folder / f"{number}.wav", (0.05 * noise).astype(np.float32), RATE)
        lines.append(json.dumps({"id": f"r{number}", "audio": f"{number}.wav", "text": text}))
    (folder / "manifest.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder / "manifest.jsonl"


@pytest.fixture(scope="module", params=[False, True], ids=["transformers", "repository"])
def home(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a checkpoint `base` and a `store` that it encoded."""
    folder = tmp_path_factory.mktemp("listening")
    write_listener(folder / "base", repository=request.param)
    manifest = recordings(folder / "recordings")
    unilatent("encode", manifest, "--tokenizer", folder / "base", "--output", folder / "store", "--device", "cpu")
    return folder


def config(home: Path, **task: Any) -> Any:
    store = str(home / "store")
    return parse_config(
        {
            "task": {"name": "vibevoice_recognition", "train": store, "valid": store, **task},
            "model": {"init": str(home / "base"), "adapters": {"rank": 2, "full": ["connector", "semantic_connector"]}},
            "optim": {"lr": 1e-2, "schedule": "constant"},
            "train": {"max_steps": 8, "validate_every": 4, "max_tokens": 3000, "device": "cpu", "loggers": []},
        }
    )


@pytest.fixture(scope="module")
def run(home: Path) -> Path:
    """The run that `home` is trained into."""
    train_run(config(home), home / "run")
    return home / "run"


def test_an_example_is_the_prompt_of_transcription_and_then_its_answer(home: Path) -> None:
    task = VibeVoiceRecognition(config(home, context="Anna, Ben").task.config)
    example, encoder = task.dataset("train", 1).example(1, 0), load_text_encoder(home / "base", None)
    spelled = encoder._tokenizer.decode(example.tokens, clean_up_tokenization_spaces=False)
    told = spelled[: spelled.rindex("<|im_start|>")]
    assert told.endswith(
        f"user\n<|object_ref_start|>{'<|box_start|>' * 5}<|object_ref_end|>\nThis is a 0.67 seconds audio, with extra "
        "info: Anna, Ben\n\nPlease transcribe it with these keys: Start time, End time, Speaker ID, Content<|im_end|>\n"
    )
    wanted = '<|im_start|>assistant\n[{"Start":0.0,"End":0.67,"Speaker":0,"Content":"„Drei“ Worte?"}]<|im_end|>'
    assert encoder._tokenizer.decode(example.tokens[example.start :], clean_up_tokenization_spaces=False) == wanted
    turns = (SpeakerTurn("eve", "a", 0, 1), SpeakerTurn("ann", "b", 1, 1.5), SpeakerTurn("eve", "c", 1.5, 2))
    assert [(one["Speaker"], one["End"], one["Content"]) for one in json.loads(answer(turns, 2.0))] == [
        (0, 1, "a"),
        (1, 1.5, "b"),
        (0, 2, "c"),
    ]
    spoken = answer((SpeakerTurn("ann", "a"),), 2.345)
    assert spoken == '[{"Start":0.0,"End":2.35,"Speaker":0,"Content":"a"}]' or "2.34" in spoken


def test_only_the_answer_is_predicted_and_every_frame_has_latent_and_features(home: Path) -> None:
    task = VibeVoiceRecognition(config(home).task.config)
    data = task.dataset("train", 1)
    examples = [data.example(index, 0) for index in range(3)]
    batch = task.collate(examples)
    width = batch.tokens.shape[1]
    assert batch.labels.tolist() == [token for one in examples for token in one.tokens[one.start :]]
    assert batch.slots.tolist() == [
        row * width + place - 1 for row, one in enumerate(examples) for place in range(one.start, len(one.tokens))
    ]
    assert len(batch.latents) == len(batch.features) == sum(len(one.latents) for one in examples)  # type: ignore[arg-type]
    assert torch.equal(batch.feature_slots, batch.latent_slots)


def test_loss_and_gradient_norms_are_those_of_the_golden_case(tmp_path: Path) -> None:
    case, tensors = json.loads(GOLDEN.with_suffix(".json").read_text()), load_file(GOLDEN.with_suffix(".safetensors"))
    given = case["config"] | {"architectures": ["VibeVoiceAsrForConditionalGeneration"], "model_type": "vibevoice_asr"}
    (tmp_path / "config.json").write_text(json.dumps(given))
    save_file(
        {name: t for name, t in tensors.items() if name.startswith(("model.", "lm_head."))},
        tmp_path / "model.safetensors",
    )
    model = VibeVoiceListener(VibeVoiceListener.resolve(VibeVoiceListener.Config(init=str(tmp_path)), {}))
    start_from_base(model)
    tokens, labels = tensors["train.input_ids"], tensors["train.labels"]
    real = torch.cat(
        [frames[:count] for frames, count in zip(tensors["mid.acoustic_z"], case["audio_frames"], strict=True)]
    )
    heard = torch.cat(
        [frames[:count] for frames, count in zip(tensors["mid.semantic"], case["audio_frames"], strict=True)]
    )
    slots = (tokens == given["audio_token_id"]).flatten().nonzero().squeeze(1)
    predicted = (labels[:, 1:] != -100).nonzero()
    batch = MixedBatch(
        ids=["a", "b"],
        tokens=tokens,
        lengths=torch.full((len(tokens),), tokens.shape[1]),
        latents=real,
        latent_slots=slots,
        slots=predicted[:, 0] * tokens.shape[1] + predicted[:, 1],
        labels=labels[:, 1:][labels[:, 1:] != -100],
        predicted=torch.empty(0, dtype=torch.int64),
        pad_id=0,
        features=heard,
        feature_slots=slots,
    )
    loss = NextToken(NextToken.Config())(cast(Any, model), batch)["loss"] / len(batch.labels)
    assert loss.item() == pytest.approx(case["loss"], abs=case["suggested_tol"]["loss_atol"])
    loss.backward()
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    state = {name: gradients.get(name, torch.zeros_like(tensor)) for name, tensor in model.state_dict().items()}
    found = public_names(state, model.config)
    assert len(case["gradient_norms"]) > 30
    for name, norm in case["gradient_norms"].items():
        rtol = case["suggested_tol"]["gradient_rtol"]
        assert found[listening_name(name)].norm().item() == pytest.approx(norm, rel=rtol), name


def test_a_run_learns_and_merges_into_a_checkpoint_that_listens(home: Path, run: Path, tmp_path: Path) -> None:
    losses = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    first, last = [record["loss"] for record in losses if record["split"] == "valid"]
    assert last < first
    unilatent("merge", run, "--output", tmp_path / "merged")
    base, merged = (load_file(folder / "model.safetensors") for folder in (home / "base", tmp_path / "merged"))
    assert base.keys() == merged.keys()
    changed = {name for name in base if not torch.equal(base[name], merged[name])}
    assert len(changed) == 2 * 7 + 5 + 5
    model = load_asr(str(tmp_path / "merged"))
    listener = build_model(read_run(run))
    load_weights(listener, run)
    state = {
        **model.language.state_dict(),
        **{f"semantic_connector.{name}": t for name, t in model.semantic_connector.state_dict().items()},
    }
    assert all(torch.equal(tensor, state[name]) for name, tensor in listener.state_dict().items())
    assert open_recognizer(tmp_path / "merged", device="cpu").max_positions == 8192
    with pytest.raises(InputError, match=r"run: is a fine-tuned VibeVoice-ASR, which listens; use `unilatent transcri"):
        open_voice(run, device="cpu")


def heard(checkpoint: Path, home: Path, *overrides: str) -> str | None:
    recognizer = open_recognizer(checkpoint, device="cpu", overrides=["decoder.extra_tokens=16", *overrides])
    return recognizer.transcribe(home / "recordings/1.wav").raw


def test_a_run_and_what_merge_makes_of_it_hear_alike_and_not_as_their_base(
    home: Path, run: Path, tmp_path: Path
) -> None:
    unilatent("merge", run, "--output", tmp_path / "merged")
    tuned, merged, base = (heard(folder, home) for folder in (run, tmp_path / "merged", home / "base"))
    assert tuned == merged
    assert tuned != base
    prints = [open_recognizer(folder, device="cpu").fingerprint() for folder in (run, home / "base")]
    assert prints[0]["model"] != prints[1]["model"], "a job of the one is not continued by the other"
    with pytest.raises(ConfigError, match=r"decoder\.beam_sise: no such option"):
        heard(run, home, "decoder.beam_sise=4")
    with pytest.raises(
        ConfigError, match=r"decoder\.name: must name a TranscriptionDecoder for this run, found 'beam'"
    ):
        open_recognizer(run, device="cpu", overrides=["decoder.name=beam"])


def test_adapters_of_another_base_are_refused_and_a_base_that_moved_is_named(
    home: Path, run: Path, tmp_path: Path
) -> None:
    write_listener(tmp_path / "other", seed=1)
    with pytest.raises(InputError, match=r"other: is not the base of these adapters.*model\.init=FOLDER says where"):
        heard(run, home, f"model.init={tmp_path / 'other'}")
    shutil.copytree(home / "base", tmp_path / "moved")
    assert heard(run, home, f"model.init={tmp_path / 'moved'}") == heard(run, home)


def test_a_run_of_a_streaming_base_listens_while_audio_arrives(tmp_path: Path) -> None:
    write_listener(tmp_path / "base", streaming=True)
    manifest = recordings(tmp_path / "recordings")
    unilatent("encode", manifest, "--tokenizer", tmp_path / "base", "--output", tmp_path / "store", "--device", "cpu")
    train_run(config(tmp_path), tmp_path / "run")
    recognizer = open_recognizer(tmp_path / "run", device="cpu", overrides=["decoder.max_tokens=8"])
    assert recognizer.is_live
    assert recognizer.name == "run"


def test_a_family_is_trained_by_its_own_task(home: Path, tmp_path: Path) -> None:
    write_vibevoice(tmp_path / "speaks")
    given = config(home).tree()
    given["model"] = {"name": "vibevoice_listener", "init": str(tmp_path / "speaks")}
    with pytest.raises(ConfigError, match=r"speaks is VibeVoice, which is trained with task\.name=vibevoice_synthesis"):
        train_run(parse_config(given), tmp_path / "run")


def test_a_tokenizer_without_the_special_tokens_is_refused(home: Path, tmp_path: Path) -> None:
    write_vibevoice(tmp_path / "bytes")
    task = VibeVoiceRecognition(
        replace(config(home).task, config=config(home, tokenizer=str(tmp_path / "bytes")).task.config).config
    )
    with pytest.raises(InputError, match=r"bytes: its tokenizer lacks <\|im_start\|>; give task\.tokenizer"):
        task.dataset("train", 1)
