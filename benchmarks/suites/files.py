"""`unilatent decode` of real sources, the whole program, beside a script for `transformers` and an earlier commit.

The sources are shipped package descriptions, the run is the shipped summarizer. The script has a BART of the same depth
and width (the encoder and the decoder each), the same tokenizer and beam, and writes outputs as long as ours.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from earlier import checked_out
from measuring import REPO, System, Table, command, compare, python

from s2s.data.tokenizer import Tokenizer
from s2s.run import read_run
from suites import decode
from suites.bart import SPREAD

RUN = REPO / "s2s" / "summarizer"
SOURCES = REPO / "data_prep" / "sample" / "en" / "train.jsonl"
SCRIPT = REPO / "benchmarks" / "transformers_script.py"


def add_options(parser: argparse.ArgumentParser) -> None:
    """The amount of work."""
    parser.add_argument("--sources", type=int, default=200, help="lines to decode")
    parser.add_argument("--precision", nargs="+", default=decode.precisions(), help="of our weights")
    parser.add_argument("--alone", action="store_true", help="run without transformers")


def write_sources(path: Path, count: int) -> None:
    """A file of the first sources."""
    with SOURCES.open(encoding="utf-8") as lines:
        path.write_text("".join(itertools.islice(lines, count)), encoding="utf-8")


def measure(args: argparse.Namespace) -> Iterator[Table]:
    """One table."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        source = folder / "in.jsonl"
        write_sources(source, args.sources)
        ours = [decoding(source, precision) for precision in args.precision]
        others = [] if args.alone else [script(source, texts_of(ours[0].timed()[1]), folder)]
        for commit in args.against:
            tree = stack.enter_context(checked_out(commit))
            others.append(decoding(source, "float32", tree, f" at {commit}"))
        title = f"{args.sources} sources, the whole program, beam 5"
        table, outputs = compare(title, "sources", args.sources, [*others[:1], *ours, *others[1:]], args.rounds)
    reference = texts_of(outputs[ours[0].name])
    for row in table.rows:
        if row.system.startswith("unilatent"):
            texts = texts_of(outputs[row.system])
            same = sum(own == other for own, other in zip(texts, reference, strict=True))
            row.facts["texts as of float32"] = f"{same} of {len(texts)}"
    yield table


def decoding(source: Path, precision: str, tree: Path = REPO, where: str = "") -> System:
    """The command of a commit whose files are in `tree`."""
    arguments = ["decode", str(RUN), f"--input={source}", "--device=cpu", f"--precision={precision}"]
    run = command(python("-m", "unilatent", *arguments), tree)
    return System(f"unilatent decode {precision}{where}", run)


def script(source: Path, texts: list[str], folder: Path) -> System:
    """The script for transformers, with outputs as long as `texts`."""
    from transformers import BartConfig, BartForConditionalGeneration

    tokenizer, sizes = Tokenizer.load(RUN), read_run(RUN).model.config
    lengths = folder / "lengths.json"
    lengths.write_text(json.dumps([len(ids) + 1 for ids in tokenizer.encode_many(texts)]))
    both = {
        f"{part}_{name}": value
        for part in ("encoder", "decoder")
        for name, value in (
            ("layers", sizes.num_layers),
            ("attention_heads", sizes.num_heads),
            ("ffn_dim", sizes.intermediate_size),
        )
    }
    special: dict[str, Any] = {"pad_token_id": tokenizer.special.pad, "eos_token_id": tokenizer.special.sep}
    special |= {"bos_token_id": tokenizer.special.cls, "decoder_start_token_id": tokenizer.special.cls}
    torch.manual_seed(0)
    config = BartConfig(vocab_size=sizes.vocab_size, d_model=sizes.hidden_size, init_std=SPREAD, **both, **special)
    BartForConditionalGeneration(config).save_pretrained(folder / "bart")
    return System(
        "script for transformers",
        command(python(str(SCRIPT), str(folder / "bart"), str(RUN), str(source), str(lengths))),
    )


def texts_of(output: bytes) -> list[str]:
    """The texts of JSON lines."""
    return [json.loads(line)["tgt"] for line in output.decode().splitlines()]
