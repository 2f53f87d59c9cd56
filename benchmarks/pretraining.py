"""Objectives of pretraining: what each gains for summaries, with equal numbers of updates.

    scripts/pretraining_corpus.sh data/pretrain data/debian/en
    python benchmarks/pretraining.py /tmp/objectives --seeds 1 2 3
    python benchmarks/pretraining.py /tmp/objectives --only electra --seeds 1       a share, in another process

Each row pretrains `pretrain_laptop` in its way, fine-tunes the result on the synopses of Debian packages, and decodes
the test pairs; random weights are fine-tuned alone. Prints and runs the commands; what is finished is not done again,
so the same command continues. At the end it prints the tables of what is there.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path

from commands import unilatent
from scores import SeedScores, heading, line

from s2s.data.jsonl import read_records

REPLACED = ["task.name=replaced_token_detection", "task.mask_ratio=0.15"]
AS_PUBLISHED = ["criterion.sampling=generator", "criterion.focal_gamma=0", "model.generator.hardness_rank=0"]
RANDOM = "random"
ROWS = {
    RANDOM: [],
    "autoencoding": ["task.objective=autoencoding"],
    "partially_autoregressive": ["task.objective=partially_autoregressive"],
    "both": ["task.objective=both"],
    "electra": [*REPLACED, *AS_PUBLISHED],
    "electra_by_hardness": REPLACED,
}
"""The options of each objective."""


def pretrained(name: str, seed: int, args: argparse.Namespace) -> Path:
    """The run of an objective; for random weights one of a single update, whose shape alone is used."""
    run: Path = args.folder / f"{name}.{seed}"
    steps = 1 if name == RANDOM else args.updates
    decay = max(1, steps // 5)
    schedule = [f"optim.warmup_steps={min(100, decay)}", f"optim.decay_steps={decay}"]
    lengths = [f"train.max_steps={steps}", f"train.validate_every={max(1, steps // 6)}"]
    common = [f"task.data={args.text}", f"train.precision={args.precision}", f"seed={seed}"]
    unilatent("train", "pretrain_laptop", "--output", str(run), *common, *schedule, *lengths, *ROWS[name])
    return run


def finetuned(name: str, seed: int, args: argparse.Namespace) -> Path:
    """What a network of the row writes for the test pairs."""
    run, start = args.folder / f"{name}.{seed}.finetuned", pretrained(name, seed, args)
    weights = [f"model.like={start}", "model.neighbor_bias=4"] if name == RANDOM else [f"model.init={start}"]
    data = [f"task.{split}={args.data}/{split}.jsonl" for split in ("train", "valid")]
    steps = args.finetuning_updates
    lengths = [f"train.max_steps={steps}", f"train.validate_every={max(1, steps // 4)}"]
    how = [f"optim.warmup_steps={max(1, steps // 10)}", f"train.precision={args.precision}", f"seed={seed}"]
    unilatent("train", "debian_synopsis", "--output", str(run), *weights, *data, *lengths, *how)
    written: Path = args.folder / f"{name}.{seed}.jsonl"
    unilatent("decode", str(run), "--input", f"{args.data}/test.jsonl", "--output", str(written), "--device", "cpu")
    return written


def validations(run: Path) -> list[dict[str, float]]:
    """The validations of a training, first to last."""
    return [record for _, record in read_records(run / "log.jsonl") if record["split"] == "valid"]


def minutes(run: Path) -> float:
    """How long a training took by the clock."""
    return max(record["seconds"] for _, record in read_records(run / "log.jsonl") if "seconds" in record) / 60


def table(scores: dict[str, SeedScores], seeds: dict[str, list[int]], args: argparse.Namespace) -> Iterator[str]:
    """The lines of the two tables: scores, and differences to random weights."""
    names = [metric.name for metric in next(iter(scores.values())).means]
    yield from heading(["", "minutes", "fine-tuning: validation loss", *names, f"{names[-1]} of each seed"])
    for name, found in scores.items():
        runs = [args.folder / f"{name}.{seed}" for seed in seeds[name]]
        took = "–" if name == RANDOM else f"{statistics.mean(map(minutes, runs)):.1f}"
        losses = [min(one["loss"] for one in validations(run.with_name(f"{run.name}.finetuned"))) for run in runs]
        yield line([name, took, f"{statistics.mean(losses):.2f}", *found.cells()])
    if RANDOM in scores:
        yield from ["", *heading([f"against {RANDOM}", *names])]
        yield from (line([name, *found.against(scores[RANDOM])]) for name, found in scores.items() if name != RANDOM)


def arguments(given: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="for runs and outputs")
    parser.add_argument("--text", default="data/pretrain/shards", help="a folder of `prepare pretrain-text`")
    parser.add_argument("--data", default="data/debian/en", help="a folder with train, valid and test.jsonl")
    parser.add_argument("--updates", type=int, default=1800, help="of each pretraining")
    parser.add_argument("--finetuning-updates", type=int, default=1000, help="of each fine-tuning")
    parser.add_argument("--precision", choices=("float32", "bf16"), default="float32", help="of training")
    parser.add_argument("--only", nargs="+", choices=ROWS, default=list(ROWS), help="rows, in this order")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1], help="one training of each row for each")
    return parser.parse_args(given)


def main(given: Sequence[str] | None = None) -> None:
    """Train, decode, and print what is there."""
    args = arguments(given)
    args.folder.mkdir(parents=True, exist_ok=True)
    for seed in args.seeds:
        for name in args.only:
            finetuned(name, seed, args)
    targets = [pair["tgt"] for _, pair in read_records(Path(args.data, "test.jsonl"))]
    seeds = {name: [seed for seed in args.seeds if (args.folder / f"{name}.{seed}.jsonl").exists()] for name in ROWS}
    written = {name: [args.folder / f"{name}.{seed}.jsonl" for seed in found] for name, found in seeds.items() if found}
    print("", *table({name: SeedScores.read(found, targets) for name, found in written.items()}, seeds, args), sep="\n")


if __name__ == "__main__":
    main()
