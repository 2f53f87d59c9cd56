"""One evaluation: files in, a report out; what each benchmark does to the texts, and which metrics it takes."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from eval import question_generation
from eval.bleu import bleu_and_chrf
from eval.bootstrap import compare
from eval.lead import lead
from eval.matching import Entry, match, read_hypotheses, read_references
from eval.metric import Metric
from eval.postprocess import fix_tokenization, postprocess
from eval.report import Comparison, Report, metric_notes, system
from eval.rouge import py_rouge_metrics, rouge
from eval.surface import surface
from eval.words import nfc, sentences
from s2s.errors import InputError
from s2s.packages import load, version_of

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
    """The options of an evaluation; all of them are in the report.

    Args:
        task: A name in BENCHMARKS.
        benchmark: Its constants, or others.
        raw: Whether the texts are ordinary text instead of Penn Treebank tokens.
        scorer: "rouge-score" or "py-rouge".
        stem: Whether rouge-score compares stems of English words.
        tokenize: Tokenization of BLEU for generic, see `eval.bleu`.
        with_lead: Whether to score the lead baseline too.
        baseline: The system with which the others are compared, or None.
        resamples: Samples for intervals and tests.
        seed: Seed of their random numbers, 0 or more.
    """

    task: str
    benchmark: Benchmark
    raw: bool = False
    scorer: str = "rouge-score"
    stem: bool = True
    tokenize: str = "auto"
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
    sources = None if any(entry.source is None for entry in references) else [nfc(str(e.source)) for e in references]
    texts = {name: [nfc(entry.text) for entry in entries] for name, entries in outputs.items()}
    if settings.with_lead:
        if LEAD in texts or sources is None:
            problem = f"a system is called {LEAD!r} already" if LEAD in texts else f"{reference} has no 'src'"
            raise InputError(f"--with-lead: {problem}; the lead baseline is made from the references' sources")
        bench = settings.benchmark
        texts[LEAD] = [lead(source, bench.lead_sentences, bench.lead_words) for source in sources]
    if settings.baseline is not None and settings.baseline not in texts:
        raise InputError(f"--baseline: no system is called {settings.baseline!r}; there is {', '.join(texts)}")
    notes = [note for name, entries in outputs.items() for note in _failures(name, entries)]
    targets = [nfc(entry.text) for entry in references]
    if settings.task == "qg" and sources is None:
        notes.append("the references have no 'src': every question is scored against one reference")
    scored = {name: _score(texts_of_one, targets, sources, settings) for name, texts_of_one in texts.items()}
    notes += metric_notes({name: [*metrics.quality, *metrics.form] for name, metrics in scored.items()})
    return _report(scored, hypotheses, reference, settings, notes)


def _failures(name: str, entries: Sequence[Entry]) -> list[str]:
    failed = [entry for entry in entries if entry.failed]
    if not failed:
        return []
    return [f"{name}: {len(failed)} of {len(entries)} have no hypothesis and count as empty, first {failed[0].where}"]


def _score(outputs: list[str], targets: list[str], sources: list[str] | None, settings: Settings) -> _Scored:
    """The metrics of one system."""
    if settings.task == "qg":
        return _score_questions(outputs, targets, sources, settings.raw)
    if settings.task != "generic" and not settings.raw:
        bench = settings.benchmark
        outputs = [postprocess(text, settings.task, bench.trunc_len, bench.duplicate_rate) for text in outputs]
    output_lines, target_lines = _lines(outputs), _lines(targets)
    if settings.scorer == "py-rouge":  # its scripts divide the references of CNN/DailyMail only
        quality = py_rouge_metrics(outputs, target_lines if settings.task == "cnndm" else targets)
    elif settings.task == "generic":
        quality = [
            *rouge(output_lines, target_lines, stem=settings.stem, any_script=True),
            *bleu_and_chrf(output_lines, target_lines, settings.tokenize),
        ]
    else:
        quality = rouge(output_lines, target_lines, stem=settings.stem)
    return _Scored(quality, surface(output_lines, target_lines, sources))


def _score_questions(outputs: list[str], targets: list[str], sources: list[str] | None, raw: bool) -> _Scored:
    tokens = _treebank_tokens if raw else str
    outputs = [fix_tokenization(tokens(text), "qg").lower() for text in outputs]
    targets = [(fix_tokenization(tokens(text), "qg") if raw else text).lower() for text in targets]
    groups = [[place] for place in range(len(outputs))]
    if sources:
        groups = question_generation.group_by_source(sources, targets)
    last = [outputs[group[-1]] for group in groups]
    grouped = [[targets[place] for place in group] for group in groups]
    quality = question_generation.metrics(last, grouped)
    return _Scored(quality, surface(outputs, targets, sources))


def _lines(texts: list[str]) -> list[str]:
    """Texts with one sentence a line."""
    return ["\n".join(sentences(text)) for text in texts]


def _treebank_tokens(text: str) -> str:
    tokenizer: Any = load("nltk.tokenize", "eval").TreebankWordTokenizer()
    return " ".join(tokenizer.tokenize(text))


def _report(
    scored: dict[str, _Scored], paths: dict[str, str], reference: str, settings: Settings, notes: list[str]
) -> Report:
    samples = settings.resamples, settings.seed
    systems = [
        system(name, paths.get(name), metrics.quality, metrics.form, *samples) for name, metrics in scored.items()
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
