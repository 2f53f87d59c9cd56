"""Compares fairseq, with our plugin, and unilatent on the same pairs and weights; exits with 1 where they differ.

    python scripts/compare_fairseq.py FOLDER

FOLDER is what scripts/test_fairseq.sh has made: bin/ (by fairseq-preprocess), corpus/ (by `prepare fairseq`), and for
each method METHOD/checkpoint_best.pt (by fairseq-train) and METHOD/run (by `convert`).
"""

from __future__ import annotations

import random
import sys
from argparse import Namespace
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from fairseq import checkpoint_utils, utils
from fairseq.token_generation_constraints import pack_constraints

import s2s
from s2s.criteria.cross_entropy import CrossEntropy
from s2s.data.jsonl import read_records
from s2s.run import load_model, load_run
from s2s.tasks.seq2seq import Seq2Seq

METHODS = ("causal", "masked", "pseudo_masked")
TOLERANCE = 1e-5
BEAM = 4


def main(folder: Path) -> int:
    """Print a table for each comparison; the number of differences."""
    utils.import_user_module(Namespace(user_dir=str(Path(s2s.__file__).parent / "fairseq_plugin")))
    failures = 0
    print("| method | pairs | loss, fairseq | loss, unilatent | equal outputs | equal hypotheses | scores apart by |")
    print("|---|---|---|---|---|---|---|")
    for method in METHODS:
        engines = Engines(folder, method)
        theirs, ours, pairs = engines.losses()
        outputs, equal, total, apart = engines.beams()
        found = f"{outputs} of {pairs} | {equal} of {total} | {apart:.1e}"
        print(f"| {method} | {pairs} | {theirs:.7f} | {ours:.7f} | {found} |")
        failures += abs(theirs - ours) > TOLERANCE or outputs < pairs or apart > TOLERANCE
    print("\n| phrases | order | beam | both have all phrases | equal outputs | fairseq's scores higher | ours |")
    print("|---|---|---|---|---|---|---|")
    engines = Engines(folder, METHODS[-1])
    for count, ordered, beam in ((1, False, 4), (2, False, 4), (2, False, 16), (2, True, 4), (2, True, 16)):
        row = engines.constrained(count, ordered, beam)
        print(f"| {count} | {'ordered' if ordered else 'any'} | {beam} | {' | '.join(map(str, row))} |")
        failures += row[0] != f"{engines.num_sources} of {engines.num_sources}"
    return failures


class Engines:
    """fairseq's checkpoint and the run that it became, on the same validation data."""

    def __init__(self, folder: Path, method: str) -> None:
        path = str(folder / method / "checkpoint_best.pt")
        models, cfg, self.task = checkpoint_utils.load_model_ensemble_and_task(
            [path], {"data": str(folder / "bin"), "seed": 1}
        )
        self.model, self._cfg, self._run = models[0].eval(), cfg, folder / method / "run"
        self._corpus = folder / "corpus"
        self.task.load_dataset("valid")
        self.dataset = self.task.dataset("valid")
        self.num_sources = len(self.dataset)

    def losses(self) -> tuple[float, float, int]:
        """Mean losses, in nats, of the two engines on the first batch; and its pairs."""
        self.dataset.set_epoch(1)
        sample = self.dataset.collater([self.dataset[number] for number in range(self.num_sources)])
        loss, labels, _ = self.task.build_criterion(self._cfg.criterion)(self.model, sample)
        path = self._corpus / "valid.jsonl"
        _, task, model = load_model(self._run, [f"task.train={path}"])
        assert isinstance(task, Seq2Seq)
        examples = task.dataset("train", seed=1)
        batch = task.collate([examples.example(number, 0) for number in range(len(examples))])
        criterion = CrossEntropy(CrossEntropy.Config())
        ours = criterion(model, batch)["loss"] / criterion.weights(batch)["loss"]
        return float(loss.detach()) / labels, float(ours.detach()), len(batch.ids)

    def beams(self) -> tuple[int, int, int, float]:
        """Best outputs with equal tokens; hypotheses that both beams hold, and how many there are; the largest
        difference of the scores of one hypothesis.
        """
        options = ["decoder.name=wide_beam", f"decoder.beam_size={BEAM}", f"decoder.num_hypotheses={BEAM}"]
        outputs = equal = total = 0
        apart = 0.0
        for rows, found in zip(self._generate(BEAM, None, False), self._decode(options, []), strict=True):
            theirs = {self._items(row["tokens"]): float(row["score"]) for row in rows}
            ours = dict(found)
            outputs += next(iter(theirs)) == next(iter(ours))
            equal, total = equal + len(theirs.keys() & ours.keys()), total + len(theirs)
            apart = max(apart, *(abs(theirs[items] - ours[items]) for items in theirs.keys() & ours.keys()))
        return outputs, equal, total, apart

    def constrained(self, count: int, ordered: bool, beam: int) -> tuple[str, str, int, int]:
        """The two constrained searches with random phrases: a row of the second table."""
        phrases = [self._phrases(number, count) for number in range(self.num_sources)]
        theirs = self._generate(beam, phrases, ordered)
        options = [
            "decoder.name=constrained_beam",
            f"decoder.beam_size={beam}",
            f"decoder.ordered={str(ordered).lower()}",
        ]
        ours = [rows[0] for rows in self._decode(options, phrases)]
        have = equal = higher = lower = 0
        for wanted, hypotheses, (items, score) in zip(phrases, theirs, ours, strict=True):
            best = max(hypotheses, key=lambda row: float(row["score"]))
            other, gain = self._items(best["tokens"]), float(best["score"]) - score
            have += has(items, wanted, ordered) and has(other, wanted, ordered)
            equal += items == other
            higher, lower = higher + (gain > TOLERANCE), lower + (gain < -TOLERANCE)
        total = self.num_sources
        return f"{have} of {total}", f"{equal} of {total}", higher, lower

    def _generate(self, beam: int, phrases: Any, ordered: bool) -> Any:
        """fairseq's hypotheses of all sources, best first."""
        options = Namespace(beam=beam, max_len_a=0, max_len_b=200, constraints="ordered" if ordered else "unordered")
        if phrases is None:
            options.constraints = None
        generator = self.task.build_generator([self.model], options)
        sample = self.dataset.collater([self.dataset[number] for number in range(self.num_sources)])
        packed = None
        if phrases is not None:
            index = self.task.target_dictionary.index
            packed = pack_constraints(
                [[torch.tensor([index(item) for item in phrase]) for phrase in one] for one in phrases]
            )
        return self.task.inference_step(generator, [self.model], sample, constraints=packed)

    def _decode(self, options: Sequence[str], phrases: Any) -> list[list[tuple[tuple[str, ...], float]]]:
        """Our hypotheses of all sources under fairseq's defaults, best first: items and score."""
        defaults = ["decoder.length_penalty=1", "decoder.length_penalty_form=power", "decoder.stop=full"]
        _, task, model, search = load_run(self._run, [*options, *defaults])
        assert isinstance(task, Seq2Seq)
        records = [record for _, record in read_records(self._corpus / "valid.jsonl")]
        for record, wanted in zip(records, phrases or [], strict=bool(phrases)):
            record["constraints"] = wanted
        sources = [task.source(record, str(number)) for number, record in enumerate(records)]
        found = search(model, task.collate_sources(sources))
        return [[(tuple(task.tokenizer.tokens(row.tokens)), row.score) for row in rows] for rows in found]

    def _items(self, ids: torch.Tensor) -> tuple[str, ...]:
        return tuple(self.task.target_dictionary[int(id)] for id in ids[:-1])

    def _phrases(self, number: int, count: int) -> list[list[str]]:
        """Phrases of one or two words that share none; some are in the source."""
        draw = random.Random(number)
        words = [
            item for item in self.task.target_dictionary.symbols if item.isalpha() and len(item) > 1 and item != "unk"
        ]
        chosen = draw.sample(sorted(set(words)), 2 * count)
        return [chosen[2 * place : 2 * place + draw.choice((1, 2))] for place in range(count)]


def has(items: Sequence[str], phrases: Sequence[list[str]], ordered: bool) -> bool:
    """Whether an output has all phrases."""
    after = 0
    for phrase in phrases:
        starts = [place for place in places(items, phrase) if place >= after]
        if not starts:
            return False
        after = starts[0] + len(phrase) if ordered else 0
    return True


def places(items: Sequence[str], phrase: Sequence[str]) -> Iterator[int]:
    """Where a phrase begins."""
    return (place for place in range(len(items)) if list(items[place : place + len(phrase)]) == phrase)


if __name__ == "__main__":
    raise SystemExit(bool(main(Path(sys.argv[1]))))
