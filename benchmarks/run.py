"""Speed of this package beside its peers and beside an earlier commit of itself.

    python benchmarks/run.py --suite decode                                  two sizes, 2 threads
    python benchmarks/run.py --suite decode --threads 1 --json benchmarks/results/decode.json
    python benchmarks/run.py --suite train --against aa1bba7                 also the code of that commit
    python benchmarks/run.py --suite start --help                            the options of a suite

Suites: decode (beam search), parts (of ours), files (`unilatent decode`, whole), train (a fine-tuning step), pretrain
(a pretraining step), speech (frames of speech), serve (the server), start (imports and first answers).

Every suite times its systems in turn in one process, or one whole program after the other, after a warm-up, and
compares their outputs. Printed are medians and ranges of wall and processor time; on a machine that does other things,
look at processor time. `--json` writes every single time; `python benchmarks/report.py` makes docs/benchmarks.md of it.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

SUITES = ("decode", "parts", "files", "train", "pretrain", "speech", "serve", "start")
AVX2 = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    "CT2_FORCE_CPU_ISA": "AVX2",
}
"""Environment in which torch, its libraries and CTranslate2 use no wider instructions."""


def arguments(given: Sequence[str]) -> argparse.Namespace:
    """Parse what all suites have and what the chosen one adds."""
    first = argparse.ArgumentParser(add_help=False)
    first.add_argument("--suite", choices=SUITES)
    suite = first.parse_known_args(given)[0].suite
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suite", choices=SUITES, required=True)
    parser.add_argument("--rounds", type=int, default=5, help="timed runs of each system")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--json", metavar="FILE", nargs="?", const="-", help="write every time; alone, print it")
    parser.add_argument("--against", metavar="COMMIT", action="append", default=[], help="also time an earlier commit")
    parser.add_argument("--as-avx2", action="store_true", help="leave wider instructions alone, as on many laptops")
    if suite:
        importlib.import_module(f"suites.{suite}").add_options(parser)
    return parser.parse_args(given)


def main(given: Sequence[str] | None = None) -> None:
    """Measure a suite and print it."""
    given = sys.argv[1:] if given is None else given
    for name, value in (("OMP_WAIT_POLICY", "PASSIVE"), ("TOKENIZERS_PARALLELISM", "false")):
        os.environ.setdefault(name, value)  # before torch reads them; a waiting thread must not count as work
    if "--as-avx2" in given:
        os.environ.update(AVX2)
    args = arguments(given)
    os.environ["OMP_NUM_THREADS"] = str(args.threads)  # for programs that are started

    import torch
    from measuring import as_json, machine
    from report import machine_line, table_text

    torch.set_num_threads(args.threads)
    to_stdout = args.json == "-"
    if not to_stdout:
        print(machine_line(machine()))
    tables = []
    for table in importlib.import_module(f"suites.{args.suite}").measure(args):
        tables.append(table)
        if not to_stdout:
            print(f"\n{table_text(table)}", flush=True)
    if args.json:
        text = as_json(args.suite, given, tables)
        print(text, end="") if to_stdout else Path(args.json).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
