"""What `run.py --json` wrote, as text for the terminal and as docs/benchmarks.md.

python benchmarks/report.py            every file of benchmarks/results, into docs/benchmarks.md
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from measuring import REPO, Row, Table

RESULTS = REPO / "benchmarks" / "results"
PAGE = REPO / "docs" / "benchmarks.md"


def machine_line(machine: Mapping[str, Any]) -> str:
    """A machine, its software and its load, in a sentence."""
    family = f" (family {machine['family']})" if machine["family"] else ""
    limit = f", limited to {machine['limit']}" if machine["limit"] else ""
    peers = "".join(f", {name} {version}" for name, version in machine["peers"].items())
    return (
        f"{machine['processor']}{family}, {', '.join(machine['instructions']) or machine['capability']}{limit}, "
        f"{machine['cores']} cores, {machine['threads']} threads; torch {machine['torch']}{peers}, "
        f"Python {machine['python']}; commit {machine['commit']}; load {machine['load']}"
    )


def table_text(table: Table) -> str:
    """A table in Markdown: medians, ranges, and speeds relative to the base."""
    base = next(row for row in table.rows if row.system == table.base)
    facts = list(dict.fromkeys(name for row in table.rows for name in row.facts))
    with_share = bool(table.peak) and any(row.gflop for row in table.rows)
    head = ["system", f"{table.unit}/s", "s by the clock", "s of processors"]
    head += [f"times as fast as {table.base}: clock", "processors"] + ["of peak"] * with_share + facts
    lines = [f"**{table.title}**", "", _line(head), _line(["---"] * len(head))]
    for row in table.rows:
        cells = [row.system, f"{table.amount / statistics.median(row.wall):.3g}", spread(row.wall), spread(row.cpu)]
        cells += [speed(base.wall, row.wall), speed(base.cpu, row.cpu)]
        cells += [share(row, table)] * with_share + [str(row.facts.get(name, "")) for name in facts]
        lines.append(_line(cells))
    return "\n".join([*lines, *_below(table)])


def spread(values: Sequence[float]) -> str:
    """The median and the range."""
    return f"{statistics.median(values):.3g} ({min(values):.3g} to {max(values):.3g})"


def speed(base: Sequence[float], own: Sequence[float]) -> str:
    """How many times as fast as the base: the median of the rounds and their range."""
    ratios = [theirs / mine for theirs, mine in zip(base, own, strict=True)]
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


def share(row: Row, table: Table) -> str:
    """Of the fastest float32 product, in the same rounds and by processor time."""
    if row.gflop is None:
        return ""
    peak = [max(values) for values in zip(*table.peak.values(), strict=True)]
    return f"{row.gflop / statistics.median(row.cpu) / statistics.median(peak):.0%}"


def _below(table: Table) -> list[str]:
    kernels = [f"{name} {statistics.median(values):.0f}" for name, values in table.peak.items()]
    peak = f"Peak: a 1024³ float32 product, GFLOP per second of a processor: {', '.join(kernels)}." if kernels else ""
    notes = [peak, *table.notes]
    return ["", " ".join(note for note in notes if note)] if any(notes) else []


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def read(path: Path) -> dict[str, Any]:
    """A file of `run.py --json`, with its tables as such."""
    record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    tables = [Table(**{**table, "rows": [Row(**row) for row in table["rows"]]}) for table in record["tables"]]
    return {**record, "tables": tables}


INTRODUCTION = """# Benchmarks

`python benchmarks/run.py --suite NAME --json benchmarks/results/NAME.json` measures, and `python benchmarks/report.py`
writes this page. Systems take turns in one process, or one whole program after the other, after a warm-up. Given are
medians and ranges of the rounds, by the clock and of the time of all processors. A ratio above 1 says that a system is
faster than the one that the head of the column names. The share of the peak is that of the fastest plain float32
product in the same rounds, by processor time. Much depends on the processor: see the first line of each section.
"""


def page(paths: Sequence[Path]) -> str:
    """docs/benchmarks.md of the files that were measured."""
    parts = [INTRODUCTION]
    for path in sorted(paths):
        record = read(path)
        parts.append(f"## {path.stem.replace('-', ', ')}\n\n`{record['command']}`, {record['date']}.\n")
        parts.append(f"{machine_line(record['machine'])}.\n")
        parts += [f"{table_text(table)}\n" for table in record["tables"]]
    return "\n".join(parts)


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(list(RESULTS.glob("*.json"))), encoding="utf-8")
    print(PAGE.relative_to(REPO))


if __name__ == "__main__":
    main()
