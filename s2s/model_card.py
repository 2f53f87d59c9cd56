"""The model card of a run that generates text, written from its own files: data, sizes, training, scores, limits."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from s2s import checkpoint
from s2s.config import section_of
from s2s.json_files import dump_json
from s2s.progress import duration, magnitude
from s2s.run_folder import saved_tree
from s2s.training.logging import LOG, read_log

MODEL_CARD = "MODEL_CARD.md"
TO_BE_COMPLETED = "TO BE COMPLETED"
_TEMPLATE = """\
# {name}

{what}, trained with [unilatent](https://pypi.org/project/unilatent/). `config.yaml` has every option.

| | |
|---|---|
| start | {start} |
| size | {size} parameters, a vocabulary of {vocabulary} |
| source, target | at most {max_source} and {max_target} tokens |
| training data | {data} |
| training | {training} |
| validation | {scores} |

## Use

```python
from unilatent import Generator

print(Generator.load("{address}").generate("A text.").text)
```

On the command line: `unilatent decode {address} --input texts.txt --output outputs.txt`.

## What it may be used for, and its limits

It writes texts like the targets of its training data, for sources like theirs, in their language. Its outputs may be
wrong, may leave out what matters, and may repeat what is wrong or unfair in the data: a person should read them before
they are used. Longer sources lose their end.

## Before you pass it on

- [ ] Training data: where they come from, under which license. TO BE COMPLETED
- [ ] Scores on a test set (`unilatent evaluate`). TO BE COMPLETED
- [ ] License of these weights. TO BE COMPLETED
"""


def text_card(run: Path, address: str) -> str:
    """The card of a run that generates text.

    Args:
        run: The run folder.
        address: By which others load it, USER/NAME.
    """
    tree = saved_tree(run)
    task, model, training = (section_of(tree, name, run) for name in ("task", "model", "train"))
    weights = checkpoint.read_tensors(checkpoint.weights_path(run))
    log = read_log(run / LOG) if (run / LOG).exists() else []
    return _TEMPLATE.format(
        name=address.partition("/")[2],
        what=f"Text to text: task `{task.get('name', 'seq2seq')}`, method `{task.get('method', '-')}`",
        start=f"`{shown_path(model['init'])}`" if model.get("init") else "random weights",
        size=magnitude(sum(tensor.numel() for tensor in weights.values())),
        vocabulary=model.get("vocab_size"),
        max_source=task.get("max_source", "-"),
        max_target=task.get("max_target", "-"),
        data=_data(task.get("train")),
        training=_training(log, training),
        scores=_scores(log, training),
        address=address,
    )


def shown_path(name: Any) -> str:
    """A name of data or a model for others: of a path from the root only its end, since folders are private."""
    return Path(str(name)).name if Path(str(name)).is_absolute() else str(name)


def _data(named: Any) -> str:
    names = named if isinstance(named, list) else [named] if named else []
    return ", ".join(f"`{shown_path(name)}`" for name in names) or "not recorded"


def _training(log: list[dict[str, Any]], config: Mapping[str, Any]) -> str:
    last = next((record for record in reversed(log) if record.get("split") == "train"), None)
    if last is None:
        return "no log in the run folder"
    seconds = f", {duration(last['seconds'])}" if isinstance(last.get("seconds"), int | float) else ""
    return f"{last['step']:,} updates, {config.get('precision', 'float32')}{seconds}"


def _scores(log: list[dict[str, Any]], config: Mapping[str, Any]) -> str:
    """The means of the validation that was best by what the run kept its weights by."""
    records = [record for record in log if record.get("split") == "valid"]
    if not records:
        return "none in the log"
    by = config.get("keep_best_by", "loss")
    sign = 1 if by == "loss" else -1
    best = min(records, key=lambda record: sign * record.get(by, record.get("loss", 0)))
    means = {
        name: round(value, 4)
        for name, value in best.items()
        if isinstance(value, int | float)
        and name not in ("step", "epoch", "seconds", "lr", "tokens_per_s", "grad_norm")
    }
    shown = ", ".join(f"{name} {dump_json(value)}" for name, value in means.items())
    return f"{shown} (after {best['step']:,} updates)"
