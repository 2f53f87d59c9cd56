"""The result of an evaluation, as JSON and as a table for people."""

from __future__ import annotations

import logging
import math
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import typer

from eval.bootstrap import Difference, Interval, compare, interval
from eval.metric import Metric
from s2s.errors import InputError
from s2s.json_files import dump_json
from s2s.packages import version_of


@dataclass(frozen=True)
class Scored:
    """The metrics of one system: `quality` needs the references and is compared, `form` describes the outputs."""

    quality: list[Metric]
    form: list[Metric]


@dataclass(frozen=True)
class System:
    """The scores of one system by metric, None where it is not defined; `path` is None for a baseline made here."""

    name: str
    path: str | None
    quality: dict[str, Interval | None]
    form: dict[str, Interval | None]


@dataclass(frozen=True)
class Comparison:
    """How a system differs from the baseline, by metric."""

    system: str
    baseline: str
    differences: dict[str, Difference | None]


@dataclass(frozen=True)
class Group:
    """The scores on the references with one value of a field."""

    value: str
    examples: int
    systems: list[System]
    comparisons: list[Comparison]


@dataclass(frozen=True)
class Report:
    """Everything that an evaluation found, and what it takes to repeat it.

    Args:
        reference: The file of the references.
        examples: Number of references.
        versions: Package versions, None where one is not installed.
        signatures: What each metric computes, exactly.
        systems: In the order of the command line, the lead baseline last.
        comparisons: Every other system with the baseline; empty without one.
        notes: What a reader must know to trust the numbers.
        groups: The same by the values of a field; the systems above then have the means over them.
    """

    settings: dict[str, Any]
    reference: str
    examples: int
    versions: dict[str, str | None]
    signatures: dict[str, str]
    systems: list[System]
    comparisons: list[Comparison]
    notes: list[str]
    groups: list[Group]


def make_report(
    scored: Mapping[str, Scored],
    paths: Mapping[str, str],
    reference: str,
    settings: dict[str, Any],
    packages: Sequence[str],
    notes: Sequence[str],
    groups: Mapping[str, Mapping[str, Scored]] | None = None,
) -> Report:
    """The report on some systems by name, with intervals, and with comparisons if the settings name a baseline.

    `groups` has the same systems on the references with each value of a field.
    """
    metrics = {name: [*one.quality, *one.form] for name, one in scored.items()}
    return Report(
        settings=settings,
        reference=reference,
        examples=_examples(scored),
        versions={"python": platform.python_version(), **{name: version_of(name) for name in packages}},
        signatures={metric.name: metric.signature for of_system in metrics.values() for metric in of_system},
        systems=_systems(scored, paths, settings),
        comparisons=_comparisons(scored, settings),
        notes=[*notes, *_metric_notes(metrics)],
        groups=[
            Group(value, _examples(of_value), _systems(of_value, paths, settings), _comparisons(of_value, settings))
            for value, of_value in (groups or {}).items()
        ],
    )


def _examples(scored: Mapping[str, Scored]) -> int:
    return len(next(iter(scored.values())).form[0].rows)


def _systems(scored: Mapping[str, Scored], paths: Mapping[str, str], settings: Mapping[str, Any]) -> list[System]:
    samples = settings["resamples"], settings["seed"]
    return [
        System(
            name,
            paths.get(name),
            *({metric.name: interval(metric, *samples) for metric in part} for part in (one.quality, one.form)),
        )
        for name, one in scored.items()
    ]


def _comparisons(scored: Mapping[str, Scored], settings: Mapping[str, Any]) -> list[Comparison]:
    samples, baseline = (settings["resamples"], settings["seed"]), settings.get("baseline")
    return [
        Comparison(
            name,
            baseline,
            {
                ours.name: compare(ours, theirs, *samples)
                for ours, theirs in zip(one.quality, scored[baseline].quality, strict=True)
            },
        )
        for name, one in scored.items()
        if baseline is not None and name != baseline
    ]


def _metric_notes(metrics: Mapping[str, Sequence[Metric]]) -> Iterator[str]:
    """The notes of the metrics of all systems, each once, with the systems that it is about if not all."""
    systems: dict[str, list[str]] = {}
    for name, of_system in metrics.items():
        for metric in of_system:
            if metric.note:
                text = f"left out: {metric.note}" if math.isnan(metric.value()) else metric.note
                systems.setdefault(f"{metric.name}: {text}", []).append(name)
    for note, names in systems.items():
        yield note if len(names) == len(metrics) else f"{', '.join(names)}: {note}"


def present(report: Report, json_file: str | None) -> None:
    """Log the notes of a report, print its table, and write it as JSON.

    Args:
        report: What to show.
        json_file: Where to write JSON; `-` prints it instead of the table, None writes none.

    Raises:
        InputError: the file cannot be written.
    """
    for note in report.notes:
        logging.getLogger(__name__).warning("warning: %s", note)
    content = dump_json(asdict(report), indent=2)
    typer.echo(content if json_file == "-" else as_text(report))
    if json_file is not None and json_file != "-":
        try:
            Path(json_file).write_text(content + "\n", encoding="utf-8")
        except OSError as error:
            raise InputError(f"--json: cannot write {json_file}: {error.strerror}") from error


def as_text(report: Report) -> str:
    """Tables with a column for each system: scores with half the width of their interval; differences; signatures."""
    resamples, by = report.settings["resamples"], report.settings.get("by")
    means = f", mean over {len(report.groups)} values of {by}" if report.groups else ""
    head = f"{report.settings['task']}, {report.examples:,} examples{means}"
    blocks = [f"{head}, ± half a 95 % interval ({resamples:,} resamples)\n\n{_scores(report.systems)}"]
    if report.groups:
        blocks.append(f"by {by}\n\n{_by_group(report, 'systems', 'quality', _score)}")
    if report.comparisons:
        told = f"difference to {report.comparisons[0].baseline} [95 % interval], p of no difference"
        blocks.append(f"{told}\n\n{_differences(report.comparisons)}")
        if report.groups:
            blocks.append(f"by {by}\n\n{_by_group(report, 'comparisons', 'differences', _difference)}")
    return "\n\n".join([*blocks, _signatures(report)])


def _by_group(report: Report, part: str, scores: str, cell: Callable[[Any], str]) -> str:
    """A table with a row for each metric and group, from what each group has for the systems or comparisons."""
    columns = getattr(report, part)
    rows = [["", *(getattr(column, "name", None) or column.system for column in columns)]]
    for name in getattr(columns[0], scores):
        for group in report.groups:
            found = [getattr(column, scores).get(name) for column in getattr(group, part)]
            rows.append([f"{name}  {group.value} ({group.examples:,})", *map(cell, found)])
    return _aligned(rows)


def _scores(systems: Sequence[System]) -> str:
    rows = [["", *(system.name for system in systems)]]
    for part in ("quality", "form"):
        columns: list[dict[str, Interval | None]] = [getattr(system, part) for system in systems]
        names = dict.fromkeys(name for column in columns for name in column)
        rows += [[name, *(_score(column.get(name)) for column in columns)] for name in names]
    return _aligned(rows)


def _signatures(report: Report) -> str:
    """How each score of quality was computed, metrics with one signature on one line."""
    names: dict[str, list[str]] = {}
    for name, score in report.systems[0].quality.items():
        if score is not None:
            names.setdefault(report.signatures[name], []).append(name)
    return "\n".join(f"{', '.join(group)}: {signature}" for signature, group in names.items())


def _differences(comparisons: Sequence[Comparison]) -> str:
    rows = [["", *(comparison.system for comparison in comparisons)]]
    for name in comparisons[0].differences:
        rows.append([name, *(_difference(comparison.differences[name]) for comparison in comparisons)])
    return _aligned(rows)


def _score(score: Interval | None) -> str:
    return "-" if score is None else f"{score.value:.2f} ±{(score.high - score.low) / 2:.2f}"


def _difference(found: Difference | None) -> str:
    return "-" if found is None else f"{found.value:+.2f} [{found.low:+.2f}, {found.high:+.2f}] p = {found.p_value:.2g}"


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    )
