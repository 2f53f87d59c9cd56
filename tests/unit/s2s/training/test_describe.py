"""Options and sizes as text for people."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, get_args

import pytest
import yaml

from s2s.config import FACT, Section
from s2s.describe import SECTIONS, describe_options
from s2s.errors import ConfigError
from s2s.progress import magnitude
from s2s.run_config import REGISTRIES


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0"), (530, "530"), (12_345, "12.3 k"), (22_713_000, "22.7 M"), (1_540_000_000, "1.5 G")]
)
def test_large_numbers_have_three_or_so_digits_and_a_prefix(count: int, text: str) -> None:
    assert magnitude(count) == text


@pytest.mark.parametrize(("kind", "plural"), [("criterion", "criteria"), ("decoder", "decoders")])
def test_classes_of_a_kind_are_listed_under_its_plural(kind: str, plural: str) -> None:
    head, *names = describe_options(kind, None).splitlines()
    assert head == f"{plural}, for `{kind}.name`:"
    assert names


def test_each_option_has_its_default_and_its_meaning() -> None:
    text = describe_options("decoder", "wide_beam")
    assert "decoder.beam_size: int = 5\n    Hypotheses kept at each step; 1 is greedy search. Range: >= 1" in text
    assert 'decoder.stop: certain | likely | full = "certain"' in text


CLASSES: list[tuple[str, str | None, Any]] = [
    *((kind, name, registry[name]) for kind, registry in REGISTRIES.items() for name in registry.names()),
    *((kind, None, None) for kind in SECTIONS),
]


def leaves(path: str, section: type[Section], given: Section | None = None) -> Iterator[tuple[str, Any, bool]]:
    """Key path, default and whether it is a fact, of all options of a section and of those inside it."""
    for name, field in section.model_fields.items():
        default = field.get_default(call_default_factory=True) if given is None else getattr(given, name)
        inner = [part for part in (field.annotation, *get_args(field.annotation)) if isinstance(part, type)]
        yield f"{path}.{name}", default, FACT in field.metadata
        for part in inner:
            if issubclass(part, Section):
                yield from leaves(f"{path}.{name}", part, default if isinstance(default, Section) else None)


@pytest.mark.parametrize(("kind", "name", "cls"), CLASSES, ids=lambda value: value if isinstance(value, str) else "")
def test_every_option_of_every_class_is_printed_with_its_default(kind: str, name: str | None, cls: Any) -> None:
    expected = list(leaves(kind, SECTIONS[kind] if name is None else cls.Config))
    whole, short = (describe_options(kind, name, everything=everything) for everything in (True, False))
    printed = dict(re.findall(r"^([a-z0-9_.]+): .*?(?: = (.*)| \(must be given\)|)$", whole, re.MULTILINE))
    assert [key for key in printed if key.startswith(f"{kind}.")] == [key for key, _, _ in expected]
    for key, default, _ in expected:
        if printed[key] and not isinstance(default, Section):
            value = yaml.safe_load(printed[key])
            assert (float(value) if isinstance(default, float) else value) == (
                list(default) if isinstance(default, tuple) else default
            ), key
    facts = [key for key, _, is_fact in expected if is_fact]
    assert not [key for key in facts if f"\n{key}: " in f"\n{short}"]
    assert (f"that are not shown: {len(facts)} (--all)." in short) == bool(facts)
    assert "<class" not in whole
    assert "typing" not in whole


def test_all_sections_and_names_are_listed_without_arguments() -> None:
    text = describe_options(None)
    names = [name for registry in REGISTRIES.values() for name in registry.names()]
    assert {"latent_lm", "unilm"} <= set(names)
    assert all(re.search(rf"^  {name} +[A-Z]", text, re.MULTILINE) for name in names)
    assert all(f"\n{kind}: " in text for kind in SECTIONS)
    assert "seed: int = 1\n" in text


def test_options_inside_others_have_their_path_and_the_default_of_their_place() -> None:
    assert "model.head.hidden_size: int = 0\n" in describe_options("model", "latent_lm")
    text = describe_options("model", "vibevoice")
    assert "model.acoustic.latent_size: int = 64\n" in text
    assert "model.semantic.latent_size: int = 128\n" in text
    assert "task.cues: section | null = null\n" in describe_options("task", "speech_synthesis")


def test_mappings_and_lists_are_told_apart_from_choices() -> None:
    assert " | vk | vv to float (> 0) = {" in describe_options("criterion", "relation_distillation")
    text = describe_options("criterion", "layerwise_distillation")
    assert "criterion.token_map: mapping of str to str = {}\n" in text
    assert "criterion.layers: list of int | null | null = null\n" in text


def test_a_section_without_names_takes_none() -> None:
    with pytest.raises(ConfigError, match="optim: is one section and takes no name, found 'adam'"):
        describe_options("optim", "adam")
