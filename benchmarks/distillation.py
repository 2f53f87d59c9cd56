"""Students of a summarizer: the ways to learn from it, with equal numbers of updates.

    python benchmarks/distillation.py runs/teacher /tmp/students --data data/debian/en

A student has some layers of the teacher, and learns from the gold targets, from the teacher's outputs, or from the
teacher beside it. Prints and runs the commands of each row; what is finished is not done again, so the same command
continues, and `--only` shares the rows among processes. At the end it prints the command that compares what is there.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from commands import unilatent

from s2s.shipped import data_path

RELATION = "criterion.name=relation_distillation"
LAYERWISE = "criterion.name=layerwise_distillation"
LOGITS = "criterion.name=logit_distillation"


@dataclass(frozen=True)
class Row:
    """A way to learn.

    Args:
        criteria: The criteria, one training after the other; None: the labels alone.
        temperature: Attention temperature at which the teacher writes the labels. Default: the labels are gold.
    """

    criteria: tuple[str | None, ...] = (None,)
    temperature: float | None = None


ROWS = {
    "gold": Row(),
    "pseudo": Row(temperature=1),
    "plate-1.5": Row(temperature=1.5),
    "plate-2": Row(temperature=2),
    "logits": Row((LOGITS,)),
    "layerwise": Row((LAYERWISE,)),
    "relation-gold": Row((RELATION, None)),
    "logits-pseudo": Row((LOGITS,), temperature=1),
    "layerwise-pseudo": Row((LAYERWISE,), temperature=1),
}
FIRST_SHARE = 1 / 3
"""Share of the updates that the first of two trainings has."""


@dataclass(frozen=True)
class Bench:
    """What all rows have in common; see `main`."""

    teacher: str
    folder: Path
    data: str
    layers: str
    updates: int
    precision: str
    options: Sequence[str]

    def file(self, split: str) -> str:
        return str(data_path(f"{self.data}/{split}.jsonl"))

    def labels(self, temperature: float) -> Path:
        """The training data with the teacher's outputs."""
        path = self.folder / f"labels-{temperature:g}.jsonl"
        neutral = [] if temperature == 1 else [f"decoder.attention_temperature={temperature:g}"]
        command = ["prepare", "pseudo-labels", self.teacher, self.file("train"), *neutral, "--output", str(path)]
        unilatent(*command, "--precision", "int8" if self.precision == "bf16" else "float32")
        return path

    def student(self, name: str, seed: int) -> Path:
        """The run of a row."""
        row, start = ROWS[name], [f"model.like={self.teacher}", f"model.layers_from=[{self.layers}]"]
        labels = [f"task.train={self.file('train')}"]
        if row.temperature is not None:
            labels = [f"task.train={self.labels(row.temperature)}", "task.labels=pseudo"]
        run, left = Path(), self.updates
        for number, criterion in enumerate(row.criteria, start=1):
            run = self.folder / f"{name}.{seed}.{number}"
            updates = left if number == len(row.criteria) else round(self.updates * FIRST_SHARE)
            recipe = ["student", f"criterion.teacher={self.teacher}", criterion] if criterion else ["debian_synopsis"]
            unilatent("train", *recipe, "--output", str(run), *start, *labels, *self._how(updates, seed))
            start, left = [f"model.init={run}"], left - updates
        return run

    def _how(self, updates: int, seed: int) -> list[str]:
        options = {"max_steps": updates, "validate_every": max(1, updates // 4), "precision": self.precision}
        return [
            f"task.valid={self.file('valid')}",
            "task.max_source=96",
            "train.max_sentences=16",
            f"seed={seed}",
            "optim.lr=1e-3",
            f"optim.warmup_steps={max(1, updates // 10)}",
            *(f"train.{name}={value}" for name, value in options.items()),
            *self.options,
        ]

    def outputs(self, name: str, run: str | Path) -> Path:
        """What a run writes for the test data."""
        path = self.folder / f"{name}.jsonl"
        unilatent("decode", str(run), "--input", self.file("test"), "--output", str(path))
        return path


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, decode, and print the command that compares."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("teacher", help="a run")
    parser.add_argument("folder", type=Path, help="for labels, runs and outputs")
    parser.add_argument("--data", default="sample:en", help="a prepared folder with train, valid and test.jsonl")
    parser.add_argument("--layers", default="2,5", help="the teacher's layers that a student begins with, from 0")
    parser.add_argument("--updates", type=int, default=1240, help="of each student, in all its trainings together")
    parser.add_argument("--precision", choices=("float32", "bf16"), default="float32", help="of training")
    parser.add_argument("--only", nargs="+", choices=ROWS, default=list(ROWS), help="rows, in this order")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1], help="one training of each row for each")
    parser.add_argument("--options", nargs="*", default=[], help="KEY=VALUE for all trainings")
    given = parser.parse_args(arguments)
    given.folder.mkdir(parents=True, exist_ok=True)
    bench = Bench(**{field.name: getattr(given, field.name) for field in fields(Bench)})
    for seed in given.seeds:
        for name in given.only:
            bench.outputs(f"{name}.{seed}", bench.student(name, seed))
    bench.outputs("teacher", given.teacher)
    names = ["teacher", *(f"{row}.{seed}" for seed in given.seeds for row in ROWS)]
    written = [name for name in names if (given.folder / f"{name}.jsonl").exists()]
    systems = " ".join(f"--hyp {name}={given.folder}/{name}.jsonl" for name in written)
    baseline = "gold.1" if "gold.1" in written else "teacher"
    print(f"unilatent evaluate --task generic --with-lead --ref {bench.file('test')} {systems} --baseline {baseline}")


if __name__ == "__main__":
    main()
