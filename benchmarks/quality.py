"""How well this package learns to summarize, beside what one would train with `transformers` instead.

    python benchmarks/quality.py /tmp/sample --encoder MINILM --seeds 1 2 3                      the shipped sample
    python benchmarks/quality.py /tmp/debian --encoder MINILM --data data/debian/en --updates 1550 --precision bf16
    python benchmarks/quality.py /tmp/debian ... --systems bart                a share of the work, in another process
    python benchmarks/quality.py /tmp/debian ... --figure curves.png           finished trainings are read, not repeated

Systems: pseudo_masked and causal (ours); encoder_decoder (`EncoderDecoderModel` of transformers, both sides from the
same weights, its head as transformers begins it), encoder_decoder_identity (the same, its head as ours begins), and
bart (random weights, as many as ours). All get the same word pieces in the same batches, as many updates, one trainer,
optimizer and schedule, no dropout, and beam search by one rule. The learning rate of each is the one of `--rates` with
the lowest validation loss after a shorter training.

FOLDER/SYSTEM/NAME is a run folder; `curve.jsonl` there has each validation with the processor seconds of the updates up
to it, `outputs.jsonl` the texts of the test pairs. A killed command goes on where it was.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from peer_models import Peer
from scores import SeedScores, heading, line

from s2s import checkpoint
from s2s.data.batching import BatchSampler
from s2s.data.jsonl import read_records
from s2s.data.records import open_records
from s2s.durable import refuse_other_job, write_whole
from s2s.errors import InputError
from s2s.generation.generator import Generator
from s2s.json_files import dump_json, read_object
from s2s.run import load_model, parse_config, train_run
from s2s.tasks.base import GenerationTask

BATCH, MAX_TARGET, SHARED = 16, 20, "settings.json"
SEARCH = {"beam_size": 5, "no_repeat_ngram_size": 3, "length_penalty": 1.0, "length_penalty_form": "power"}
NO_DROPOUT = {"hidden_dropout": 0.0, "attention_dropout": 0.0}
OURS, PEER = {"name": "unilm", **NO_DROPOUT}, "encoder_decoder"
SYSTEMS: dict[str, tuple[str, dict[str, Any], str]] = {
    "pseudo_masked": ("pseudo_masked", OURS, "init"),
    "causal": ("causal", OURS, "init"),
    "encoder_decoder": (PEER, {"name": "bert_pair"}, "init"),
    "encoder_decoder_identity": (PEER, {"name": "bert_pair", "head": "identity"}, "init"),
    "bart": (PEER, {"name": "equal_bart"}, "like"),
}
"""The method of each system, its model, and the option of the model that names the encoder."""


class Training(NamedTuple):
    """One training of a system: a trial of a rate, or a run whose outputs are scored."""

    system: str
    rate: float
    seed: int
    updates: int
    is_trial: bool

    @property
    def folder(self) -> Path:
        """Its place in the folder of all."""
        return Path(self.system, f"{'trial' if self.is_trial else f'seed-{self.seed}'}-rate-{self.rate:g}")

    def tree(self, args: argparse.Namespace) -> dict[str, Any]:
        """Its configuration."""
        method, model, origin = SYSTEMS[self.system]
        data = {split: f"{args.data}/{split}.jsonl" for split in ("train", "valid")}
        limits = {"max_source": args.max_source - (method == "causal"), "max_target": MAX_TARGET}  # as many pieces
        slots = BATCH * (args.max_source + 2 * MAX_TARGET)  # so that the number of pairs alone makes batches
        return {
            "seed": self.seed,
            "task": {"name": "same_pairs", "method": method, "target_mask_prob": 0.0, **data, **limits},
            "model": {**model, origin: args.encoder},
            "criterion": {"name": "timed_cross_entropy", "label_smoothing": 0.1},
            "decoder": {"name": "wide_beam", **SEARCH},
            "optim": {"lr": self.rate, "schedule": "linear", "warmup_steps": self.updates // 10},
            "train": {
                **{"max_steps": self.updates, "max_sentences": BATCH, "max_tokens": slots, "device": "cpu"},
                **{"validate_every": max(1, self.updates // 10), "precision": args.precision},
                **{"keep_best": 0, "loggers": []},
            },
        }


def train(training: Training, args: argparse.Namespace) -> Path:
    """The folder of a training that is finished now; it keeps its weights only if it is scored."""
    run: Path = args.folder / training.folder
    if not (run / "curve.jsonl").exists():
        print(f"{training.folder}: {training.updates} updates", flush=True)
        if stopped := train_run(parse_config(training.tree(args)), run).signal:
            raise SystemExit(128 + stopped)
        if not training.is_trial:
            write_outputs(run, args)
        log = (record for _, record in read_records(run / "log.jsonl"))
        write_jsonl(run / "curve.jsonl", [record for record in log if record["split"] == "valid"])
    checkpoint.remove_checkpoints(run, keep=[])
    if training.is_trial:
        (run / checkpoint.WEIGHTS).unlink(missing_ok=True)
    return run


def chosen_rate(system: str, args: argparse.Namespace) -> float:
    """The rate with the lowest validation loss in a short training; the only rate needs none."""
    if len(args.rates) == 1:
        return float(args.rates[0])
    trials = [Training(system, rate, args.seeds[0], args.trial_updates, True) for rate in args.rates]
    losses = {trial.rate: best(curve(train(trial, args)))["loss"] for trial in trials}
    print(f"{system}: validation loss by rate", ", ".join(f"{rate:g}: {loss:.3f}" for rate, loss in losses.items()))
    return min(losses, key=losses.__getitem__)


def curve(run: Path) -> list[dict[str, Any]]:
    """The validations of a training, first to last."""
    return [record for _, record in read_records(run / "curve.jsonl")]


def best(validations: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The one whose weights write the outputs."""
    return min(validations, key=lambda record: record["loss"])


@cache
def test_pairs(data: str, count: int | None) -> list[dict[str, Any]]:
    """The first test pairs of a corpus, all by default."""
    return [record for _, record in islice(open_records(f"{data}/test.jsonl", "test"), count)]


def write_outputs(run: Path, args: argparse.Namespace) -> None:
    """Write what the best weights of a run write for the test pairs."""
    pairs = test_pairs(args.data, args.test_pairs)
    config, task, model = load_model(run)
    if isinstance(model, Peer):
        assert isinstance(task, GenerationTask)
        assert config.decoder is not None
        texts = peer_outputs(model, task, config.decoder.config, pairs)
    else:
        texts = [made.text for made in Generator.load(run, device="cpu").generate(pairs)]
    lines = [{"id": pair.get("id"), "tgt": text} for pair, text in zip(pairs, texts, strict=True)]
    write_jsonl(run / "outputs.jsonl", lines)


def peer_outputs(model: Peer, task: GenerationTask, search: Any, pairs: Sequence[dict[str, Any]]) -> list[str]:
    """The output of a peer for each pair, spelled as ours are."""
    sources = [task.source(pair, f"pair {number}") for number, pair in enumerate(pairs, start=1)]
    texts = dict[int, str]()
    lengths = [len(source.tokens) for source in sources]
    for rows in BatchSampler(lengths, BATCH * max(lengths), shuffle=False).epoch(0):
        batch = task.collate_sources([sources[row] for row in rows])
        made = model.generate(batch, search, task.tokenizer.special.pad)
        texts |= {row: task.output(ids, task.source_text(pairs[row])) for row, ids in zip(rows, made, strict=True)}
    return [texts[row] for row in range(len(pairs))]


def write_jsonl(path: Path, records: Sequence[dict[str, Any]]) -> None:
    """Write records, whole or not at all."""
    write_whole(path, "".join(dump_json(record) + "\n" for record in records).encode())


class Result(NamedTuple):
    """All seeds of a system: their rate, run folders and scores."""

    rate: float
    runs: list[Path]
    scores: SeedScores


def result(system: str, args: argparse.Namespace) -> Result:
    """Train a system with every seed, and score it."""
    rate = chosen_rate(system, args)
    runs = [train(Training(system, rate, seed, args.updates, False), args) for seed in args.seeds]
    targets = [pair["tgt"] for pair in test_pairs(args.data, args.test_pairs)]
    return Result(rate, runs, SeedScores.read([run / "outputs.jsonl" for run in runs], targets))


def table(results: dict[str, Result]) -> Iterator[str]:
    """The lines of the two tables: scores, and differences to the first system."""
    names = [metric.name for metric in next(iter(results.values())).scores.means]
    head = ["", "million weights", "rate", "processor minutes", "validation loss", "accuracy", *names]
    yield from heading([*head, f"{names[-1]} of each seed"])
    for system, found in results.items():
        validations = [curve(run) for run in found.runs]
        weights = sum(weight.numel() for weight in load_model(found.runs[0])[2].parameters()) / 1e6
        minutes = statistics.mean(records[-1]["processor_seconds"] for records in validations) / 60
        loss, accuracy = (statistics.mean(best(one)[name] for one in validations) for name in ("loss", "accuracy"))
        cells = [f"{weights:.1f}", f"{found.rate:g}", f"{minutes:.1f}", f"{loss:.2f}", f"{100 * accuracy:.1f}"]
        yield line([system, *cells, *found.scores.cells()])
    (first, base), *others = results.items()
    if others:
        yield ""
        yield from heading([f"against {first}", *names])
    for system, found in others:
        yield line([system, *found.scores.against(base.scores)])


def draw(path: Path, results: dict[str, Result]) -> None:
    """The validation losses of every seed, by update and by processor time."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (by_update, by_time) = pyplot.subplots(1, 2, figsize=(10, 4.2), dpi=150, sharey=True, layout="constrained")
    for number, (system, found) in enumerate(results.items()):
        for seed, run in enumerate(found.runs):
            records = curve(run)
            losses = [record["loss"] for record in records]
            look = {"color": f"C{number}", "marker": "o", "markersize": 3, "label": None if seed else system}
            by_update.plot([record["step"] for record in records], losses, **look)
            by_time.plot([record["processor_seconds"] for record in records], losses, **look)
    by_update.set(xlabel="updates", ylabel="validation loss per token")
    by_time.set(xlabel="processor seconds")
    for axes in (by_update, by_time):
        axes.grid(alpha=0.25)
    by_update.legend(frameon=False)
    figure.savefig(path)


def claim(args: argparse.Namespace) -> None:
    """Record what all trainings of the folder have in common; InputError if they had something else."""
    names = ("data", "encoder", "updates", "trial_updates", "max_source", "precision", "test_pairs")
    path, now = args.folder / SHARED, {name: getattr(args, name) for name in names}
    if path.exists():
        refuse_other_job(args.folder, read_object(path), now, way_out="choose another folder")
    args.folder.mkdir(parents=True, exist_ok=True)
    write_whole(path, dump_json(now, indent=1).encode() + b"\n")


def arguments(given: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="of all trainings")
    parser.add_argument("--encoder", default="sentence-transformers/all-MiniLM-L6-v2", help="folder or name on the hub")
    parser.add_argument("--data", default="sample:en", help="folder with train.jsonl, valid.jsonl and test.jsonl")
    parser.add_argument(
        "--systems", nargs="+", choices=SYSTEMS, default=list(SYSTEMS), help="others differ from the first"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--updates", type=int, default=600)
    parser.add_argument(
        "--rates", type=float, nargs="+", default=[2e-4, 6e-4, 1.8e-3], help="one is taken without trial"
    )
    parser.add_argument(
        "--trial-updates", type=int, help="length of the trainings that choose a rate; default: a third"
    )
    parser.add_argument("--max-source", type=int, default=96, help="word pieces of a source, special ones counted")
    parser.add_argument(
        "--precision", choices=("float32", "bf16"), default="float32", help="of training; search: float32"
    )
    parser.add_argument("--test-pairs", type=int, help="score the first ones alone; default: all")
    parser.add_argument("--figure", type=Path, help="draw the learning curves")
    args = parser.parse_args(given)
    args.trial_updates = args.trial_updates or max(1, args.updates // 3)
    return args


def main(given: Sequence[str] | None = None) -> None:
    """Train what is not trained yet, and print the tables."""
    args = arguments(sys.argv[1:] if given is None else given)
    try:
        claim(args)
        results = {system: result(system, args) for system in args.systems}
    except InputError as error:
        raise SystemExit(str(error)) from error
    print("", *table(results), sep="\n")
    if args.figure:
        draw(args.figure, results)


if __name__ == "__main__":
    main()
