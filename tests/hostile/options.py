"""Every option of every registered section with a value of another kind; unknown options; sizes beyond any machine."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import yaml

from hostile.cases import Case, Command
from hostile.home import Home
from s2s.config import Section
from s2s.run_config import REGISTRIES
from s2s.training.config import TrainConfig
from s2s.training.optim import OptimConfig

_NAN, _INF = float("nan"), float("inf")
_WRONG: dict[Any, list[Any]] = {
    float: [_NAN, _INF, -_INF, "fast", [1.0], True],
    int: [-7, 1.5, "many", True, _NAN, [3], 10**4000],
    bool: ["maybe", 7, [True], {"a": 1}],
    str: [5, [[1]], {"a": 1}, True],
    Literal: ["zzz", 5, ["zzz"], True],
    Section: [5, [1], "word", {"no_such_option": 1}],
    list: [5, {"a": 1}, [{"a": 1}], [None]],
    dict: [5, "word", [[1]], {"a": [None]}],
    type(None): [5, "word", [1]],
}


def cases() -> Iterator[Case]:
    """Sections by enumeration, two values a field; then sizes on a real run."""
    for number, (section, path, kind, optional) in enumerate(_fields()):
        wrong = [*_WRONG[kind], *([] if optional or kind is type(None) else [None])]
        chosen = [*([_NAN] if kind is float else []), wrong[(number % (len(wrong) - 1)) + (kind is float)]]
        key = ".".join((section[0], *path))
        for value in chosen:
            if value == -7 and key in ("criterion.student_layer", "criterion.teacher_layer"):
                continue  # layers count from the last one too
            if (key, value) == ("decoder.attention_temperature", 5):
                continue  # a number stands for the whole section
            shown = repr(value) if len(repr(value)) < 30 else "a huge number"
            title = f"option/{section[1] or section[0]}: {key} is {shown}"
            names = rf"{key}\b".replace(".", r"\.") + (r"|config\.yaml:\d" if value == 10**4000 else "")
            yield Case(title, _with_option(section, path, value), names)
    for section in _sections():
        yield Case(f"option/unknown in {section[0]} {section[1]}", *_unknown(section))
    for key in ("hidden_size", "num_layers", "intermediate_size", "max_positions", "vocab_size", "num_heads"):
        for value in (10**9, 10**30):
            name = f"size/model.{key} is {value:.0e}"
            yield Case(name, _train(f"model.{key}={value}"), rf"model|{key}|memory", limited=True)
    for override, names in _CONFLICTS.items():
        yield Case(f"conflict/{override}", _train(*override.split()), names)
    for override, names in _DECODER.items():
        yield Case(f"decoder/{override}", _decode(*override.split()), names, limited="0000" in override)


_CONFLICTS = {
    "train.epochs=2": r"max_steps.*epochs",
    "train.max_steps=null": r"max_steps.*epochs",
    "optim.schedule=wsd optim.decay_steps=-1": r"decay_steps",
    "optim.decay_steps=3": r"decay_steps",
    "optim.betas=[0.9,1.0]": r"betas",
    "optim.betas=[0.9]": r"betas",
    "optim.betas=[.nan,0.9]": r"betas",
    "model.num_heads=3": r"num_heads|hidden_size",
    "model.relative_buckets=3": r"relative_buckets",
    "task.max_source=3000": r"max_positions|max_source",
    "task.max_source=1": r"max_source",
    "criterion.name=sigma_vae": r"criterion|sigma_vae",
    "model.name=latent_lm model.hidden_size=16 model.num_heads=2 model.num_kv_heads=1": r"model|latent_lm",
    "task.random_prob=0.7 task.keep_prob=0.7": r"random_prob|keep_prob",
    "task.tokenizer=nowhere/at/all": r"nowhere/at/all",
    "task.tokenizer=text.yaml": r"text\.yaml|tokenizer",
    "task.train=[]": r"task\.train",
    "task.train=''": r"task\.train",
    "task.train=null": r"task\.train",
    "task.source_field=''": r"source_field|''",
    "task.source_field=nothing": r"'nothing' is missing",
    "model.init=nowhere/at/all": r"nowhere/at/all",
    "model.init=text.yaml": r"text\.yaml",
    "train.precision=bf17": r"train\.precision",
    "train.device=tpu": r"train\.device",
    "train.max_tokens=1": r"max_tokens",
}
_DECODER = {
    "decoder.length_penalty=.nan": r"decoder\.length_penalty",
    "decoder.length_penalty=-1": r"decoder\.length_penalty",
    "decoder.length_penalty=1e300": r"decoder\.length_penalty",
    "decoder.beam_size=0": r"decoder\.beam_size",
    "decoder.beam_size=1000000000": r"beam_size|memory",
    "decoder.beam_size=1e3": r"decoder\.beam_size",
    "decoder.num_hypotheses=9": r"num_hypotheses",
    "decoder.max_length=0": r"decoder\.max_length",
    "decoder.max_length=1000000000000": r"max_length|max_positions",
    "decoder.min_length=99": r"min_length",
    "decoder.forbidden_tokens=[nobody]": r"nobody",
    "decoder.prefix_tokens=[nobody]": r"nobody",
    "decoder.prefix_tokens=the": r"prefix_tokens",
    "decoder.attention_temperature=0": r"attention_temperature",
    "decoder.attention_temperature=-1": r"attention_temperature",
    "decoder.attention_temperature.cross=0": r"attention_temperature\.cross",
    "decoder.name=diverse_beam decoder.num_groups=3 decoder.beam_size=4": r"num_groups|beam_size",
    "decoder.name=diverse_beam decoder.num_groups=5 decoder.diversity_penalty=0": r"diversity_penalty",
    "decoder.name=sampling decoder.temperature=0": r"decoder\.temperature",
    "decoder.name=sampling decoder.temperature=.inf": r"decoder\.temperature",
    "decoder.name=sampling decoder.seed=36893488147419103232": r"decoder\.seed",
    "decoder.name=sampling decoder.seed=-1": r"decoder\.seed",
    "decoder.name=sampling decoder.top_p=0": r"decoder\.top_p",
    "decoder.name=next_token_diffusion": r"decoder|next_token_diffusion",
    "decoder.beem_size=2": r"beem_size.*beam_size",
    "model.hidden_size=32": r"does not fit|model\.hidden_size",
    "model.num_layers=7": r"does not fit|lacks|model\.num_layers",
    "task.name=speech_synthesis": r"task",
}

SectionOf = tuple[str, str]
"""The kind of a section and the name of its class, "" where there is one class."""


def _sections() -> Iterator[SectionOf]:
    for kind, registry in REGISTRIES.items():
        for name in registry.names():
            if registry[name].__module__.split(".")[0] in ("s2s", "latent"):
                yield kind, name
    yield "optim", ""
    yield "train", ""


def _class_of(section: SectionOf) -> Any:
    kind, name = section
    if kind in REGISTRIES:
        owner: Any = REGISTRIES[kind][name]
        return owner.Config
    return {"optim": OptimConfig, "train": TrainConfig}[kind]


def _fields() -> Iterator[tuple[SectionOf, tuple[str, ...], Any, bool]]:
    """Every field of every section, nested ones too; those that classes inherit only once."""
    known = set()
    for section in _sections():
        for owner, path, annotation in _fields_of(_class_of(section)):
            if (owner, path[-1]) in known:
                continue
            known.add((owner, path[-1]))
            kind, optional = _kind_of(annotation)
            yield section, path, kind, optional


def _fields_of(cls: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[type, tuple[str, ...], Any]]:
    """The class that declares each field, the path to it, and its type."""
    for name, field in cls.model_fields.items():
        owner = next(base for base in cls.__mro__ if name in inspect.get_annotations(base))
        yield owner, (*path, name), field.annotation
        if _kind_of(field.annotation)[0] is Section and len(path) < 2:
            inner = [part for part in (field.annotation, *typing.get_args(field.annotation)) if isinstance(part, type)]
            nested = next(part for part in inner if issubclass(part, Section))
            yield from _fields_of(nested, (*path, name))


def _kind_of(annotation: Any) -> tuple[Any, bool]:
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        kinds = [_kind_of(part)[0] for part in args if part is not type(None)]
        several = next((kind for kind in (list, dict) if kind in kinds), kinds[0])
        return several, type(None) in args
    if origin is typing.Annotated:
        return _kind_of(args[0])
    if origin is Literal:
        return Literal, False
    if origin in (list, tuple):
        return list, False
    if origin is dict:
        return dict, False
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return Section, False
    return annotation, False


def _valid(cls: Any) -> dict[str, Any]:
    """Values for what must be given."""
    required = {name: field.annotation for name, field in cls.model_fields.items() if field.is_required()}
    return {name: _valid(kind) if _kind_of(kind)[0] is Section else "./x" for name, kind in required.items()}


def _tree(section: SectionOf) -> dict[str, Any]:
    tree: dict[str, Any] = {"train": {"max_steps": 1}}
    tree["task"] = {"train": "./x", "valid": "./x", "tokenizer": "./x"}
    kind, name = section
    if kind in REGISTRIES:
        tree[kind] = {"name": name, **_valid(_class_of(section)), **(tree[kind] if name == "seq2seq" else {})}
    return tree


def _with_option(section: SectionOf, path: tuple[str, ...], value: Any) -> Command:
    def command(home: Home) -> list[str]:
        tree = _tree(section)
        node = tree.setdefault(section[0], {})
        if section[0] == "train" and path == ("epochs",):
            del node["max_steps"]
        for part in path[:-1]:
            node = node.setdefault(part, {})
        node[path[-1]] = value
        Path("config.yaml").write_text(yaml.safe_dump(tree) if value != 10**4000 else _dump_huge(tree))
        return ["train", "config.yaml", "--output", "out"]

    return command


def _dump_huge(tree: dict[str, Any]) -> str:
    """YAML of a tree that holds 10**4000, which is near the longest number that Python writes."""
    return yaml.safe_dump(tree, width=10**6)


def _unknown(section: SectionOf) -> tuple[Command, str]:
    names = list(_class_of(section).model_fields)
    near = f"{names[-1]}x" if names else "anything"

    def command(home: Home) -> list[str]:
        tree = _tree(section)
        tree.setdefault(section[0], {})[near] = 1
        Path("config.yaml").write_text(yaml.safe_dump(tree))
        return ["train", "config.yaml", "--output", "out"]

    return command, rf"{section[0]}\.{near}: no such option" + (rf".*Did you mean '{names[-1]}'" if names else "")


def _train(*overrides: str) -> Command:
    def command(home: Home) -> list[str]:
        home.take("text.yaml")
        return ["train", "text.yaml", "--output", "out", *overrides]

    return command


def _decode(*overrides: str) -> Command:
    def command(home: Home) -> list[str]:
        home.take("run")
        home.take("train.jsonl", "in.jsonl")
        return ["decode", "run", "--input", "in.jsonl", "--output", "out.jsonl", *overrides]

    return command
