"""The model card of a run over text, written from its own files: data, sizes, training, scores, limits."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from s2s import checkpoint
from s2s.config import section_of
from s2s.json_files import dump_json, read_object
from s2s.progress import duration, magnitude
from s2s.registry import TASKS
from s2s.run_config import DEFAULT_TASK
from s2s.run_folder import saved_tree
from s2s.tasks.base import GenerationTask, Task
from s2s.tasks.melody_from_lyrics import MelodyFromLyrics
from s2s.training.loggers import LOG, read_log
from s2s.training.metrics import FACTS, cost

TO_BE_COMPLETED = "TO BE COMPLETED"
_TEMPLATE = """\
# {name}

{what}, trained with unilatent. `config.yaml` has every option.

| | |
|---|---|
| start | {start} |
| size | {size} parameters{vocabulary} |
| source, target | at most {lengths} |
| data | {data} |
| training | {training} |
| validation | {scores} |

## Use

{use}

## What it may be used for, and its limits

{limits}

## Before you pass it on

- [ ] Training data: where they come from, under which license. TO BE COMPLETED
- [ ] Scores on a test set (`unilatent evaluate`). TO BE COMPLETED
- [ ] License of these weights. TO BE COMPLETED
"""


_GENERATE = """\
```python
from unilatent import Generator

print(Generator.load("{address}").generate("A text."))
```

On the command line: `unilatent decode {address} --input texts.txt --output outputs.txt`."""
_COMPOSE = """\
Lyrics in syllables, a line of them on each line of a file:

`unilatent compose {address} lyrics.txt --output song.wav --output song.mid`"""
_TEXT_LIMITS = """\
It writes texts like the targets of its training data, for sources like theirs, in their language. Its outputs may be
wrong, may leave out what matters, and may repeat what is wrong or unfair in the data: a person should read them before
they are used. Longer sources lose their end."""
_MELODY_LIMITS = """\
It writes melodies like those of its training data, for lyrics like theirs, in their language, and knows no harmony. A
melody may be dull, hard to sing, or close to a tune that it has learned, whose rights others hold: a person should look
before it is used. Longer lines are refused."""
_START_FROM = "`unilatent train CONFIG model.init={address}` starts a training from these weights."
_MOST_FILES = 6


def text_card(run: Path, address: str) -> str:
    """The card of a run over text.

    Args:
        run: The run folder.
        address: USER/NAME, by which others load it.
    """
    tree = saved_tree(run)
    task, model, training = (section_of(tree, section, run) for section in ("task", "model", "train"))
    weights = checkpoint.read_tensors(checkpoint.weights_path(run))
    name = str(task.get("name", DEFAULT_TASK))
    kind, use, limits = _kind(TASKS[name])
    most = [f"{task.get(key, '-')}" for key in ("max_source", "max_target", "max_syllables", "max_notes")]
    is_melody = issubclass(TASKS[name], MelodyFromLyrics)
    log = read_log(run / LOG) if (run / LOG).exists() else []
    return _TEMPLATE.format(
        name=address.partition("/")[2],
        what=f"{kind} (task `{name}`)",
        use=use.format(address=address),
        limits=limits,
        start=f"`{shown_path(model['init'])}`" if model.get("init") else "random weights",
        size=magnitude(sum(tensor.numel() for tensor in weights.values())),
        vocabulary=f", a vocabulary of {model['vocab_size']}" if model.get("vocab_size") else "",
        lengths=f"{most[2]} syllables and {most[3]} notes" if is_melody else f"{most[0]} and {most[1]} tokens",
        data=_data(run, task.get("train")),
        training=_training(log, training),
        scores=_scores(log, training),
    )


def _kind(task: type[Task]) -> tuple[str, str, str]:
    """What a model of a task is, how it is used, and what its limits are."""
    if issubclass(task, MelodyFromLyrics):
        return "A model that writes melodies for lyrics", _COMPOSE, _MELODY_LIMITS
    if issubclass(task, GenerationTask):
        return "A model that writes texts from texts", _GENERATE, _TEXT_LIMITS
    return "An encoder of text", _START_FROM, _TEXT_LIMITS


def shown_path(name: Any) -> str:
    """A name of data or a model for others: of a path from the root only its end, since folders are private."""
    return Path(str(name)).name if Path(str(name)).is_absolute() else str(name)


def _data(run: Path, named: Any) -> str:
    """The files that the run was trained and validated on, with their sizes and hashes if it has recorded them."""
    path = run / checkpoint.DATA
    if path.is_file() and (recorded := read_object(path)):
        files = [
            f"`{shown_path(name)}` ({magnitude(facts['bytes'])}B, sha256 {facts['sha256'][:12]})"
            for name, facts in recorded.items()
        ]
    else:
        names = named if isinstance(named, list) else [named] if named else []
        files = [f"`{shown_path(name)}`" for name in names] or ["not recorded"]
    more = f" and {len(files) - _MOST_FILES} more files" if len(files) > _MOST_FILES else ""
    return ", ".join(files[:_MOST_FILES]) + more


def _training(log: list[dict[str, Any]], config: Mapping[str, Any]) -> str:
    last = next((record for record in reversed(log) if record.get("split") == "train"), None)
    if last is None:
        return "no log in the run folder"
    took = f" in {duration(last['seconds'])}" if isinstance(last.get("seconds"), int | float) else ""
    return f"{last['step']:,} updates{took}, {config.get('precision', 'float32')}"


def _scores(log: list[dict[str, Any]], config: Mapping[str, Any]) -> str:
    """The means of the validation that was best by what the run kept its weights by."""
    records = [record for record in log if record.get("split") == "valid"]
    if not records:
        return "none in the log"
    by = config.get("keep_best_by", "loss")
    best = min(records, key=lambda record: cost(by, record[by]) if by in record else record.get("loss", 0))
    means = {
        name: round(value, 4) for name, value in best.items() if isinstance(value, int | float) and name not in FACTS
    }
    shown = ", ".join(f"{name} {dump_json(value)}" for name, value in means.items())
    return f"{shown} (after {best['step']:,} updates)"
