"""Errors of the server: their form, and that they tell nothing of its files."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s2s.errors import ConfigError, InputError
from unilatent.server.errors import HIDDEN, ApiError, api_error, without_paths

NAMES = {"runs/mine": "mine", "/srv/models/voice": "voice"}
PART = st.from_regex(r"[\w+-][\w.+-]*", fullmatch=True)


@settings(max_examples=50)
@given(st.lists(PART, min_size=2, max_size=5))
def test_no_path_of_the_server_is_told(parts: list[str]) -> None:
    path = "/" + "/".join(parts)
    assert without_paths(f"{path}: cannot be read: No such file", {}) == f"{HIDDEN}: cannot be read: No such file"
    assert path not in without_paths(f"the model in '{path}' (of {path}) is broken", {})


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("runs/mine: its weights hold NaN", "mine: its weights hold NaN"),
        ("runs/mine/model.safetensors: is cut off", "mine: is cut off"),
        ("/srv/models/voice/audio_tokenizer/config.yaml:3: broken YAML", "voice:3: broken YAML"),
        ("/srv/models/voices: gone", f"{HIDDEN}: gone"),
        (r"C:\Users\me\run: gone", f"{HIDDEN}: gone"),
        ("~/secret/run: gone", f"{HIDDEN}: gone"),
        ("1/2 cup, and/or more: kept", "1/2 cup, and/or more: kept"),
        ("see https://example.org/a/b", "see https://example.org/a/b"),
        ("/v1: kept", "/v1: kept"),
    ],
)
def test_models_have_their_name_instead(message: str, shown: str) -> None:
    assert without_paths(message, NAMES) == shown


def test_kinds_of_errors_have_their_status() -> None:
    found = api_error(ConfigError("speed: must be 1, found 2"), {}, "id")
    assert (found.status, found.param) == (400, "speed")
    assert found.content["error"]["type"] == "invalid_request_error"
    hidden = api_error(RuntimeError("/etc/passwd exploded"), {}, "id7")
    assert hidden.status == 500
    assert hidden.message == "the server failed; its log says why, at request id7"
    failed = api_error(ApiError(500, "/home/me/x: sample 3 is nan"), {}, "id")
    assert failed.message == f"{HIDDEN}: sample 3 is nan"
    assert api_error(InputError("a\nb"), {}, "id").message == "a\\nb"
