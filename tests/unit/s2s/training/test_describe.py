"""Options and sizes as text for people."""

from __future__ import annotations

import pytest

from s2s.describe import describe_options
from s2s.errors import ConfigError
from s2s.progress import magnitude


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
    assert "decoder.beam_size: int = 5\n    Hypotheses kept at each step" in text
    assert 'decoder.stop: certain | likely | full = "certain"' in text


def test_a_section_without_names_takes_none() -> None:
    with pytest.raises(ConfigError, match="optim: is one section and takes no name, found 'adam'"):
        describe_options("optim", "adam")
