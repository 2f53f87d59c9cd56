"""Tasks, models, criteria and decoders fit together, or are refused in one line before the first update."""

from __future__ import annotations

import itertools
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_pictures
from tiny_checkpoint import write_vibevoice
from tiny_listener import write_listener
from tokenizers import Tokenizer as Backend
from tokenizers import models, pre_tokenizers

import s2s.registry
import s2s.run
from latent.data.latent_store import StoreFacts, write_store
from latent.data.manifest import Sounding, Utterance
from s2s.checkpoint import read_tensors
from s2s.config import write_tree
from s2s.data.shards import Header, Rows, fingerprint, shard_name, write_shard
from s2s.data.tokenizer import Tokenizer
from s2s.decoding.base import Decoder, Search, Streamer
from s2s.errors import ConfigError, InputError
from s2s.registry import CRITERIA, DECODERS, MODELS, TASKS, Registry
from s2s.run import build_decoder, load_run, parse_config, train_run
from s2s.tasks.base import GenerationTask, Task

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[PSEUDO]", *(f"w{number}" for number in range(34))]
TRAIN = {"max_steps": 1, "max_tokens": 100_000, "max_sentences": 4, "workers": 0, "device": "cpu", "log_every": 1}
UNILM = {"hidden_size": 8, "num_layers": 1, "num_heads": 2, "intermediate_size": 8, "num_segments": 6}
ENCODER_DECODER = {"hidden_size": 8, "encoder_layers": 1, "decoder_layers": 1, "num_heads": 2, "intermediate_size": 8}
LATENT_LM = {
    "hidden_size": 8,
    "num_layers": 1,
    "num_heads": 2,
    "num_kv_heads": 1,
    "intermediate_size": 8,
    "max_positions": 200,
    "head": {"num_layers": 1, "timestep_size": 4},
}
SIGMA_VAE = {"ratios": [2, 4], "depths": [1, 1, 1], "widths": [4, 6, 8], "latent_size": 4, "sample_rate": 2000}
PICTURES = {"patch_size": 4, "hidden_size": 8, "num_layers": 1, "num_heads": 2}
KNOWN = {"vocab_size": 40, "latent_size": 3, "latent_mean": 0.0, "latent_std": 1.0}
MODEL_OPTIONS: dict[str, dict[str, Any]] = {
    "unilm": UNILM,
    "electra": UNILM,
    "encoder_decoder": ENCODER_DECODER,
    "recurrent_encoder_decoder": {"embedding_size": 6, "hidden_size": 8},
    "latent_unilm": UNILM,
    "latent_lm": LATENT_LM,
    "latent_lm_listener": LATENT_LM,
    "timed_latent_lm": LATENT_LM | {"cue_size": 2},
    "sigma_vae": SIGMA_VAE,
    "vibevoice": {"language": LATENT_LM | KNOWN, "acoustic": SIGMA_VAE, "semantic": SIGMA_VAE},
    "vibevoice_realtime": {"language": LATENT_LM | KNOWN, "text_layers": 1, "acoustic": SIGMA_VAE},
    "vibevoice_asr": {"language": LATENT_LM | KNOWN, "acoustic": SIGMA_VAE, "semantic": SIGMA_VAE},
    "vibevoice_language": {},
    "vibevoice_listener": {},
    "image_sigma_vae": {"widths": [2, 3], "latent_size": 3},
    "image_sigma_vae_vit": {"patch_size": 4, "latent_size": 3, "hidden_size": 8, "num_layers": 1, "num_heads": 2},
    "image_encoder": PICTURES | {"output_size": 8},
    "masked_autoencoder": PICTURES | {"decoder_size": 4},
    "image_quantizer": PICTURES | {"output_size": 16, "num_codes": 8, "code_size": 3, "decoder_layers": 1},
    "corrupted_image": PICTURES | {"num_codes": 8, "generator_size": 4},
    "melody_transformer": {"hidden_size": 8, "encoder_layers": 1, "decoder_layers": 1, "num_heads": 2},
    "image_unilm": UNILM,
    "dit": {"hidden_size": 8, "num_layers": 1, "num_heads": 2, "intermediate_size": 8},
}
CRITERION_OPTIONS: dict[str, dict[str, Any]] = {
    "sigma_vae": {"mel_windows": [32], "mel_bins": [5], "periods": [2], "period_widths": [2, 2]}
    | {"spectrum_windows": [64], "spectrum_width": 2},
    "sigma_vae_spectra": {"mel_windows": [32], "mel_bins": [5]},
}
TEXT_MODELS = ("unilm", "electra", "latent_lm", "latent_lm_listener", "timed_latent_lm")
OWN = {  # task: (model, criterion) that it declares or implies
    "seq2seq": ("unilm", "cross_entropy"),
    "seq2seq causal": ("unilm", "cross_entropy"),
    "seq2seq masked": ("unilm", "cross_entropy"),
    "seq2seq encoder_decoder": ("encoder_decoder", "cross_entropy"),
    "seq2seq copying": ("encoder_decoder", "pointer_generator"),
    "pseudo_masked_lm": ("unilm", "pseudo_masked_lm"),
    "unilm_v1": ("unilm", "cross_entropy"),
    "replaced_token_detection": ("electra", "replaced_token_detection"),
    "speech_autoencoding": ("sigma_vae", "sigma_vae"),
    "speech_synthesis": ("latent_lm", "next_token_diffusion"),
    "speech_synthesis with cues": ("timed_latent_lm", "timed_next_token_diffusion"),
    "speech_and_text": ("latent_lm", "next_token_diffusion"),
    "speech_recognition": ("latent_unilm", "hybrid_ctc"),
    "speech_recognition causal": ("latent_unilm", "hybrid_ctc"),
    "vibevoice_synthesis": ("vibevoice_language", "next_token_diffusion"),
    "vibevoice_recognition": ("vibevoice_listener", "next_token"),
    "image_autoencoding": ("image_sigma_vae", "image_sigma_vae"),
    "image_generation": ("latent_lm", "next_token_diffusion"),
    "image_and_text": ("latent_lm", "next_token_diffusion"),
    "masked_images": ("masked_autoencoder", "masked_pixels"),
    "captioning": ("image_unilm", "captioning"),
    "captioning masked": ("image_unilm", "captioning"),
    "melody_from_lyrics": ("melody_transformer", "factored_cross_entropy"),
}
CORPORA = ("pseudo_masked_lm", "unilm_v1", "replaced_token_detection")
SEQ2SEQ = ("seq2seq", "seq2seq causal", "seq2seq masked", "seq2seq encoder_decoder")
DISTILLATION = ("layerwise_distillation", "logit_distillation", "relation_distillation")
ALSO_TRAINS = {
    *((kind, "unilm", criterion) for kind in SEQ2SEQ + CORPORA for criterion in DISTILLATION),
    ("seq2seq causal", "encoder_decoder", "cross_entropy"),
    ("seq2seq causal", "recurrent_encoder_decoder", "cross_entropy"),
    ("seq2seq encoder_decoder", "recurrent_encoder_decoder", "cross_entropy"),
    ("seq2seq copying", "recurrent_encoder_decoder", "pointer_generator"),
    ("seq2seq copying", "recurrent_encoder_decoder", "hard_switch"),
    ("seq2seq copying", "encoder_decoder", "hard_switch"),
    ("seq2seq encoder_decoder", "unilm", "cross_entropy"),
    ("pseudo_masked_lm", "unilm", "cross_entropy"),
    ("replaced_token_detection", "unilm", "cross_entropy"),
    ("replaced_token_detection", "unilm", "pseudo_masked_lm"),
    ("speech_autoencoding", "sigma_vae", "sigma_vae_spectra"),
    ("speech_recognition", "latent_unilm", "cross_entropy"),
    ("speech_recognition causal", "latent_unilm", "cross_entropy"),
    ("speech_recognition causal", "latent_lm_listener", "cross_entropy"),
    ("speech_recognition causal", "latent_lm_listener", "hybrid_ctc"),
    ("image_autoencoding", "image_sigma_vae_vit", "image_sigma_vae"),
    ("image_autoencoding", "image_quantizer", "image_quantization"),
    ("image_generation", "dit", "diffusion"),
    ("masked_images", "image_encoder", "masked_image_tokens"),
    ("masked_images", "image_encoder", "masked_features"),
    ("masked_images", "corrupted_image", "corrupted_image"),
    ("masked_images", "image_quantizer", "image_quantization"),
    ("masked_images", "image_sigma_vae", "image_sigma_vae"),
    ("masked_images", "image_sigma_vae_vit", "image_sigma_vae"),
    ("captioning", "image_unilm", "cross_entropy"),
    ("captioning masked", "image_unilm", "cross_entropy"),
}


def built_in(registry: Registry) -> list[str]:
    """Names of this distribution; other tests may have registered more."""
    return [name for name in registry.names() if registry[name].__module__.split(".")[0] in ("s2s", "latent")]


@pytest.fixture(scope="module")
def sections(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """The section `task` of each kind of problem, with tiny data."""
    folder = tmp_path_factory.mktemp("data")
    tokenizer = _tokenizer(folder / "corpus" / "tokenizer")
    pairs = folder / "pairs.jsonl"
    pairs.write_text("".join(json.dumps({"src": f"w{i} w{i + 1} w3", "tgt": f"w{i} w4"}) + "\n" for i in range(6)))
    for split in ("train", "valid"):
        _shard(folder / "corpus", split)
    pretraining = {"data": str(folder / "corpus"), "tokenizer": tokenizer}
    text = {"name": "seq2seq", "train": str(pairs), "valid": str(pairs), "tokenizer": tokenizer}
    text |= {"max_source": 16, "max_target": 8}
    train_run(parse_config(tree(text, "unilm", "cross_entropy")), folder / "teacher")
    for criterion in DISTILLATION:
        CRITERION_OPTIONS[criterion] = {"teacher": str(folder / "teacher")}
    latents = {"train": str(_store(folder)), "valid": str(folder / "store"), "name": "speech_synthesis"}
    heard = latents | {"name": "speech_recognition", "max_source": 64, "max_target": 16}
    front_end = {"front_end": {"name": "phonemes", "file": str(folder / "words.txt")}}
    recordings = str(_recordings(folder))
    pictures = str(tiny_pictures.write_pictures(folder / "pictures"))
    captioned = str(tiny_pictures.write_captions(folder / "captioned"))
    captions = {"name": "captioning", "train": captioned, "valid": captioned, "image_size": 8, "patch_size": 4}
    captions |= {"channels": 1, "max_target": 8, "pieces": 100}
    tunes = str(_tunes(folder))
    drawings = str(tiny_pictures.write_store(folder / "drawings"))
    shown = {"name": "image_autoencoding", "train": pictures, "valid": pictures, "image_size": 8, "channels": 1}
    masked = shown | {"name": "masked_images", "patch_size": 4, "most_shift": 1}
    train_run(parse_config(tree(masked, "image_quantizer", "image_quantization")), folder / "codes")
    train_run(parse_config(tree(masked, "masked_autoencoder", "masked_pixels")), folder / "encoder")
    for criterion in ("masked_image_tokens", "corrupted_image"):
        CRITERION_OPTIONS[criterion] = {"teacher": str(folder / "codes")}
    CRITERION_OPTIONS["masked_features"] = {"teacher": str(folder / "encoder")}
    audio = {"train": recordings, "valid": recordings, "sample_rate": 2000, "segment_seconds": 0.1}
    return {
        "seq2seq": text,
        "seq2seq causal": text | {"method": "causal"},
        "seq2seq masked": text | {"method": "masked"},
        "seq2seq encoder_decoder": text | {"method": "encoder_decoder"},
        "seq2seq copying": text | {"method": "encoder_decoder", "copying": "pointer_generator"},
        "pseudo_masked_lm": pretraining | {"name": "pseudo_masked_lm", "pseudo_token": "[PSEUDO]"},
        "unilm_v1": pretraining | {"name": "unilm_v1"},
        "replaced_token_detection": pretraining | {"name": "replaced_token_detection"},
        "speech_autoencoding": audio | {"name": "speech_autoencoding"},
        "speech_synthesis": latents,
        "speech_and_text": latents | {"name": "speech_and_text"},
        "speech_recognition": heard,
        "speech_recognition causal": heard | {"method": "causal"},
        "image_autoencoding": shown,
        "masked_images": masked,
        "image_generation": {"name": "image_generation", "train": drawings, "valid": drawings},
        "image_and_text": {"name": "image_and_text", "train": drawings, "valid": drawings},
        "captioning": captions,
        "captioning masked": captions | {"method": "masked"},
        "melody_from_lyrics": {"name": "melody_from_lyrics", "train": tunes, "valid": tunes},
        "vibevoice_synthesis": _tuning(folder, "synthesis"),
        "vibevoice_recognition": _tuning(folder, "recognition"),
        "speech_synthesis with cues": latents | front_end | {"cues": {"per_latent": 1, "before": 1, "after": 1}},
    }


def _tunes(folder: Path) -> Path:
    record = {"src": "Twin-kle star", "tgt": "C4:1 R:1~C4:1/2~D4:1/2 G4:2", "context": "C4:1 D4:1"}
    (folder / "tunes.jsonl").write_text(f"{json.dumps(record)}\n" * 4)
    return folder / "tunes.jsonl"


def _tokenizer(folder: Path) -> str:
    folder.mkdir(parents=True)
    backend = Backend(models.WordLevel({word: id for id, word in enumerate(WORDS)}, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    backend.add_special_tokens([word for word in WORDS if word.startswith("[")])
    backend.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text("{}")
    return str(folder)


def _shard(folder: Path, split: str) -> None:
    tokenizer = Tokenizer.load(str(folder / "tokenizer"))
    generator = np.random.default_rng(0)
    rows = [np.array([2, *generator.integers(6, 40, 12), 3, *generator.integers(6, 40, 8), 3]) for _ in range(6)]
    lengths = np.array([len(row) for row in rows])
    header = Header(48, tokenizer.vocab_size, fingerprint(tokenizer), 0)
    write_shard(folder / shard_name(split, 0, 1), Rows(np.concatenate(rows), lengths, np.full(6, 14)), header)


def _store(folder: Path) -> Path:
    (folder / "words.txt").write_text("so S OW\nno N OW\n")
    facts = StoreFacts("tests", latent_size=3, sample_rate=2000, hop_length=40, sigma_rule="none", std=0.0)
    generator = np.random.default_rng(0)
    entries = []
    for number in range(4):
        alignment = (Sounding("/S", 0.02, 0.04), Sounding("/OW", 0.05, 0.07))
        spoken = Utterance(str(number), Path("none.wav"), 1.0, "so", "ann", alignment=alignment)
        entries.append((spoken, generator.standard_normal((9, 3)).astype(np.float32)))
    write_store(folder / "store", facts, entries)
    return folder / "store"


def _tuning(folder: Path, purpose: str) -> dict[str, Any]:
    write = write_vibevoice if purpose == "synthesis" else write_listener
    checkpoint = write(folder / purpose)
    facts = StoreFacts("tests", 3, 24_000, 3200, "none", 0.0, semantic_size=5)
    frames = np.random.default_rng(1).standard_normal((4, 3, 8)).astype(np.float32)
    entries = [(Utterance(str(number), Path("none.wav"), 1.0, "so", "ann"), frames[number]) for number in range(4)]
    write_store(folder / f"{purpose}_store", facts, entries)
    store = str(folder / f"{purpose}_store")
    return {"name": f"vibevoice_{purpose}", "train": store, "valid": store, "tokenizer": str(checkpoint)}


def _recordings(folder: Path) -> Path:
    sounds = pytest.importorskip("latent.audio.files")
    noise = np.random.default_rng(0).standard_normal(600).astype(np.float32)
    sounds.write_audio(folder / "noise.wav", 0.1 * noise, 2000)
    manifest = folder / "manifest.jsonl"
    manifest.write_text(json.dumps({"id": "n", "audio": "noise.wav", "seconds": 0.3, "text": "noise"}) + "\n")
    return manifest


def tree(task: dict[str, Any], model: str, criterion: str, names: bool = True) -> dict[str, Any]:
    options = dict(MODEL_OPTIONS[model])
    if model in ("vibevoice_language", "vibevoice_listener") and task["name"].startswith("vibevoice"):
        options["init"] = task["tokenizer"]
    latents = ("speech_synthesis", "speech_and_text", "speech_recognition", "image_generation", "image_and_text")
    gives_latents = task["name"] in latents
    if model in ("latent_lm", "latent_lm_listener", "timed_latent_lm") and not gives_latents:
        options |= {key: value for key, value in KNOWN.items() if key != "vocab_size"}
    if task["name"].endswith("autoencoding") and model in TEXT_MODELS:
        options["vocab_size"] = 40
    if model == "timed_latent_lm" and "cues" not in task:
        options["cue_tokens"] = 3
    sections = {"model": (model, options), "criterion": (criterion, CRITERION_OPTIONS.get(criterion, {}))}
    named = {kind: ({"name": name} if names else {}) | options for kind, (name, options) in sections.items()}
    return {"task": task, **named, "train": TRAIN}


@pytest.fixture
def tasks_are_built_once(sections: dict[str, dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    built: dict[str, Task] = {}
    build = s2s.run.build_task

    def once(config: s2s.run.RunConfig) -> Task:
        key = repr(config.task)
        if key not in built:
            built[key] = build(config)
        return built[key]

    monkeypatch.setattr(s2s.run, "build_task", once)


@pytest.mark.usefixtures("tasks_are_built_once")
@pytest.mark.parametrize("kind", OWN)
def test_each_combination_trains_or_is_refused_in_one_line(
    sections: dict[str, dict[str, Any]], tmp_path: Path, kind: str
) -> None:
    fit = {(kind, *OWN[kind])} | {combination for combination in ALSO_TRAINS if combination[0] == kind}
    trained, refused = set(), {}
    for number, (model, criterion) in enumerate(itertools.product(built_in(MODELS), built_in(CRITERIA))):
        try:
            assert train_run(parse_config(tree(sections[kind], model, criterion)), tmp_path / str(number)).step == 1
            trained.add((kind, model, criterion))
        except ConfigError as error:
            refused[model, criterion] = str(error)
    assert trained == fit
    assert not [message for message in refused.values() if "\n" in message or len(message) > 400]
    assert not list(tmp_path.glob("*/log.jsonl")) or len(list(tmp_path.glob("*/log.jsonl"))) == len(fit)
    own_model = OWN[kind][0]
    other = next(criterion for (model, criterion) in refused if model == own_model)
    assert refused[own_model, other].startswith(f"criterion.name: {other!r} cannot train the model {own_model!r}")


@pytest.mark.parametrize("kind", OWN)
def test_a_configuration_without_names_trains_every_loss_of_its_recipe(
    sections: dict[str, dict[str, Any]], tmp_path: Path, kind: str
) -> None:
    model, criterion = OWN[kind]
    plain, named = (parse_config(tree(sections[kind], model, criterion, names=names)) for names in (False, True))
    assert plain == named, "old configurations, which name the parts, stay as they are"
    assert (plain.model.name, plain.criterion.name) == (model, criterion)
    train_run(plain, tmp_path)
    record = json.loads((tmp_path / "log.jsonl").read_text().splitlines()[0])
    losses = set(CRITERIA[criterion].losses)  # type: ignore[attr-defined]
    assert losses - {"pitch_loss"} <= set(record), "a pitch is learned by tokenizers that find one"
    state = read_tensors(tmp_path / "checkpoints" / "step-000001" / "training.safetensors")
    trained = {name.rpartition("/")[2].rpartition(":")[0] for name in state if name.startswith("optimizer/")}
    weights = read_tensors(tmp_path / "model.safetensors")
    fixed = {"latent_bias", "latent_scale"}
    assert {f"model.{name}" for name in weights if name not in fixed} <= trained, "no part of the model is left out"


def test_every_registered_task_is_tried_here() -> None:
    assert {name.partition(" ")[0] for name in OWN} == set(built_in(TASKS))
    assert set(MODEL_OPTIONS) == set(built_in(MODELS))


def test_labels_of_unilm_v1_are_not_smoothed_unless_asked(sections: dict[str, dict[str, Any]]) -> None:
    def smoothing(task: str, **criterion: Any) -> float:
        config = parse_config({"task": sections[task], "criterion": criterion, "train": TRAIN})
        return config.criterion.config.label_smoothing  # type: ignore[attr-defined, no-any-return]

    assert smoothing("unilm_v1") == 0
    assert smoothing("unilm_v1", label_smoothing=0.2) == 0.2
    assert smoothing("seq2seq") == 0.1


def test_outputs_may_be_as_long_as_targets_unless_asked(sections: dict[str, dict[str, Any]]) -> None:
    for given, expected in (({}, 8), ({"max_length": 5}, 5), ({"name": "sampling"}, 8)):
        config = parse_config({"task": sections["seq2seq"], "decoder": given, "train": TRAIN})
        assert config.decoder is not None
        assert config.decoder.config.max_length == expected  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", built_in(DECODERS))
def test_every_decoder_is_a_search_or_a_streamer(name: str) -> None:
    cls: Any = DECODERS[name]
    assert issubclass(cls, Search) != issubclass(cls, Streamer)
    made = cls(cls.Config())
    assert isinstance(made, Decoder)
    assert made.config == cls.Config()


def test_a_decoder_of_another_kind_is_refused_by_name(sections: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    config = parse_config({"task": sections["seq2seq"], "model": UNILM, "train": TRAIN})
    train_run(config, tmp_path)
    with pytest.raises(ConfigError, match=r"decoder\.name: must name a Search for this run, found 'vibevoice'"):
        load_run(tmp_path, ["decoder.name=vibevoice"])
    none = parse_config({"task": sections["pseudo_masked_lm"], "train": TRAIN})
    assert none.decoder is None
    with pytest.raises(ConfigError, match=r"decoder\.name: must name a Sampling for this run, found None"):
        build_decoder(none, DECODERS["sampling"])
    with pytest.raises(ConfigError, match=r"decoder\.name: must be given, the task 'pseudo_masked_lm' declares none"):
        parse_config({"task": sections["pseudo_masked_lm"], "decoder": {"beam_size": 3}, "train": TRAIN})


def test_a_task_has_no_option_of_another_kind(sections: dict[str, dict[str, Any]]) -> None:
    with pytest.raises(ConfigError, match=r"task\.tokenizer: no such option"):
        parse_config({"task": sections["speech_synthesis"] | {"tokenizer": "x"}, "train": TRAIN})


@pytest.mark.parametrize("kind", ["pseudo_masked_lm", "speech_autoencoding", "speech_synthesis"])
def test_a_run_that_generates_no_text_is_refused_before_its_data_are_opened(
    sections: dict[str, dict[str, Any]], tmp_path: Path, kind: str
) -> None:
    assert not issubclass(TASKS[kind], GenerationTask)
    config = parse_config(
        {"task": sections[kind] | {"train": "gone"} if kind != "pseudo_masked_lm" else sections[kind]}
        | {"train": TRAIN}
    )
    write_tree(config.tree(), tmp_path / "config.yaml")
    with pytest.raises(InputError, match=f"its task, '{kind}', generates no text, so there is nothing to decode"):
        load_run(tmp_path)


def test_a_text_run_imports_nothing_of_speech(monkeypatch: pytest.MonkeyPatch) -> None:
    imported: list[str] = []
    monkeypatch.setattr(s2s.registry, "_import_all", imported.append)
    parse_config({"task": {"tokenizer": "x"}, "train": TRAIN})
    assert set(imported) == {"s2s.tasks", "s2s.models", "s2s.criteria", "s2s.decoding"}


def test_former_imports_of_speech_are_taken(sections: dict[str, dict[str, Any]]) -> None:
    former = parse_config({"imports": ["latent.plugin"], "task": sections["speech_synthesis"], "train": TRAIN})
    assert former == parse_config({"task": sections["speech_synthesis"], "train": TRAIN})


# Data that change between two starts


def moved(section: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The section with a copy of its data in a folder of its own."""
    old = Path(section.get("data") or section["train"]).parent
    shutil.copytree(old, folder, dirs_exist_ok=True)
    return {
        key: value.replace(str(old), str(folder)) if isinstance(value, str) else value for key, value in section.items()
    }


def change_a_byte(path: Path) -> None:
    """Another content of the same size."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


CHANGED = {
    "seq2seq": "pairs.jsonl",
    "pseudo_masked_lm": "corpus/train-00000-of-00001.parquet",
    "speech_autoencoding": "manifest.jsonl",
    "speech_synthesis": "store/index.jsonl",
}


@pytest.mark.parametrize("kind", CHANGED)
def test_data_that_changed_between_two_starts_are_refused(
    sections: dict[str, dict[str, Any]], tmp_path: Path, kind: str
) -> None:
    section, run = moved(sections[kind], tmp_path / "data"), tmp_path / "run"
    plain = tree(section, *OWN[kind]) | {"optim": {"schedule": "constant"}}
    longer = parse_config(plain | {"train": TRAIN | {"max_steps": 2}})
    train_run(parse_config(plain), run)
    changed = tmp_path / "data" / CHANGED[kind]
    content = changed.read_bytes()
    change_a_byte(changed)
    with pytest.raises(InputError) as raised:
        train_run(longer, run)
    message = str(raised.value)
    assert "\n" not in message
    if "has changed since" in message:  # else the task itself finds the data broken
        assert message.startswith(f"{changed}: has changed since {run} began to train on it")
    else:
        assert str(changed) in message
    changed.write_bytes(content)  # at another time, the same bytes: the same data
    assert train_run(longer, run).step == 2


def test_lines_that_were_cut_off_and_files_that_were_added_are_noticed(
    sections: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    section, run = moved(sections["seq2seq"], tmp_path / "data"), tmp_path / "run"
    folder = tmp_path / "data" / "pairs"
    folder.mkdir()
    (tmp_path / "data" / "pairs.jsonl").rename(folder / "train.jsonl")
    section |= {"train": str(folder), "valid": None}
    plain = tree(section, *OWN["seq2seq"]) | {"optim": {"schedule": "constant"}}
    longer = parse_config(plain | {"train": TRAIN | {"max_steps": 2}})
    train_run(parse_config(plain), run)
    file = folder / "train.jsonl"
    whole = file.read_bytes()
    file.write_bytes(b"".join(whole.splitlines(keepends=True)[:4]))
    with pytest.raises(InputError, match=rf"{file}: has changed since .*; restore the data, or choose another folder"):
        train_run(longer, run)
    file.write_bytes(whole)
    (folder / "train-more.jsonl").write_bytes(whole)
    with pytest.raises(InputError, match=r"train-more\.jsonl: is new since"):
        train_run(longer, run)
    (folder / "train-more.jsonl").unlink()
    (run / "data.json").unlink()  # as in runs of former versions
    assert train_run(longer, run).step == 2
    assert (run / "data.json").is_file()


def test_data_may_be_mended_before_the_first_checkpoint(sections: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    section, run = moved(sections["seq2seq"], tmp_path / "data"), tmp_path / "run"
    file = tmp_path / "data" / "pairs.jsonl"
    whole = file.read_text()
    file.write_text(whole + '{"src": 5, "tgt": "w4"}\n')
    config = parse_config(tree(section, *OWN["seq2seq"]))
    with pytest.raises(InputError, match=r"pairs\.jsonl:7"):
        train_run(config, run)
    file.write_text(whole)
    assert train_run(config, run).step == 1
