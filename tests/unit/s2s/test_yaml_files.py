"""YAML from anybody: plain values, or one short line; never a hang, never a traceback."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from s2s.config import apply_overrides, read_tree
from s2s.errors import ConfigError
from s2s.yaml_files import parse_yaml

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0\x85"))
SCALARS = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | TEXT
TREES = st.dictionaries(TEXT, SCALARS | st.lists(SCALARS) | st.dictionaries(TEXT, SCALARS), max_size=5)

BOMB = "a0: &a0 [lol]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 10))
MERGES = "a0: &a0 {k: 1}\n" + "".join(f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 10)}]}}\n" for n in range(1, 10))
HOSTILE = {
    "alias bomb": (BOMB, "more than 100,000 values"),
    "bomb of merges": (MERGES, "more than 100,000 values"),
    "mapping that contains itself": ("task: &t {more: *t}", "a list or mapping that contains itself"),
    "list that contains itself": ("task: &t [*t]", "a list or mapping that contains itself"),
    "deep lists": ("task: " + "[" * 3000, "more than 30 levels"),
    "closed deep lists": ("task: " + "[" * 50 + "]" * 50, "more than 30 levels"),
    "deep mappings": ("".join(f"{' ' * n}a:\n" for n in range(300)), "more than 30 levels"),
    "integer of 5,000 digits": (f"seed: {'1' * 5000}", "cannot be read"),
    "integer of 65 bits": ("seed: 9223372036854775808", "integer of more than 64 bits"),
    "hexadecimal of 10,000 digits": (f"seed: 0x{'f' * 10_000}", "integer of more than 64 bits"),
    "key that is a number": ("1: 2", "the key '1' is there twice, or is not text"),
    "key that is null": ("{~: 2}", "is not text"),
    "key that is a list": ("? [a, b]\n: 2", "is not text"),
    "key that is there twice": ("seed: 1\ntask: {}\nseed: 2", ":3: broken YAML: the key 'seed' is there twice"),
    "inner key that is there twice": ("task: {a: 1, a: 2}", "the key 'a' is there twice"),
    "NUL": ("seed: \0", "special characters are not allowed"),
    "escaped NUL": ('task: {train: "a\\0b"}', "holds NUL"),
    "half a surrogate pair": ('task: {train: "\\ud800"}', "holds NUL or half a surrogate pair"),
    "python tag": (
        "task: !!python/object/apply:os.system [true]",
        "the type .*; expected text, numbers",
    ),
    "set": ("task: !!set {a, b}", "the type 'set'"),
    "binary": ("task: !!binary aGk=", "the type 'binary'"),
    "date tag": ("task: !!timestamp x", "the type 'timestamp'"),
    "integer tag on text": ("seed: !!int x", "'x' cannot be read"),
    "truth tag on text": ("seed: !!bool x", "'x' cannot be read"),
    "number tag on nothing": ("seed: !!float ''", "'' cannot be read"),
    "unknown tag": ("seed: !x 1", "the type"),
    "two documents": ("a: 1\n---\nb: 2", "another document"),
    "a mebibyte": ("a: " + "x" * (1 << 20), "more than 1,048,576 characters"),
    "a list": ("[1, 2]", "must hold a mapping of sections, found list"),
    "nothing": ("", "must hold a mapping of sections, found NoneType"),
    "text": ("x", "must hold a mapping of sections, found str"),
    "unfinished text": ("a: 'x", "broken YAML: found unexpected end"),
    "tabs": ("a:\n\t- b", "broken YAML"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_file_is_one_line(kind: str, tmp_path: Path) -> None:
    text, message = HOSTILE[kind]
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message) as caught:
        read_tree(path)
    assert str(caught.value).startswith(str(path)[:100])
    assert len(str(caught.value)) <= 300


@pytest.mark.parametrize("kind", [kind for kind in HOSTILE if kind not in ("a list", "nothing", "text")])
def test_hostile_override_is_one_line(kind: str) -> None:
    text, _ = HOSTILE[kind]
    with pytest.raises(ConfigError, match=r"^optim\.lr: the value .* is not YAML: ") as caught:
        apply_overrides({}, [f"optim.lr={text}"])
    assert len(str(caught.value)) <= 300


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("optim.lr", "'optim.lr': an override must read key.path=value"),
        ("=1", "'=1': an override must read"),
        ("x" * 100_000, r"'xxx.*\.\.\.x*': an override must read"),
        ("a." * 100_000 + "b=1", "an override must read"),
        ("seed.more=1", r"seed.more: 'seed' is not a section, it is 3"),
        ("names.more=1", r"names.more: 'names' is not a section, it is \['a'\]"),
    ],
)
def test_wrong_override_is_one_line(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        apply_overrides({"seed": 3, "names": ["a"]}, [override])
    assert len(str(caught.value)) <= 300


def test_override_fills_a_section_that_is_null() -> None:
    assert apply_overrides({"decoder": None}, ["decoder.name=beam"]) == {"decoder": {"name": "beam"}}


def test_dates_are_text_and_anchors_work() -> None:
    tree = parse_yaml("train: 2020-13-45\nvalid: 2020-01-01\nbase: &b {x: 1}\nmore: {<<: *b, y: *b}")
    assert tree == {"train": "2020-13-45", "valid": "2020-01-01", "base": {"x": 1}, "more": {"x": 1, "y": {"x": 1}}}


@given(TREES)
def test_what_yaml_writes_is_read_again(tree: object) -> None:
    assert parse_yaml(yaml.safe_dump(tree, allow_unicode=True)) == tree


@given(st.text("[]{}&*!:-,?'\"\\ \n\t#|>%@0a~.<=", max_size=60) | st.text(max_size=30))
def test_any_text_is_a_value_or_a_yaml_error(text: str) -> None:
    try:
        value = parse_yaml(text)
    except yaml.YAMLError:
        return
    assert value is None or isinstance(value, (str, int, float, list, dict))
