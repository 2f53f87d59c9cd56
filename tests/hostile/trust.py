"""Folders from strangers: code that waits to be imported or unpickled, paths and links that lead elsewhere, consent."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
import yaml

from hostile.cases import Case, Command, Ending
from hostile.home import SPEAK, Home, write_lines

_CODE = "import pathlib\npathlib.Path('attacked').touch()\n"
_DECODE = ["decode", "run", "--input", "in.jsonl", "--output", "out.jsonl"]
_VERBS: dict[str, tuple[tuple[str, ...], list[str]]] = {
    "decode": (("run",), _DECODE),
    "show": (("run",), ["show", "run"]),
    "convert": (("run",), ["convert", "run", "out"]),
    "rerank": (
        ("run", "trace.jsonl"),
        ["rerank", "run", "--trace", "trace.jsonl", "--length-penalty", "1", "--output", "out.jsonl"],
    ),
    "synthesize": (("voice",), ["synthesize", "voice", *SPEAK, "--text", "Good.", "--output", "out.wav"]),
    "encode": (
        ("recordings", "audio_tokenizer"),
        ["encode", "recordings/manifest.jsonl", "--tokenizer", "audio_tokenizer", "--output", "out", "--device", "cpu"],
    ),
}


def cases() -> Iterator[Case]:
    """Code, then paths and links, then consent."""
    for number, (verb, (needs, arguments)) in enumerate(_VERBS.items()):
        folder = needs[-1] if verb == "encode" else needs[0]
        for place, (name, module) in enumerate(_MODULES.items()):
            if (number + place) % 2 == 0 or verb in ("decode", "synthesize"):
                ending = Ending.EITHER if verb == "show" else Ending.REFUSED
                module_name = module.format(folder=folder, verb=verb, place=place)
                command = _imports(needs, arguments, folder, module_name)
                yield Case(f"import/{verb}: {name}", command, module_name.split(".")[0].replace("/", "."), ending)
    yield Case("import/the tokenizer inside a voice", _imports_inside(), r"stranger_inside")
    for name, content in _pickles().items():
        for verb in ("train", "evaluate"):
            if verb == "train":
                yield Case(f"pickle/{name}, model.init", _init(content), r"pytorch_model\.bin")
    for name, (file, content) in _MAPS.items():
        yield Case(f"map/{name}", _init_files(file, content), rf"{file}|init|bert".replace(".", r"\."))
    for name, damage in _SPEECH_TOKENIZERS.items():
        yield Case(f"config/{name}", _checkpoint_config(damage), r"config\.json|bert|model\.num_heads")
    yield from _links()
    yield from _consent()


_MODULES = {
    "beside the run": "stranger_{verb}_{place}",
    "in the run": "{folder}.stranger_{verb}_{place}",
    "of the standard library": "antigravity",
    "with a path": "../stranger_{verb}_{place}",
    "that ends the process": "leaver_{verb}_{place}",
}


def _imports(needs: tuple[str, ...], arguments: list[str], folder: str, module: str) -> Command:
    def command(home: Home) -> list[str]:
        _take(needs, arguments, home)
        path = Path(*module.split(".")).with_suffix(".py")
        if module.isprintable() and "/" not in module and module != "antigravity":
            path.write_text(_CODE + ("import sys\nsys.exit(0)\n" if module.startswith("leaver") else ""))
        _change_yaml(Path(folder) / "config.yaml", lambda tree: {**tree, "imports": [*tree["imports"], module]})
        return arguments

    return command


def _imports_inside() -> Command:
    def command(home: Home) -> list[str]:
        needs, arguments = _VERBS["synthesize"]
        _take(needs, arguments, home)
        Path("stranger_inside.py").write_text(_CODE)
        inner = Path("voice/audio_tokenizer/config.yaml")
        _change_yaml(inner, lambda tree: {**tree, "imports": [*tree["imports"], "stranger_inside"]})
        return arguments

    return command


def _take(needs: tuple[str, ...], arguments: list[str], home: Home) -> None:
    for name in needs:
        home.take(name)
    if "in.jsonl" in arguments:
        home.take("train.jsonl", "in.jsonl")


def _change_yaml(path: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    path.write_text(yaml.safe_dump(change(yaml.safe_load(path.read_text()))))


class _Payload:
    """Unpickling this makes a file."""

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return exec, ("import pathlib; pathlib.Path('attacked').touch()", "")


class _Exec:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("import pathlib; pathlib.Path('attacked').touch()",)


def _pickles() -> dict[str, bytes]:
    bare = pickle.dumps({"weight": _Exec()})
    whole = io.BytesIO()
    torch.save({"weight": torch.zeros(2)}, whole)
    packed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(whole.getvalue())) as old, zipfile.ZipFile(packed, "w") as new:
        for name in old.namelist():
            new.writestr(name, bare if name.endswith("data.pkl") else old.read(name))
    return {
        "bare": bare,
        "in a zip": packed.getvalue(),
        "of a list": pickle.dumps([1, 2]),
        "of nothing": pickle.dumps(None),
    }


_BERT = {
    "model_type": "bert",
    "vocab_size": 23,
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 32,
    "type_vocab_size": 2,
}


def _init(content: bytes) -> Command:
    return _init_files("pytorch_model.bin", content)


def _init_files(file: str, content: bytes, config: dict[str, Any] | None = None) -> Command:
    def command(home: Home) -> list[str]:
        home.take("text.yaml")
        home.take("tokenizer", "bert")
        Path("bert/config.json").write_text(json.dumps(_BERT if config is None else config))
        if content:
            Path("bert", file).write_bytes(content)
        return ["train", "text.yaml", "--output", "out", "model={init: bert}"]

    return command


def _index(weight_map: Any) -> tuple[str, bytes]:
    return "model.safetensors.index.json", json.dumps({"weight_map": weight_map}).encode()


_MAPS: dict[str, tuple[str, bytes]] = {
    "shards outside the folder": _index({"a": "../../../../etc/passwd"}),
    "an absolute shard": _index({"a": "/etc/passwd"}),
    "a shard that is missing": _index({"a": "model-00001.safetensors"}),
    "a list": _index(["model-00001.safetensors"]),
    "numbers": _index({"a": 5}),
    "null": _index(None),
    "empty": _index({}),
    "an index that is a list": ("model.safetensors.index.json", b"[1]"),
    "an index that is deep": ("model.safetensors.index.json", b"[" * 100_000),
    "an index that is empty": ("model.safetensors.index.json", b""),
    "weights that are JSON": ("model.safetensors", b"{}"),
    "a header of 2**62 bytes": ("model.safetensors", (2**62).to_bytes(8, "little") + b"{}"),
}
_SPEECH_TOKENIZERS: dict[str, dict[str, Any]] = {
    "hidden_act is a list": {"hidden_act": ["gelu"]},
    "hidden_act is unknown": {"hidden_act": "zzz"},
    "hidden_size is a word": {"hidden_size": "many"},
    "hidden_size is NaN": {"hidden_size": float("nan")},
    "vocab_size is 10**30": {"vocab_size": 10**30},
    "layers are negative": {"num_hidden_layers": -1},
    "model_type is a list": {"model_type": ["bert"]},
    "model_type is unknown": {"model_type": "zzz"},
    "heads that do not divide": {"num_attention_heads": 3},
    "dropout is infinite": {"hidden_dropout_prob": float("inf")},
}


def _checkpoint_config(change: dict[str, Any]) -> Command:
    return _init_files("model.safetensors", b"", {**_BERT, **change})


def _links() -> Iterator[Case]:
    """Temporary and lock files that are links to what somebody else owns."""
    outputs = {"decode": "out.jsonl", "rerank": "out.jsonl", "convert": "out", "synthesize": "out.wav"}
    for verb, output in outputs.items():
        for suffix in (".lock", ".unfinished", ".state.json", ".state.json.unfinished"):
            needs, arguments = _VERBS[verb]
            yield Case(
                f"link/{verb}: {output}{suffix}", _linked(needs, arguments, f"{output}{suffix}"), r"", Ending.EITHER
            )
    yield Case("link/synthesize: .out.wav.lock", _linked(*_VERBS["synthesize"], ".out.wav.lock"), r"", Ending.EITHER)
    yield Case("link/encode: out/store.json", _linked(*_VERBS["encode"], "out/store.json"), r"out", Ending.EITHER)


def _linked(needs: tuple[str, ...], arguments: list[str], link: str) -> Command:
    def command(home: Home) -> list[str]:
        _take(needs, arguments, home)
        Path("precious").write_text("of somebody else")
        Path(link).parent.mkdir(exist_ok=True)
        Path(link).symlink_to(Path("precious").absolute())
        return arguments

    return command


def _consent() -> Iterator[Case]:
    """Voices without the word of their speaker."""
    notes: dict[str, bytes | None] = {
        "no note": None,
        "a note for another recording": json.dumps({"sha256": "0" * 64}).encode(),
        "a note that is a list": b"[1]",
        "a deep note": b"[" * 100_000,
        "a note that is not UTF-8": b"\xff\xfe",
        "a note whose hash is null": b'{"sha256": null}',
    }
    for name, note in notes.items():
        yield Case(f"consent/{name}", _voice(note), r"me\.wav.*consent")
    yield Case("consent/records name recordings of others", _voices(), r"consent", Ending.COUNTED)


def _voice(note: bytes | None) -> Command:
    def command(home: Home) -> list[str]:
        home.take("voice")
        home.take("recordings")
        Path("recordings/ann0.wav").rename("me.wav")
        if note is not None:
            Path("me.wav.consent.json").write_bytes(note)
        return ["synthesize", "voice", *SPEAK[:-2], "--text", "Good.", "--voice", "me.wav", "--output", "out.wav"]

    return command


def _voices() -> Command:
    def command(home: Home) -> list[str]:
        home.take("voice")
        home.take("recordings")
        Path("lists").mkdir()
        records = [{"id": "a", "text": "Good."}, {"id": "b", "text": "Two.", "voice": "../recordings/bob2.wav"}]
        write_lines("lists/in.jsonl", records)
        return ["synthesize", "voice", *SPEAK, "--input", "lists/in.jsonl", "--output", "out"]

    return command
