"""What this distribution brings, by name: configurations, runs and sample data, wherever it is installed.

`quickstart` is a configuration, `demo` a run folder, `sample:en/train.jsonl` a file of the sample data. A file or
folder of the user that has such a name comes first.
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import NamedTuple

from s2s.errors import ConfigError, InputError
from s2s.registry import nearest

_ROOT = Path(__file__).resolve().parents[1]
_CONFIGS = ("s2s/configs", "latent/configs")
_SAMPLE = _ROOT / "data_prep/sample"
_RUNS = {"demo": "latent/demo_voice", "summarizer": "s2s/summarizer"}
_CARDS = ("MODEL_CARD.md", "DATA_CARD.md")
PREFIX = "sample:"
"""How the names of sample data begin."""


class About(NamedTuple):
    """What the head of a configuration, or the card of a folder, says about it; "" where it says nothing."""

    purpose: str
    costs: str = ""
    needs: str = ""


def configs() -> dict[str, Path]:
    """The shipped configurations: name and file; those for text first, each kind sorted."""
    return {path.stem: path for folder in _CONFIGS for path in sorted((_ROOT / folder).glob("*.yaml"))}


def runs() -> dict[str, Path]:
    """The shipped models: name and run folder."""
    return {name: _ROOT / folder for name, folder in _RUNS.items()}


def samples() -> dict[str, Path]:
    """The folders of sample data: name and folder, sorted."""
    return {PREFIX + path.name: path for path in sorted(_SAMPLE.iterdir()) if path.is_dir()}


def config_file(name: str | Path) -> Path:
    """The file of a configuration; ConfigError, with the nearest name, if neither a file nor a shipped one has it."""
    path = Path(name)
    if (path.exists() and not path.is_dir()) or path.suffix or len(path.parts) != 1:
        return path
    if (found := configs().get(str(name))) is None:
        raise ConfigError(
            f"{name}: no such file, and none of the configurations that `unilatent configs` lists"
            f"{nearest(str(name), configs())}"
        )
    return found


def run_folder(name: str | Path) -> Path:
    """The folder of a shipped model, if that is a name of one and not of a local file or folder; else the same path."""
    path = Path(name)
    return path if path.exists() else runs().get(str(name), path)


def hint(name: str | Path) -> str:
    """The end of a message about a run that is not there: the shipped one of a similar name, if any."""
    close = difflib.get_close_matches(str(name), _RUNS, n=1)
    return f". Did you mean {close[0]!r}?" if close and not Path(name).exists() else ""


def data_path(name: str) -> str:
    """The file or folder of a name of sample data; every other name is returned as it is.

    Raises:
        InputError: sample data have no such file; the message has the nearest name.
    """
    if not name.startswith(PREFIX) or Path(name).exists():
        return name
    inside = name.removeprefix(PREFIX).strip("/")
    path = _SAMPLE / inside
    if not inside or ".." in path.parts or not path.exists():
        files = (file.relative_to(_SAMPLE) for pattern in ("*", "*/*.jsonl") for file in _SAMPLE.glob(pattern))
        raise InputError(f"{name}: no such sample data{nearest(name, [PREFIX + file.as_posix() for file in files])}")
    return str(path)


def about(path: Path) -> About:
    """What a configuration or a folder is for: the head of the YAML file, or the title of the card.

    The first line of a configuration says what it is for; lines with "# Costs: " and "# Needs: " say the rest.
    """
    if path.is_dir():
        return About(card_of(path).read_text(encoding="utf-8").partition("\n")[0].lstrip("# "))
    head = [line[2:].strip() for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("# ")]
    facts = {key: text for key, _, text in (line.partition(": ") for line in head)}
    return About(head[0], facts.get("Costs", ""), facts.get("Needs", ""))


def card_of(folder: Path) -> Path:
    """The card of a model or of sample data."""
    return next(folder / name for name in _CARDS if (folder / name).is_file())
