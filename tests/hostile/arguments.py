"""Every option of every verb at values that nobody means; outputs that are devices, folders, links or the input."""

from __future__ import annotations

import os
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from hostile.cases import Case, Command, Ending
from hostile.home import PAIRS, SPEAK, Home, write_lines
from unilatent.verbs import VERBS, verb_of

_NUMBERS = {"int": ["-1", "1" + "0" * 30, "1.5", "nan", ""], "float": ["nan", "inf", "-1", "1e400", "many"]}

# a command of each verb that would do its work, and what it takes
WORK: dict[str, tuple[list[str], tuple[str, ...]]] = {
    "decode": (["run", "--input", "in.jsonl", "--output", "out.jsonl", "--device", "cpu"], ("run", "in.jsonl")),
    "rerank": (
        ["run", "--trace", "trace.jsonl", "--output", "out.jsonl", "--length-penalty", "1"],
        ("run", "trace.jsonl"),
    ),
    "average": (["run", "run/checkpoints/step-000002", "--output", "out.safetensors"], ("run",)),
    "convert": (["run", "out"], ("run",)),
    "encode": (
        ["recordings/manifest.jsonl", "--tokenizer", "audio_tokenizer", "--output", "out", "--device", "cpu"],
        ("recordings", "audio_tokenizer"),
    ),
    "synthesize": (["voice", *SPEAK, "--text", "Good.", "--output", "out.wav"], ("voice",)),
    "render": (["song.jsonl", "--output", "out.wav"], ("song.jsonl",)),
    "evaluate text": (["--task", "xsum", "--hyp", "in.jsonl", "--ref", "in.jsonl"], ("in.jsonl",)),
    "evaluate speech": (
        ["--manifest", "recordings/manifest.jsonl", "--metric", "mel", "--resamples", "2"],
        ("recordings",),
    ),
    "evaluate curve": (["run", "--output", "out.png"], ("run",)),
    "prepare subset": (["corpus", "out", "--train", "1", "--valid", "1", "--test", "1"], ("corpus",)),
    "prepare tsv": (["out", "--train", "in.tsv"], ("in.tsv",)),
    "prepare s2s-ft": (["out", "--train", "in.jsonl"], ("in.jsonl",)),
    "prepare pretrain-text": (
        [
            "out",
            "--input",
            "in.txt",
            "--document",
            "line",
            "--tokenizer",
            "tokenizer",
            "--processes",
            "1",
            "--max-length",
            "32",
        ],
        ("in.txt", "tokenizer"),
    ),
    "prepare vocabulary": (["out", "--input", "in.txt", "--size", "80"], ("in.txt",)),
}
_HUGE_IS_FINE = {
    "--max-tokens",
    "--max-sentences",
    "--window",
    "--max-rows",
    "--shard-tokens",
    "--exclude-words",
    "--exclude-shortest",
    "--trunc-len",
    "--lead-words",
    "--min-tokens",
    "--num-hypotheses",
    "--train",
    "--valid",
    "--test",
    "--processes",
}
"""Options where a huge number only means "all" or "no limit"."""


def cases() -> Iterator[Case]:
    """Numbers, choices, outputs, inputs and verbs that are none."""
    for verb, name, kind in _options():
        for number, value in enumerate(_NUMBERS[kind]):
            if value == "-1" and name in _NEGATIVE_IS_FINE:
                continue
            ending = Ending.EITHER if value.startswith("10") and name in _HUGE_IS_FINE else Ending.REFUSED
            if value == "-1" or value in ("nan", "inf") or (len(verb) + len(name) + number) % 2:
                yield Case(
                    f"number/{verb} {name} {value[:6]!r}",
                    _with(verb, name, value),
                    name.lstrip("-"),
                    ending,
                    limited=value.startswith("10"),
                )
    for verb, option in _choices():
        for value in ("", "zzz", "AUTO"):
            names = option.lstrip("-")
            yield Case(f"choice/{verb} {option} {value!r}", _with(verb, option, value), names)
    yield from _outputs()
    for name, (arguments, names) in _CONFLICTS.items():
        yield Case(f"usage/{name}", _plain(arguments), names)


_NEGATIVE_IS_FINE = {"--length-reward", "--expected-length", "--loudness-dbfs"}


def _options() -> Iterator[tuple[str, str, str]]:
    """The verb, name and type of each numeric option of the verbs above."""
    for verb, function in (pair for name in VERBS for pair in _verbs(verb_of(name), name)):
        if verb not in WORK:
            continue
        for name, annotation in typing.get_type_hints(function, include_extras=True).items():
            kinds = [part for part in _parts_of(annotation) if part in (int, float)]
            infos = [part for part in _parts_of(annotation) if isinstance(part, typer.models.OptionInfo)]
            if kinds and infos:
                yield verb, (infos[0].param_decls or [f"--{name.replace('_', '-')}"])[0], kinds[0].__name__


def _verbs(verb: Any, name: str) -> Iterator[tuple[str, Any]]:
    if not isinstance(verb, typer.Typer):
        yield name, verb
        return
    for command in verb.registered_commands:
        assert command.callback is not None
        yield f"{name} {command.name or command.callback.__name__.replace('_', '-')}", command.callback
    for group in verb.registered_groups:
        yield from _verbs(group.typer_instance, name)


def _parts_of(annotation: Any) -> Iterator[Any]:
    yield annotation
    for part in (*typing.get_args(annotation), *getattr(annotation, "__metadata__", ())):
        yield from _parts_of(part)


def _choices() -> Iterator[tuple[str, str]]:
    yield from {
        "decode": "--device",
        "synthesize": "--device",
        "encode": "--device",
        "rerank": "--length-penalty-form",
        "evaluate text": "--task",
        "prepare vocabulary": "--kind",
        "prepare pretrain-text": "--document",
    }.items()
    yield "decode", "--precision"
    yield "evaluate text", "--scorer"


def _outputs() -> Iterator[Case]:
    """What an output cannot be."""
    verbs = {
        "decode": "--output",
        "rerank": "--output",
        "average": "--output",
        "convert": "",
        "encode": "--output",
        "synthesize": "--output",
        "evaluate curve": "--output",
        "prepare s2s-ft": "",
        "prepare pretrain-text": "",
    }
    folders = ("convert", "encode", "prepare s2s-ft", "prepare pretrain-text")
    for verb, option in verbs.items():
        values: dict[str, str] = {
            "empty": "",
            "a point": ".",
            "two points": "..",
            "300 letters": "x" * 300,
            "a long path": "/".join(["y" * 200] * 30),
            "below a file": "in.jsonl/out.wav",
            "/dev/null": "/dev/null",
            "a pipe": "pipe",
            "a folder": "folder.wav",
            "a link to nowhere": "link.wav",
            "an input": {"average": "run/model.safetensors", "synthesize": "in.jsonl"}.get(verb, "in.jsonl"),
        }
        for name, value in values.items():
            if verb in folders and name in ("a folder", "a point", "two points"):
                continue
            ending = (
                Ending.EITHER if name in ("a point", "two points", "a link to nowhere", "/dev/null") else Ending.REFUSED
            )
            if name in ("a pipe", "/dev/null") and verb in ("decode", "rerank"):
                ending = Ending.EITHER
            names = r"--output|output|out|empty|" + value[:10].replace(".", r"\.")
            overwrite = verb in ("decode", "synthesize") and name == "a folder"
            yield Case(f"output/{verb}: {name}", _output(verb, option, value, overwrite), names, ending)


def _with(verb: str, option: str, value: str) -> Command:
    def command(home: Home) -> list[str]:
        arguments = _work(verb, home)
        if option == "--expected-length":
            arguments = [*arguments[:-2], "--length-reward", "1"]
        if option in arguments:
            place = arguments.index(option)
            del arguments[place : place + 2]
        return [*arguments, option, value]

    return command


def _output(verb: str, option: str, value: str, overwrite: bool) -> Command:
    def command(home: Home) -> list[str]:
        arguments = _work(verb, home)
        if not Path("in.jsonl").exists():
            write_lines("in.jsonl", PAIRS)
        Path("folder.wav").mkdir()
        Path("folder.wav/mine").write_text("mine")
        Path("link.wav").symlink_to("nowhere.wav")
        os.mkfifo("pipe")
        reader = os.open("pipe", os.O_RDONLY | os.O_NONBLOCK)  # so that a writer of the pipe does not wait
        os.set_inheritable(reader, False)
        if option:
            arguments[arguments.index(option) + 1] = value
        else:
            arguments[arguments.index("out")] = value
        return [*arguments, *(["--overwrite"] if overwrite else [])]

    return command


def _plain(arguments: list[str]) -> Command:
    def command(home: Home) -> list[str]:
        home.take("run")
        home.take("train.jsonl", "in.jsonl")
        return arguments

    return command


def _work(verb: str, home: Home) -> list[str]:
    arguments, needs = WORK[verb]
    for name in needs:
        if name == "in.jsonl":
            home.take("train.jsonl", "in.jsonl")
        elif name == "in.tsv":
            Path(name).write_text("".join(f"{pair['src']}\t{pair['tgt']}\n" for pair in PAIRS))
        elif name == "in.txt":
            Path(name).write_text("".join(f"{pair['src']} {pair['tgt']}\n" for pair in PAIRS))
        elif name == "corpus":
            Path(name).mkdir()
            for split in ("train", "valid", "test"):
                write_lines(Path(name) / f"{split}.jsonl", [{**pair, "id": split + pair["id"]} for pair in PAIRS])
        else:
            home.take(name)
    return [*verb.split(), *arguments]


_CONFLICTS: dict[str, tuple[list[str], str]] = {
    "no such verb": (["trian"], r"trian"),
    "no such option": (["decode", "run", "--beam", "5"], r"--beam"),
    "an option without its value": (["decode", "run", "--input"], r"--input"),
    "no argument": (["decode"], r"(?i)run"),
    "an argument too many": (["show", "run", "run"], r"run|argument"),
    "a flag with a value": (["decode", "run", "--strict=yes"], r"--strict"),
    "no such shard": (
        ["decode", "run", "--input", "in.jsonl", "--output", "o.jsonl", "--shard", "9/3"],
        r"--shard 9/3",
    ),
    "a shard of a pipe": (["decode", "run", "--input", "in.jsonl", "--shard", "1/3"], r"--shard 1/3.*name files"),
    "no shards": (["join", "out.jsonl"], r"out\.jsonl: no shard of it is there"),
    "a shard of one text": (["synthesize", "run", "--text", "a", "--shard", "1/3"], r"--shard.*--input"),
    "a cluster for one text": (["synthesize", "run", "--text", "a", "--ray", "local"], r"--ray.*--input"),
    "workers of no cluster to speak": (["synthesize", "run", "--input", "in.jsonl", "--workers", "2"], r"--workers"),
    "no such shard to encode": (
        ["encode", "in.jsonl", "--tokenizer", "run", "--output", "o", "--shard", "0/0"],
        r"--shard 0/0",
    ),
    "no such shard to prepare": (
        ["prepare", "pretrain-text", "o", "--input", "in.jsonl", "--tokenizer", "run", "--shard", "a/b"],
        r"--shard a/b",
    ),
    "no such shard of recordings": (["prepare", "transcripts", "run", "o", "--shard", "2/1"], r"--shard 2/1"),
    "workers of no cluster": (["decode", "run", "--input", "in.jsonl", "--workers", "2"], r"--workers"),
    "a pipe on a cluster": (["decode", "run", "--input", "in.jsonl", "--ray", "local"], r"--ray.*name files"),
    "two rankings": (
        ["rerank", "run", "--trace", "in.jsonl", "--length-penalty", "1", "--length-reward", "1"],
        r"--length",
    ),
    "no ranking": (["rerank", "run", "--trace", "in.jsonl"], r"--length"),
    "nothing to say": (["synthesize", "run"], r"--text"),
    "two things to say": (["synthesize", "run", "--text", "a", "--input", "in.jsonl"], r"--text"),
    "a kind of options that is none": (["options", "tsak"], r"task|tsak"),
    "a class that is none": (["options", "task", "seq2sec"], r"seq2seq"),
    "a name for a section that has none": (["options", "optim", "adam"], r"optim"),
    "an import that is none": (["options", "task", "--import", "no.such.module"], r"no\.such\.module"),
    "a checkpoint that is none": (
        ["decode", "run", "--input", "in.jsonl", "--output", "o.jsonl", "--checkpoint", "77"],
        r"77",
    ),
    "a checkpoint of huge digits": (
        ["decode", "run", "--input", "in.jsonl", "--output", "o.jsonl", "--checkpoint", "9" * 5000],
        r"9999|checkpoint",
    ),
    "a checkpoint that is a folder": (
        ["decode", "run", "--input", "in.jsonl", "--output", "o.jsonl", "--checkpoint", "run/tensorboard"],
        r"tensorboard",
    ),
    "a checkpoint that is text": (
        ["decode", "run", "--input", "in.jsonl", "--output", "o.jsonl", "--checkpoint", "in.jsonl"],
        r"in\.jsonl",
    ),
    "an input that is the output": (["decode", "run", "--input", "in.jsonl", "--output", "in.jsonl"], r"in\.jsonl"),
    "a trace that is the output": (
        ["decode", "run", "--input", "in.jsonl", "--output", "o.jsonl", "--trace", "o.jsonl"],
        r"o\.jsonl",
    ),
    "a trace that is the input": (
        ["decode", "run", "--input", "in.jsonl", "--output", "o.jsonl", "--trace", "in.jsonl"],
        r"in\.jsonl",
    ),
    "a trace of sampling": (
        ["decode", "run", "--input", "in.jsonl", "--output", "o.jsonl", "--trace", "t.jsonl", "decoder.name=sampling"],
        r"trace",
    ),
    "an average of nothing": (["average", "--output", "o.safetensors"], r"(?i)checkpoints"),
    "an average of text": (["average", "in.jsonl", "--output", "o.safetensors"], r"in\.jsonl"),
    "two systems of one name": (
        ["evaluate", "text", "--task", "generic", "--hyp", "in.jsonl", "--hyp", "in.jsonl", "--ref", "in.jsonl"],
        r"in",
    ),
    "a system without a name": (
        ["evaluate", "text", "--task", "generic", "--hyp", "=in.jsonl", "--ref", "in.jsonl"],
        r"--hyp",
    ),
    "a baseline that is none": (
        ["evaluate", "text", "--task", "generic", "--hyp", "in.jsonl", "--ref", "in.jsonl", "--baseline", "x"],
        r"--baseline",
    ),
    "a metric that is none": (["evaluate", "speech", "--manifest", "in.jsonl", "--metric", "zzz"], r"zzz"),
    "a recognizer that is none": (
        ["evaluate", "speech", "--manifest", "in.jsonl", "--metric", "wer", "--recognizer", "zzz"],
        r"zzz|in\.jsonl",
    ),
    "a picture of no format": (["evaluate", "curve", "run", "--output", "o.xyz"], r"o\.xyz"),
    "no split": (["prepare", "tsv", "out"], r"--train"),
    "a column that is 0": (["prepare", "tsv", "out", "--train", "in.jsonl", "--source-column", "0"], r"column"),
    "a column beyond the last": (
        ["prepare", "tsv", "out", "--train", "in.jsonl", "--source-column", "99"],
        r"in\.jsonl:1",
    ),
    "a column that is none": (["prepare", "tsv", "out", "--train", "in.jsonl", "--source-column", "nobody"], r"nobody"),
    "a column of other figures": (
        ["prepare", "tsv", "out", "--train", "in.jsonl", "--source-column", "²"],
        r"column|²",
    ),
    "a package of npm that is none": (
        ["prepare", "emoji", "out", "--pictures", "in.jsonl", "--names", "in.jsonl"],
        r"in\.jsonl: must be a package of npm",
    ),
    "captions and splits": (
        ["prepare", "captioned-photos", "out", "--captions", "in.jsonl", ".", "--train", "in.jsonl", "."],
        r"--captions: is for one file of all splits",
    ),
    "a package that is none": (["prepare", "package-faqs", "out", "--packages", "in.jsonl"], r"--packages in\.jsonl"),
    "a division without its lists": (
        ["prepare", "squad-qg", "out", "--train", "in.jsonl", "--dev", "in.jsonl", "--split", "du"],
        r"--train-articles",
    ),
}
