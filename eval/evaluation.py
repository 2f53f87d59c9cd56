"""One evaluation: files in, a report out; what each benchmark does to the texts, and which metrics it takes."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from eval import question_generation
from eval.bleu import bleu_and_chrf
from eval.bootstrap import compare, interval
from eval.extras import load, version_of
from eval.lead import lead
from eval.matching import Entry, match, read_hypotheses, read_references
from eval.metric import Metric
from eval.postprocess import fix_tokenization, postprocess
from eval.report import Comparison, Report, System
from eval.rouge import py_rouge_metrics, rouge
from eval.surface import surface
from eval.words import sentences
from s2s.errors import InputError

LEAD = "lead"
_PACKAGES = ("unilatent", "numpy", "rouge-score", "sacrebleu", "nltk", "py-rouge")


@dataclass(frozen=True)
class Benchmark:
    """How a benchmark is scored, as published.

    Args:
        trunc_len: Words of an output that count; 0 is all.
        duplicate_rate: A sentence with a larger share of words seen before is dropped; 1 drops none.
        lead_sentences: How much of the source the lead baseline takes.
        lead_words: Where it is cut; 0 is nowhere.
    """

    trunc_len: int = 0
    duplicate_rate: float = 1.0
    lead_sentences: int = 1
    lead_words: int = 0


BENCHMARKS = {
    "xsum": Benchmark(),
    "cnndm": Benchmark(trunc_len=160, duplicate_rate=0.7, lead_sentences=3),  # the recipes of s2s-ft
    "gigaword": Benchmark(lead_words=8),
    "qg": Benchmark(),
    "generic": Benchmark(lead_words=12),
}


@dataclass(frozen=True)
class Settings:
    """What was asked for; all of it is in the report.

    Args:
        task: A name in BENCHMARKS.
        benchmark: Its constants, or others.
        raw: Whether the texts are ordinary text instead of Penn Treebank tokens.
        scorer: "rouge-score" or "py-rouge".
        stem: Whether rouge-score compares stems of English words.
        with_lead: Whether to score the lead baseline too.
        baseline: The system with which the others are compared, or None.
        resamples: Samples for intervals and tests.
        seed: Of their random numbers.
    """

    task: str
    benchmark: Benchmark
    raw: bool = False
    scorer: str = "rouge-score"
    stem: bool = True
    with_lead: bool = False
    baseline: str | None = None
    resamples: int = 1000
    seed: int = 0


@dataclass(frozen=True)
class _Scored:
    """The metrics of one system: `quality` needs the references and is compared, `form` describes the outputs."""

    quality: list[Metric]
    form: list[Metric]


def evaluate(hypotheses: dict[str, str], reference: str, settings: Settings) -> Report:
    """Score systems against one file of references.

    Args:
        hypotheses: The file of each system, by name.
        reference: The references, with their sources.
        settings: See `Settings`.

    Raises:
        InputError: a file is broken or does not fit the other; an option asks for what is not there; a package or its
            data is missing.
    """
    references = read_references(reference)
    outputs = {name: match(read_hypotheses(path), references, path, reference) for name, path in hypotheses.items()}
    sources = None if any(entry.source is None for entry in references) else [str(e.source) for e in references]
    texts = {name: [entry.text for entry in entries] for name, entries in outputs.items()}
    if settings.with_lead:
        if LEAD in texts or sources is None:
            problem = f"a system is called {LEAD!r} already" if LEAD in texts else f"{reference} has no 'src'"
            raise InputError(f"--with-lead: {problem}; the lead baseline is made from the references' sources")
        bench = settings.benchmark
        texts[LEAD] = [lead(source, bench.lead_sentences, bench.lead_words) for source in sources]
    if settings.baseline is not None and settings.baseline not in texts:
        raise InputError(f"--baseline: no system is called {settings.baseline!r}; there is {', '.join(texts)}")
    notes = [note for name, entries in outputs.items() for note in _failures(name, entries)]
    meant = [entry.text for entry in references]
    scored = {}
    for name, said in texts.items():
        scored[name], problems = _score(said, meant, sources, settings)
        notes += [problem for problem in problems if problem not in notes]
    return _report(scored, hypotheses, reference, settings, notes)


def _failures(name: str, entries: Sequence[Entry]) -> list[str]:
    failed = [entry for entry in entries if entry.failed]
    if not failed:
        return []
    return [f"{name}: {len(failed)} of {len(entries)} have no hypothesis and count as empty, first {failed[0].where}"]


def _score(
    said: list[str], meant: list[str], sources: list[str] | None, settings: Settings
) -> tuple[_Scored, list[str]]:
    """The metrics of one system, and what the reader must be told."""
    if settings.task == "qg":
        return _score_questions(said, meant, sources, settings.raw)
    if settings.task != "generic" and not settings.raw:
        bench = settings.benchmark
        said = [postprocess(text, settings.task, bench.trunc_len, bench.duplicate_rate) for text in said]
    said_lines, meant_lines = _lines(said), _lines(meant)
    if settings.scorer == "py-rouge":  # its scripts divide the references of CNN/DailyMail only
        quality = py_rouge_metrics(said, meant_lines if settings.task == "cnndm" else meant)
    elif settings.task == "generic":
        quality = [
            *rouge(said_lines, meant_lines, stem=settings.stem, any_script=True),
            *bleu_and_chrf(said_lines, meant_lines),
        ]
    else:
        quality = rouge(said_lines, meant_lines, stem=settings.stem)
    return _Scored(quality, surface(said_lines, meant_lines, sources)), []


def _score_questions(
    said: list[str], meant: list[str], sources: list[str] | None, raw: bool
) -> tuple[_Scored, list[str]]:
    tokens = _treebank_tokens if raw else str
    said = [fix_tokenization(tokens(text), "qg").lower() for text in said]
    meant = [(fix_tokenization(tokens(text), "qg") if raw else text).lower() for text in meant]
    groups = [[place] for place in range(len(said))]
    notes = [] if sources else ["the references have no 'src': every question is scored against one reference"]
    if sources:
        groups = question_generation.group_by_source(sources, meant)
    last = [said[group[-1]] for group in groups]
    grouped = [[meant[place] for place in group] for group in groups]
    quality = [question_generation.bleu_4(last, grouped), question_generation.rouge_l(last, grouped)]
    try:
        quality.insert(1, question_generation.meteor(last, grouped))
    except InputError as error:
        notes.append(f"left out: {error}")
    return _Scored(quality, surface(said, meant, sources)), notes


def _lines(texts: list[str]) -> list[str]:
    """Texts with one sentence a line."""
    return ["\n".join(sentences(text)) for text in texts]


def _treebank_tokens(text: str) -> str:
    tokenizer: Any = load("nltk.tokenize").TreebankWordTokenizer()
    return " ".join(tokenizer.tokenize(text))


def _report(
    scored: dict[str, _Scored], paths: dict[str, str], reference: str, settings: Settings, notes: list[str]
) -> Report:
    samples = settings.resamples, settings.seed
    systems = [
        System(
            name,
            paths.get(name),
            {metric.name: interval(metric, *samples) for metric in metrics.quality},
            {metric.name: interval(metric, *samples) for metric in metrics.form},
        )
        for name, metrics in scored.items()
    ]
    comparisons = []
    if settings.baseline is not None:
        theirs = scored[settings.baseline].quality
        comparisons = [
            Comparison(
                name,
                settings.baseline,
                {
                    ours.name: compare(ours, other, *samples)
                    for ours, other in zip(metrics.quality, theirs, strict=True)
                },
            )
            for name, metrics in scored.items()
            if name != settings.baseline
        ]
    first = next(iter(scored.values()))
    versions = {"python": platform.python_version()} | {name: version_of(name) for name in _PACKAGES}
    return Report(
        settings=asdict(settings),
        reference=reference,
        examples=len(first.form[0].rows),
        versions=versions,
        signatures={metric.name: metric.signature for metric in [*first.quality, *first.form]},
        systems=systems,
        comparisons=comparisons,
        notes=notes,
    )
