"""The verb `evaluate`: scores of generated text, and pictures of how runs learned."""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from eval.named_paths import named_paths
from eval.speech_commands import speech
from s2s.errors import InputError


class _TextUnlessNamed(TyperGroup):
    """`evaluate --task ...` is short for `evaluate text --task ...`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0].startswith("-") and args[0] != "--help":
            args = ["text", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_TextUnlessNamed,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Score generated text; `evaluate --task ...` is short for `evaluate text --task ...`.",
)


class Task(str, Enum):
    """The benchmarks that `evaluate text` knows."""

    xsum = "xsum"
    cnndm = "cnndm"
    gigaword = "gigaword"
    qg = "qg"
    generic = "generic"


class Scorer(str, Enum):
    """Who counts ROUGE."""

    rouge_score = "rouge-score"
    py_rouge = "py-rouge"


@app.command()
def text(
    task: Annotated[Task, typer.Option(help="Benchmark: how texts are cleaned up, and which metrics are taken.")],
    hyp: Annotated[
        list[str], typer.Option(help="Hypotheses, FILE or NAME=FILE (.jsonl, else plain); repeat to compare.")
    ],
    ref: Annotated[str, typer.Option(help="References: JSON lines with id, src, tgt; or plain lines.")],
    with_lead: Annotated[bool, typer.Option("--with-lead", help="Score the beginning of the source as well.")] = False,
    lead_words: Annotated[int | None, typer.Option(min=0, help="Cut it after so many words; 0: never.")] = None,
    baseline: Annotated[str | None, typer.Option(help="Compare every other system with this one ('lead' too).")] = None,
    scorer: Annotated[
        Scorer, typer.Option(help="py-rouge: the numbers that s2s-ft's scripts print.")
    ] = Scorer.rouge_score,
    no_stem: Annotated[bool, typer.Option("--no-stem", help="ROUGE on words, not on English stems.")] = False,
    raw: Annotated[bool, typer.Option("--raw", help="Ordinary text, not Penn Treebank tokens.")] = False,
    trunc_len: Annotated[
        int | None, typer.Option(min=0, help="Words of an output that count; cnndm: 160; 0: all.")
    ] = None,
    duplicate_rate: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="cnndm: drop sentences of which more was said before; 0.7; 1: none."),
    ] = None,
    resamples: Annotated[int, typer.Option(min=1, help="Samples for intervals and tests.")] = 1000,
    seed: Annotated[int, typer.Option(help="Of the samples.")] = 0,
    json_file: Annotated[
        str | None, typer.Option("--json", metavar="FILE", help="Write JSON; - instead of the table.")
    ] = None,
) -> None:
    """Score hypotheses against references, with 95 % bootstrap intervals.

    Records are matched by id where both files have ids, else by line. xsum, cnndm and gigaword give ROUGE with stems,
    after the published clean-up; qg gives BLEU-4, METEOR and ROUGE-L of coco-caption; generic gives ROUGE with stems
    and letters of any script, sacreBLEU and chrF. All give novelty, length, repetition, duplicates and empty outputs.
    """
    from dataclasses import replace

    from eval.evaluation import BENCHMARKS, Settings, evaluate
    from eval.report import present

    constants = {"trunc_len": trunc_len, "duplicate_rate": duplicate_rate, "lead_words": lead_words}
    asked: dict[str, Any] = {name: value for name, value in constants.items() if value is not None}
    benchmark = replace(BENCHMARKS[task.value], **asked)
    settings = Settings(
        task=task.value,
        benchmark=benchmark,
        raw=raw,
        scorer=scorer.value,
        stem=not no_stem,
        with_lead=with_lead,
        baseline=baseline,
        resamples=resamples,
        seed=seed,
    )
    _refuse_unused(settings, asked)
    report = evaluate(named_paths("--hyp", hyp), ref, settings)
    present(report, json_file)


app.command()(speech)


@app.command()
def curve(
    runs: Annotated[list[str], typer.Argument(metavar="RUN...", help="Run folders, FOLDER or NAME=FOLDER.")],
    output: Annotated[str, typer.Option(help="The picture: .png, .pdf or .svg.")] = "learning_curve.png",
) -> None:
    """Draw training and validation loss of one or more runs into one picture."""
    from eval.curve import plot_learning_curves

    plot_learning_curves(named_paths("RUN", runs), output)
    typer.echo(output)


def _refuse_unused(settings: Any, asked: dict[str, Any]) -> None:
    """An option that would change nothing is a mistake, not a wish."""
    task, raw = settings.task, settings.raw
    uncut = raw or task in ("qg", "generic")
    by_py_rouge = settings.scorer == "py-rouge"
    for option, unused, use in (
        ("--scorer py-rouge", by_py_rouge and task == "qg", "every task but qg"),
        ("--no-stem", not settings.stem and (by_py_rouge or task == "qg"), "--scorer rouge-score, not --task qg"),
        ("--trunc-len", "trunc_len" in asked and uncut, "xsum, cnndm and gigaword, not --raw"),
        ("--duplicate-rate", "duplicate_rate" in asked and (raw or task != "cnndm"), "cnndm, not --raw"),
        ("--lead-words", "lead_words" in asked and not settings.with_lead, "--with-lead"),
        ("--raw", raw and task == "generic", "the benchmarks; generic takes ordinary text"),
    ):
        if unused:
            raise InputError(f"{option} changes nothing here; it is for {use}")
