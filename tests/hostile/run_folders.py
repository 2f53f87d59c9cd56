"""Run folders, stores and shards that came damaged: files gone, cut, swapped, or full of NaN."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import load_file, save_file
from torch import Tensor

from hostile.cases import Case, Command, Ending
from hostile.damage import WRONG, Damage, nodes, of_any_file, of_json_file, with_node
from hostile.home import SPEAK, Home

Tensors = dict[str, Tensor]

_DECODE = ["decode", "run", "--input", "in.jsonl", "--output", "out.jsonl"]
_RESUME = ["train", "text.yaml", "--output", "run"]
_SAY = ["synthesize", "voice", *SPEAK, "--text", "Good.", "--output", "out.wav"]
_ENCODE = [
    "encode",
    "recordings/manifest.jsonl",
    "--tokenizer",
    "audio_tokenizer",
    "--output",
    "out",
    "--device",
    "cpu",
]
_TRAIN_VOICE = ["train", "voice.yaml", "--output", "out", "task.train=store", "task.valid=store"]
_PRETRAIN = ["train", "text.yaml", "--output", "out", "task={name: pseudo_masked_lm, data: shards}"]
_PRETRAIN += ["criterion.name=pseudo_masked_lm", "task.tokenizer=shards/tokenizer"]

# (what is taken, the file that is damaged, a command that needs it)
_FILES = [
    (("run",), "run/config.yaml", _DECODE),
    (("run",), "run/model.safetensors", _DECODE),
    (("run",), "run/tokenizer.json", _DECODE),
    (("run", "text.yaml"), "run/config.yaml", _RESUME),
    (("run", "text.yaml"), "run/checkpoints/step-000002/model.safetensors", _RESUME),
    (("run", "text.yaml"), "run/checkpoints/step-000002/training.safetensors", _RESUME),
    (("run", "text.yaml"), "run/checkpoints/step-000002/progress.json", _RESUME),
    (("run", "trace.jsonl"), "trace.jsonl", ["rerank", "run", "--trace", "trace.jsonl", "--length-penalty", "1"]),
    (("run",), "run/model.safetensors", ["convert", "run", "out"]),
    (
        ("run",),
        "run/checkpoints/step-000002/model.safetensors",
        ["average", "run/checkpoints/step-000002", "run", "--output", "mean.safetensors"],
    ),
    (("voice",), "voice/config.yaml", _SAY),
    (("voice",), "voice/model.safetensors", _SAY),
    (("voice",), "voice/latents.json", _SAY),
    (("voice",), "voice/speech_vocabulary.json", _SAY),
    (("voice",), "voice/audio_tokenizer/config.yaml", _SAY),
    (("voice",), "voice/audio_tokenizer/model.safetensors", _SAY),
    (("audio_tokenizer", "recordings"), "audio_tokenizer/config.yaml", _ENCODE),
    (("audio_tokenizer", "recordings"), "audio_tokenizer/model.safetensors", _ENCODE),
    (("store", "voice.yaml"), "store/store.json", _TRAIN_VOICE),
    (("store", "voice.yaml"), "store/index.jsonl", _TRAIN_VOICE),
    (("store", "voice.yaml"), "store/shard-00000.safetensors", _TRAIN_VOICE),
    (("store", "voice.yaml"), "store/audio_tokenizer/config.yaml", _TRAIN_VOICE),
    (("store", "voice.yaml"), "store/audio_tokenizer/model.safetensors", _TRAIN_VOICE),
    (("shards", "text.yaml"), "shards/tokenizer/tokenizer.json", _PRETRAIN),
    (("shards", "text.yaml"), "shards/train-00000-of-00001.parquet", _PRETRAIN),
]


def cases() -> Iterator[Case]:
    """Files of any format; JSON of another form; weights of another model; every value of small files."""
    for number, (parts, file, arguments) in enumerate(_FILES):
        damages = list(of_any_file().items())
        if file.endswith((".json", ".jsonl")):
            damages += of_json_file().items()
        for place, (name, damage) in enumerate(damages):
            if "store/audio_tokenizer/config" in file and name == "halved":
                continue  # half of a configuration is YAML, and training only copies it
            if name in ("gone", "halved", "empty") or (number + place) % 3 == 0:
                yield _case(f"damaged/{file} {name}, {arguments[0]}", parts, arguments, file, damage)
    for parts, file, arguments in _FILES:
        if file.endswith(".safetensors"):
            for name, change in _WEIGHTS.items():
                if "store/audio_tokenizer" in file and name not in ("with NaN", "with infinity"):
                    continue  # training only copies it; who speaks with it reports what does not fit
                yield _case(f"weights/{file} {name}, {arguments[0]}", parts, arguments, file, _weights(change))
    yield from _trees()
    yield from _folders()


_FOR_PEOPLE = ("speaker", "language")
"""Fields of an index in which any text will do."""


def _case(name: str, parts: tuple[str, ...], arguments: list[str], file: str, damage: Damage) -> Case:
    names = rf"{Path(file).name}|{Path(file).parent}".replace(".", r"\.")
    # numbers of a shard are first read in the first update, before any checkpoint; the next start starts over
    leaves = "out/.*" if "shard-00000.safetensors with" in name else "nothing"
    return Case(name, _command(parts, arguments, file, damage), names, leaves=leaves)


def _command(parts: tuple[str, ...], arguments: list[str], file: str, damage: Damage) -> Command:
    def command(home: Home) -> list[str]:
        for part in parts:
            home.take(part)
        if "in.jsonl" in arguments:
            home.take("train.jsonl", "in.jsonl")
        damage(Path(file))
        return arguments

    return command


def _weights(change: Callable[[Tensors], Tensors]) -> Damage:
    def damage(path: Path) -> None:
        save_file(change(load_file(path)), path, metadata={"format": "pt"})

    return damage


def _filled(value: float) -> Callable[[Tensors], Tensors]:
    def change(tensors: Tensors) -> Tensors:
        name = max(tensors, key=lambda name: tensors[name].numel() * tensors[name].is_floating_point())
        changed = tensors[name].clone()
        changed.view(-1)[0] = value
        return {**tensors, name: changed}

    return change


def _first(change: Callable[[Tensor], Tensor]) -> Callable[[Tensors], Tensors]:
    def changed(tensors: Tensors) -> Tensors:
        name = max(tensors, key=lambda name: tensors[name].numel())
        return {**tensors, name: change(tensors[name]).contiguous()}

    return changed


_WEIGHTS: dict[str, Callable[[Tensors], Tensors]] = {
    "with NaN": _filled(float("nan")),
    "with infinity": _filled(float("-inf")),
    "of another shape": _first(lambda tensor: torch.cat([tensor, tensor])),
    "transposed to one axis": _first(lambda tensor: tensor.flatten()),
    "of whole numbers": _first(lambda tensor: torch.zeros(tensor.shape, dtype=torch.int64)),
    "without a tensor": lambda tensors: dict(list(tensors.items())[1:]),
    "without any": lambda tensors: {},
    "of other names": lambda tensors: {f"x.{name}": tensor for name, tensor in tensors.items()},
}


def _trees() -> Iterator[Case]:
    """Every value of the small files that commands read, replaced by values of other types."""
    wrong = [value for value in WRONG.items() if value[0] != "very long"]
    small = [
        (("run", "text.yaml"), "run/checkpoints/step-000002/progress.json", _RESUME),
        (("voice",), "voice/latents.json", _SAY),
        (("voice",), "voice/speech_vocabulary.json", _SAY),
        (("store", "voice.yaml"), "store/store.json", _TRAIN_VOICE),
    ]
    number = 0
    for parts, file, arguments in small:
        for path in _PATHS[file]:
            for step in range(2):
                name, value = wrong[(number + 7 * step) % len(wrong)]
                key = ".".join(map(str, path))
                yield Case(
                    f"tree/{file} {key} is {name}",
                    _command(parts, arguments, file, _json_value(path, value)),
                    rf"{Path(file).name}|{Path(file).parent}",
                    Ending.EITHER,
                )
                number += 1
    values = {"null": None, "a number": 5, "a word": "foo", "a list": [], "empty": {}, "a list of mappings": [{}, 5]}
    for name, value in values.items():
        for section in ("task", "model", "criterion", "decoder", "optim", "train", "imports", "seed"):
            if (section, name) in _SAME:
                continue
            damage = _yaml_value(section, value)
            yield Case(
                f"tree/run/config.yaml {section} is {name}",
                _command(("run",), [*_DECODE, "decoder.name=beam"], "run/config.yaml", damage),
                rf"run/config\.yaml|{section}",
                Ending.EITHER if value in (None, {}) and section != "model" else Ending.REFUSED,
            )
    for name, value in wrong:
        record = json.dumps({"split": value, "step": value}) + "\n"
        yield Case(
            f"tree/run/log.jsonl split is {name}",
            _command(("run",), ["show", "run"], "run/log.jsonl", partial(Path.write_text, data=record)),
            r"log\.jsonl",
            Ending.EITHER,
        )
    for index, field in enumerate(("id", "text", "speaker", "language", "frames", "shard", "alignment", "extra")):
        for step in range(4):
            name, value = list(WRONG.items())[(index * 4 + step) % len(WRONG)]
            yield Case(
                f"tree/store/index.jsonl {field} is {name}",
                _command(("store", "voice.yaml"), _TRAIN_VOICE, "store/index.jsonl", _index_value(field, value)),
                rf"index\.jsonl:2\b.*({field}|JSON)|shard.*safetensors",
                Ending.EITHER if (field in _FOR_PEOPLE and isinstance(value, str)) or value == [] else Ending.REFUSED,
            )
    for shard in (
        "../../../../etc/passwd",
        "/etc/passwd",
        "../store/shard-00000.safetensors",
        "shard-00009.safetensors",
    ):
        yield Case(
            f"tree/store/index.jsonl leads to {shard}",
            _command(("store", "voice.yaml"), _TRAIN_VOICE, "store/index.jsonl", _index_value("shard", shard)),
            r"index\.jsonl:2.*shard|shard-00009",
        )


_SAME = {("task", "empty"), ("imports", "a list"), ("imports", "empty"), ("seed", "a number")}
_PATHS: dict[str, list[tuple[str | int, ...]]] = {
    "run/checkpoints/step-000002/progress.json": [
        (name,) for name in ("step", "epoch", "position", "seconds", "best", "validations_since_best", "finished")
    ],
    "voice/latents.json": [
        (name,)
        for name in ("tokenizer", "latent_size", "sample_rate", "hop_length", "sigma_rule", "std", "mean", "new")
    ],
    "voice/speech_vocabulary.json": [
        (),
        ("speakers",),
        ("speakers", 0),
        ("frames_per_token",),
        ("front_end",),
        ("language",),
        ("fixed_text_length",),
        ("longest_text",),
        ("cues",),
        ("new",),
    ],
    "store/store.json": [
        (name,)
        for name in (
            "latent_size",
            "sample_rate",
            "hop_length",
            "sigma_rule",
            "std",
            "mean",
            "latent_std",
            "num_frames",
        )
    ],
}


def _json_value(path: tuple[str | int, ...], value: Any) -> Damage:
    def damage(file: Path) -> None:
        tree = json.loads(file.read_text())
        if path[:-1] in nodes(tree) or not path:
            file.write_text(json.dumps(with_node(tree, path, value)))

    return damage


def _yaml_value(section: str, value: Any) -> Damage:
    def damage(file: Path) -> None:
        file.write_text(yaml.safe_dump({**yaml.safe_load(file.read_text()), section: value}))

    return damage


def _index_value(field: str, value: Any) -> Damage:
    def damage(file: Path) -> None:
        first, second, *rest = file.read_text().splitlines()
        changed = json.dumps({**json.loads(second), field: value})
        file.write_text("\n".join([first, changed, *rest]) + "\n")

    return damage


def _folders() -> Iterator[Case]:
    """Folders that are another thing than the command wants."""
    others = {
        "an empty folder": "empty",
        "a file": "train.jsonl",
        "a tokenizer's folder": "tokenizer",
        "nothing": "nowhere",
    }
    verbs: dict[str, list[str]] = {
        "decode": ["--input", "in.jsonl", "--output", "out.jsonl"],
        "show": [],
        "convert": ["out"],
        "rerank": ["--trace", "in.jsonl", "--length-penalty", "1"],
        "synthesize": ["--text", "Good.", "--output", "out.wav"],
    }
    for verb, more in verbs.items():
        for name, place in others.items():
            yield Case(f"folder/{verb} {name}", _on_folder(verb, place, more), rf"{place.replace('.', chr(92) + '.')}")
    speech_run = {
        "decode": r"voice|speech_synthesis",
        "convert": r"voice|speech_synthesis|LatentLM",
        "rerank": r"voice|speech|in\.jsonl",
    }
    for verb, names in speech_run.items():
        yield Case(f"folder/{verb} a voice", _on_folder(verb, "voice", verbs[verb]), names)
    yield Case("folder/synthesize a text run", _on_folder("synthesize", "run", verbs["synthesize"]), r"\brun\b")
    yield Case("folder/encode by a text run", _encode_by("run"), r"\brun\b")
    yield Case("folder/encode by a voice", _encode_by("voice"), r"voice")
    yield Case("folder/encode by nothing", _encode_by("nowhere"), r"nowhere")


def _on_folder(verb: str, place: str, more: list[str]) -> Command:
    def command(home: Home) -> list[str]:
        home.take("train.jsonl", "in.jsonl")
        if place == "empty":
            Path(place).mkdir()
        elif place != "nowhere":
            home.take(place)
        return [verb, place, *more]

    return command


def _encode_by(place: str) -> Command:
    def command(home: Home) -> list[str]:
        home.take("recordings")
        if place != "nowhere":
            home.take(place)
        return ["encode", "recordings/manifest.jsonl", "--tokenizer", place, "--output", "out", "--device", "cpu"]

    return command
