"""Adapters of a voice that was trained here: as a run, and merged with their base."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import unilatent
from safetensors.torch import load_file
from tiny_voice import voice_config, write_voice

from latent.synthesis.voices import open_voice
from s2s.run import parse_config, train_run

pytest.importorskip("soundfile")


def say(run: Path) -> Any:
    voice = open_voice(run, device="cpu", overrides=["decoder.num_inference_steps=2"])
    return voice.say(voice.request("a", "Two, three.", "bob", seed=1)).samples


def test_a_voice_with_adapters_speaks_as_the_merged_one(tmp_path: Path) -> None:
    base = write_voice(tmp_path)
    given = voice_config(tmp_path / "store").tree()
    given["model"] |= {"init": str(base), "adapters": {"rank": 2, "full": ["head"]}}
    given["optim"] = {"lr": 1e-2, "schedule": "constant"}
    given["train"] |= {"max_steps": 2, "device": "cpu", "loggers": []}
    train_run(parse_config(given), tmp_path / "run")
    stored = load_file(tmp_path / "run/model.safetensors")
    assert {name.partition(".")[0] for name in stored} == {"layers", "head"}
    unilatent("merge", tmp_path / "run", "--output", tmp_path / "merged")
    adapted, merged, before = (say(run) for run in (tmp_path / "run", tmp_path / "merged", base))
    assert np.array_equal(adapted, merged)
    assert len(before) != len(adapted) or np.abs(before - adapted).max() > 1e-4
