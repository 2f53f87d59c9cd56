"""Former names of options: configurations that have them load as if they had the current ones."""

from __future__ import annotations

import logging

import pytest

from s2s import renamed
from s2s.config import apply_overrides
from s2s.renamed import OPTIONS, current_facts, current_options


@pytest.fixture(autouse=True)
def _nothing_was_logged() -> None:
    renamed._log.cache_clear()


@pytest.mark.parametrize(("former", "current"), [(key, new) for key, new in OPTIONS.items() if isinstance(new, str)])
def test_a_former_key_is_the_current_one_and_is_reported_once(
    former: str, current: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    for _ in range(2):
        assert current_options(apply_overrides({}, [f"{former}=3"])) == apply_overrides({}, [f"{current}=3"])
    assert caplog.messages == [f"{former}: is called {current} now"]


def test_a_former_value_is_the_current_one(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    assert current_options({"decoder": {"solver": "ancestral"}}) == {"decoder": {"solver": "ddpm"}}
    assert caplog.messages == ["decoder.solver: 'ancestral' is called 'ddpm' now"]


def test_current_names_stay_and_are_not_reported(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    tree = {"seed": 1, "task": {"voice_prompt_prob": 0.5}, "decoder": {"solver": "dpm"}, "imports": ["my_lab.losses"]}
    assert current_options(tree) == tree
    assert not caplog.messages


def test_modules_that_need_no_import_any_more_are_left_out() -> None:
    assert current_options({"imports": ["latent.plugin", "my_lab.losses"]}) == {"imports": ["my_lab.losses"]}


def test_facts_of_speech_have_their_current_names() -> None:
    assert current_facts({"spread": 2.0, "mean": 0.0}) == {"latent_std": 2.0, "mean": 0.0}
