"""One evaluation: files in, a report out; what each benchmark does to the texts, and which metrics it takes."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from eval import captions, question_generation
from eval.bleu import bleu_and_chrf
from eval.groups import mean_over, members_of
from eval.matching import match, read_hypotheses, read_references
from eval.postprocess import fix_tokenization, postprocess
from eval.report import Report, Scored, make_report
from eval.rouge import py_rouge_metrics, rouge
from eval.surface import surface
from s2s.data.fields import SOURCE, TARGET, Fields
from s2s.data.words import first_tokens, nfc, sentences, split_sentences
from s2s.errors import InputError
from s2s.packages import load

LEAD = "lead"
_PACKAGES = ("unilatent", "numpy", "rouge-score", "sacrebleu", "nltk", "py-rouge", "pycocoevalcap")


@dataclass(frozen=True)
class Benchmark:
    """How a benchmark is scored, as published.

    Args:
        trunc_len: Words to keep of an output; 0 keeps all.
        duplicate_rate: Drop a sentence if more than this share of its words occurred earlier; 1 drops none.
        lead_sentences: Sentences of the lead baseline.
        lead_words: Words of the lead baseline; 0: no limit.
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
    "captions": Benchmark(),
}


@dataclass(frozen=True)
class Settings:
    """The options of an evaluation; all of them are in the report.

    Args:
        task: A name in BENCHMARKS.
        benchmark: Its constants, or the user's.
        raw: The texts are ordinary text, not Penn Treebank tokens.
        scorer: "rouge-score" or "py-rouge".
        stem: Compare stems of English words (rouge-score).
        tokenize: Tokenization of BLEU for generic, see `eval.bleu`.
        baseline: The system to compare the others with.
        resamples: Bootstrap samples for intervals and tests.
        by: The field whose values are scored each by itself, such as a language; the scores are then means over them.
        source_field, target_field: Where the references have their sources and texts, see `s2s.data.fields`.
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
    by: str | None = None
    source_field: str = SOURCE
    target_field: str = TARGET


def evaluate(hypotheses: dict[str, str], reference: str, settings: Settings) -> Report:
    """Score systems against one file of references.

    Args:
        hypotheses: The file of each system, by name.
        reference: The references, with their sources.

    Raises:
        InputError: a file is broken or does not fit the other; the baseline or the sources for the lead baseline are
            missing; a package or its data is missing.
    """
    fields = Fields(settings.source_field, settings.target_field)
    if settings.task == "captions":
        fields = captions.fields_of_captions(reference, fields)
    references = read_references(reference, fields, settings.by)
    read = {name: read_hypotheses(path, fields) for name, path in hypotheses.items()}
    outputs = {name: match(read[name], references, path, reference) for name, path in hypotheses.items()}
    sources = None if any(entry.source is None for entry in references) else [nfc(str(e.source)) for e in references]
    texts = {name: [nfc(entry.text) for entry in entries] for name, entries in outputs.items()}
    if settings.with_lead:
        if LEAD in texts or sources is None:
            problem = (
                f"a system is called {LEAD!r} already"
                if LEAD in texts
                else f"{reference} has no {settings.source_field!r}"
            )
            raise InputError(
                f"--with-lead: {problem}; the lead baseline is made from the references' sources (--source-field)"
            )
        bench = settings.benchmark
        texts[LEAD] = [lead(source, bench.lead_sentences, bench.lead_words) for source in sources]
    if settings.baseline is not None and settings.baseline not in texts:
        raise InputError(f"--baseline: no system is called {settings.baseline!r}; there is {', '.join(texts)}")
    notes = [
        f"{name}: {len(failed)} of {len(entries)} have no hypothesis and count as empty, first {failed[0].where}"
        for name, entries in outputs.items()
        if (failed := [entry for entry in entries if entry.failed])
    ]
    targets = [nfc(entry.text) for entry in references]
    if settings.task == "qg" and sources is None:
        notes.append("the references have no sources: every question is scored against one reference")
    groups = {
        value: {name: _score_some(members, of_one, targets, sources, settings) for name, of_one in texts.items()}
        for value, members in (members_of(references, settings.by) if settings.by else {}).items()
    }
    scored = {
        name: mean_over({value: of_value[name] for value, of_value in groups.items()})
        if groups
        else _score(of_one, targets, sources, settings)
        for name, of_one in texts.items()
    }
    return make_report(scored, hypotheses, reference, asdict(settings), _PACKAGES, notes, groups)


def _score_some(
    members: list[int], outputs: list[str], targets: list[str], sources: list[str] | None, settings: Settings
) -> Scored:
    """The scores of some of the examples, by their places."""
    known = None if sources is None else [sources[place] for place in members]
    return _score([outputs[place] for place in members], [targets[place] for place in members], known, settings)


def lead(source: str, sentences: int, words: int) -> str:
    """The lead baseline: the first sentences of the source, cut after `words` words (0: not cut), one a line.

    In a script without blanks every character counts as a word.

    >>> lead("A fast editor. It has tabs.", sentences=1, words=2)
    'A fast'
    """
    kept = split_sentences(source)[:sentences]
    return first_tokens(" ".join(" ".join(kept).split()), words) if words else "\n".join(kept)


def _score(outputs: list[str], targets: list[str], sources: list[str] | None, settings: Settings) -> Scored:
    if settings.task == "qg":
        return _score_questions(outputs, targets, sources, settings.raw)
    if settings.task == "captions":
        groups = question_generation.group_by_source(sources or list(map(str, range(len(outputs)))))
        grouped = [[targets[place] for place in group] for group in groups]
        quality = captions.metrics([outputs[group[-1]] for group in groups], grouped)
        return Scored(quality, surface(outputs, targets, None))
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
    return Scored(quality, surface(output_lines, target_lines, sources))


def _score_questions(outputs: list[str], targets: list[str], sources: list[str] | None, raw: bool) -> Scored:
    tokens = _treebank_tokens if raw else str
    outputs = [fix_tokenization(tokens(text), "qg").lower() for text in outputs]
    targets = [(fix_tokenization(tokens(text), "qg") if raw else text).lower() for text in targets]
    groups = question_generation.group_by_source(sources or list(map(str, range(len(outputs)))))
    last = [outputs[group[-1]] for group in groups]
    grouped = [[targets[place] for place in group] for group in groups]
    return Scored(question_generation.metrics(last, grouped), surface(outputs, targets, sources))


def _lines(texts: list[str]) -> list[str]:
    """Texts with one sentence a line."""
    return ["\n".join(sentences(text)) for text in texts]


def _treebank_tokens(text: str) -> str:
    tokenizer: Any = load("nltk.tokenize", "eval").TreebankWordTokenizer()
    return " ".join(tokenizer.tokenize(text))
