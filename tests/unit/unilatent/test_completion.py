"""What the shell completes is what exists: keys of options, registered and shipped names, local files."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from s2s.run_config import REGISTRIES
from s2s.training.config import TrainConfig
from s2s.training.optim import OptimConfig
from unilatent import completion


def test_keys_are_the_options_of_the_classes() -> None:
    for section, fields in (("optim", OptimConfig.model_fields), ("train", TrainConfig.model_fields)):
        assert completion.training_keys(f"{section}.") == sorted(f"{section}.{key}=" for key in fields)
    for kind, registry in REGISTRIES.items():
        assert set(completion.class_names(kind)) <= set(registry.names())  # other tests register more
        completed = completion.training_keys(f"{kind}.")
        for name in completion.class_names(kind):
            for key in registry[name].Config.model_fields:
                assert any(one.startswith((f"{kind}.{key}=", f"{kind}.{key}.")) for one in completed), f"{kind}.{key}"
    assert completion.training_keys("task.name=seq") == ["task.name=seq2seq"]
    assert "script.pause_seconds=" in completion.speaking_keys("script.")
    assert completion.decoding_keys("optim.") == []


def test_names_and_files_are_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("runs/demos").mkdir(parents=True)
    Path("quick.yaml").touch()
    assert completion.configs("quick") == ["quickstart", "quick.yaml"]
    assert completion.runs("d") == ["demo"]
    assert completion.runs("runs/d") == ["runs/demos/"]


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        ("unilatent synth", {"synthesize"}),
        ("unilatent train quicks", {"quickstart"}),
        ("unilatent train quickstart optim.warm", {"optim.warmup_steps="}),
        ("unilatent train quickstart --out", {"--output"}),
        ("unilatent options mod", {"model"}),
        ("unilatent options model timed", {"timed_latent_lm"}),
        ("unilatent configs show xs", {"xsum"}),
        ("unilatent prepare gigaw", {"gigaword"}),
        ("unilatent synthesize demo script.pau", {"script.pause_seconds="}),
    ],
)
def test_bash_gets_the_completions(words: str, completed: set[str], tmp_path: Path) -> None:
    environment = {**os.environ, "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    environment |= {"_UNILATENT_COMPLETE": "complete_bash"}
    program = str(Path(sys.executable).parent / "unilatent")
    done = subprocess.run([program], env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert set(done.stdout.split()) == completed
