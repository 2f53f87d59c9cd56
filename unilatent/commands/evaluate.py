"""The verb `evaluate`: scores of generated text and of speech, and pictures of learning curves."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from s2s.data.files import without_suffixes
from s2s.errors import InputError

if TYPE_CHECKING:
    from eval.evaluation import Settings

app = typer.Typer(no_args_is_help=True)

Resamples = Annotated[int, typer.Option(min=1, max=1_000_000, help="Bootstrap samples for intervals and tests.")]
Seed = Annotated[int, typer.Option(min=0, help="Random seed of the bootstrap.")]
JsonFile = Annotated[
    str | None, typer.Option("--json", metavar="FILE", help="Also write the report as JSON; - prints it instead.")
]


Task = Literal["xsum", "cnndm", "gigaword", "qg", "generic", "captions"]
Scorer = Literal["rouge-score", "py-rouge"]
# Of sacrebleu's tokenizations those that need no network; auto chooses by the script of the references.
Tokenize = Literal["auto", "13a", "intl", "zh", "char", "ja-mecab", "ko-mecab", "none"]


@app.callback(invoke_without_command=True)
def text(
    context: typer.Context,
    task: Annotated[Task | None, typer.Option(help="Benchmark: sets the clean-up of texts and the metrics.")] = None,
    hyp: Annotated[
        list[str] | None,
        typer.Option(help="Hypotheses: FILE or NAME=FILE, in any format that `decode` writes; repeat to compare."),
    ] = None,
    ref: Annotated[
        str | None,
        typer.Option(help="References, perhaps with id and source, in any format that `decode` reads; or plain lines."),
    ] = None,
    source_field: Annotated[
        str, typer.Option(help="Field of the sources. Where there is no src, well-known names are found.")
    ] = "src",
    target_field: Annotated[str, typer.Option(help="Field of the references; known names are found, too.")] = "tgt",
    with_lead: Annotated[bool, typer.Option("--with-lead", help="Also score the beginning of the source.")] = False,
    lead_words: Annotated[int | None, typer.Option(min=0, help="Words of that beginning; 0: no limit.")] = None,
    baseline: Annotated[str | None, typer.Option(help="Compare every other system with this one (or lead).")] = None,
    by: Annotated[
        str | None,
        typer.Option(
            metavar="FIELD", help="Score the references with each value of a field by themselves, and their mean: lang."
        ),
    ] = None,
    scorer: Annotated[
        Scorer, typer.Option(help="ROUGE implementation; py-rouge gives the numbers that s2s-ft's scripts print.")
    ] = "rouge-score",
    no_stem: Annotated[bool, typer.Option("--no-stem", help="ROUGE on words instead of English stems.")] = False,
    tokenize: Annotated[
        Tokenize, typer.Option(help="generic: tokenization of BLEU; auto chooses by the references' script.")
    ] = "auto",
    raw: Annotated[bool, typer.Option("--raw", help="The texts are ordinary text, not Penn Treebank tokens.")] = False,
    trunc_len: Annotated[
        int | None, typer.Option(min=0, help="Truncate outputs to this many words; 0: no limit (cnndm: 160).")
    ] = None,
    duplicate_rate: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="cnndm: drop a sentence if more than this share of its words occurred earlier (0.7; 1 keeps all).",
        ),
    ] = None,
    resamples: Resamples = 1000,
    seed: Seed = 0,
    json_file: JsonFile = None,
) -> None:
    """Score generated text against references, with 95 % bootstrap intervals; `speech`, `transcripts` and `curve` are
    sub-commands.

    Records are matched by id if both files have ids, else by line. xsum, cnndm and gigaword give ROUGE with stems
    after the published clean-up; qg gives BLEU-4, METEOR and ROUGE-L as coco-caption computes them; captions gives
    CIDEr, BLEU and ROUGE-L with all references of a picture; generic gives ROUGE, sacreBLEU and chrF for text in any
    script. All give novelty, lead bias, length, repetition,
    duplicates and empty outputs. Texts are compared in Unicode form NFC.
    """
    from eval.evaluation import evaluate
    from eval.report import present
    from s2s.durable import refuse_inputs

    if context.invoked_subcommand:
        if task or hyp or ref:
            raise InputError(f"--task, --hyp, --ref: are not options of `evaluate {context.invoked_subcommand}`")
        return
    if task is None or not hyp or ref is None:
        missing = "--task" if task is None else "--ref" if hyp else "--hyp"
        raise typer.BadParameter("it is required", param_hint=missing)
    constants = {"trunc_len": trunc_len, "duplicate_rate": duplicate_rate, "lead_words": lead_words}
    settings = _settings(
        {name: value for name, value in constants.items() if value is not None},
        task=task,
        raw=raw,
        scorer=scorer,
        stem=not no_stem,
        tokenize=tokenize,
        with_lead=with_lead,
        baseline=baseline,
        resamples=resamples,
        seed=seed,
        by=by,
        source_field=source_field,
        target_field=target_field,
    )
    systems = _named_paths("--hyp", hyp)
    refuse_inputs(json_file, [ref, *systems.values()])
    present(evaluate(systems, ref, settings), json_file)


app.command(hidden=True)(text)  # `evaluate text ...` is `evaluate ...`


@app.command(short_help="Score speech against its texts and recordings.")
def speech(
    manifest: Annotated[
        str, typer.Option(help="Recordings and texts: JSON lines with id, audio, text; or texts alone.")
    ],
    audio: Annotated[
        list[str] | None, typer.Option(help="Folder of ID.wav, .flac or .ogg, or NAME=FOLDER; repeat to compare.")
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(
            help="wer, similarity, prompt_similarity (to the recording in `voice`), intonation, distillmos, dnsmos, "
            "mel, pesq or stoi; may be repeated. Default: all that are installed and can be computed."
        ),
    ] = None,
    recognizer: Annotated[
        str, typer.Option(help="whisper, whisper:MODEL, pocketsphinx, or a folder that `transcribe` opens.")
    ] = "whisper",
    language: Annotated[str, typer.Option(help="Language of the texts.")] = "en",
    aligned: Annotated[
        bool, typer.Option("--aligned", help="The audio is a reconstruction of the recordings: adds PESQ and STOI.")
    ] = False,
    resamples: Resamples = 1000,
    seed: Seed = 0,
    transcripts: Annotated[
        str | None, typer.Option(metavar="FILE", help="Write the transcripts: JSON lines with system, id, text, heard.")
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Score speech against its texts and recordings, with 95 % bootstrap intervals; the recordings are scored too.

    Without --audio only the recordings are scored: an upper bound for any voice. Texts without recordings give word
    errors, MOS and the real-time factor: `--manifest lines.jsonl --audio spoken`, or --manifest spoken/manifest.jsonl.
    """
    from eval.report import present
    from eval.speech import SpeechSettings, evaluate_speech
    from s2s.durable import refuse_inputs

    for file in (json_file, transcripts):
        refuse_inputs(file, [manifest])
    settings = SpeechSettings(tuple(metric or ()), recognizer, language, aligned, resamples, seed, transcripts)
    report = evaluate_speech(manifest, _named_paths("--audio", audio or []), settings)
    present(report, json_file)


@app.command(short_help="Score recognizers on recordings: words.")
def recognition(
    manifest: Annotated[str, typer.Argument(help="Recordings and texts: JSON lines with id, audio, text.")],
    recognizer: Annotated[
        list[str],
        typer.Option(
            help="whisper, whisper:MODEL, pocketsphinx, or a folder that `transcribe` opens, also as NAME=FOLDER; "
            "repeat to compare."
        ),
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="KEY.PATH=VALUE", help="Options of runs: `decoder.beam_size=4`.", show_default=False),
    ] = None,
    language: Annotated[str, typer.Option(help="Language of the texts.")] = "en",
    baseline: Annotated[str | None, typer.Option(help="Compare every other recognizer with this one.")] = None,
    resamples: Resamples = 1000,
    seed: Seed = 0,
    transcripts: Annotated[
        str | None, typer.Option(metavar="FILE", help="Write the transcripts: JSON lines with system, id, text, heard.")
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Word and character errors of recognizers on the same recordings, with 95 % bootstrap intervals.

    With --baseline, also the paired difference of each other recognizer.
    """
    from eval.recognition import RecognitionSettings, evaluate_recognition
    from eval.report import present
    from s2s.durable import refuse_inputs

    for file in (json_file, transcripts):
        refuse_inputs(file, [manifest])
    settings = RecognitionSettings(language, baseline, tuple(overrides or ()), resamples, seed, transcripts)
    present(evaluate_recognition(manifest, _named_paths("--recognizer", recognizer), settings), json_file)


@app.command(short_help="Score transcripts: words, speakers and times.")
def transcripts(
    ref: Annotated[
        str, typer.Option(help="What was said: JSON lines with id and segments (speaker, start, end, text), or .rttm.")
    ],
    hyp: Annotated[
        list[str],
        typer.Option(help="What was heard, FILE or NAME=FILE, as `transcribe` writes it; repeat to compare."),
    ],
    language: Annotated[str, typer.Option(help="Language of the texts.")] = "en",
    collar: Annotated[
        float, typer.Option(min=0, help="DER: seconds around each boundary of the reference that do not count.")
    ] = 0.0,
    baseline: Annotated[str | None, typer.Option(help="Compare every other system with this one.")] = None,
    resamples: Resamples = 1000,
    seed: Seed = 0,
    json_file: JsonFile = None,
) -> None:
    """Score transcripts with speakers, with 95 % bootstrap intervals.

    DER is the share of time with a wrong speaker; cpWER the word errors of each speaker's words, whatever the names of
    the speakers; WER those of all words in the order of time. RTTM has no words: DER alone. Needs the extra
    recognition.
    """
    from eval.report import present
    from eval.transcripts import TranscriptSettings, evaluate_transcripts
    from s2s.durable import refuse_inputs

    systems = _named_paths("--hyp", hyp)
    refuse_inputs(json_file, [ref, *systems.values()])
    settings = TranscriptSettings(language, collar, baseline, resamples, seed)
    present(evaluate_transcripts(ref, systems, settings), json_file)


@app.command("melody", short_help="Score melodies by stream.")
def melody(
    ref: Annotated[str, typer.Option(help="Melodies of people: JSON lines with id, src and tgt.")],
    hyp: Annotated[list[str], typer.Option(help="What `decode` has written, FILE or NAME=FILE; repeat to compare.")],
    baseline: Annotated[str | None, typer.Option(help="Compare every other system with this one.")] = None,
    resamples: Resamples = 1000,
    seed: Seed = 0,
    json_file: JsonFile = None,
) -> None:
    """Score melodies against those of people, with 95 % bootstrap intervals.

    Pitch and length: F1 of runs of one to four. Boundaries: F1 of the times at which syllables end. Durations: share of
    syllables that last as long as in the reference.
    """
    from eval.melodies import MelodySettings, evaluate_melodies
    from eval.report import present
    from s2s.durable import refuse_inputs

    systems = _named_paths("--hyp", hyp)
    refuse_inputs(json_file, [ref, *systems.values()])
    present(evaluate_melodies(ref, systems, MelodySettings(baseline, resamples, seed)), json_file)


@app.command("melody-perplexity", short_help="How well runs predict melodies, by stream.")
def melody_perplexity(
    ref: Annotated[str, typer.Option(help="Melodies that no run has seen: JSON lines with src, tgt, context, family.")],
    run: Annotated[list[str], typer.Option(help="Run folder, FOLDER or NAME=FOLDER; repeat to compare.")],
    markov: Annotated[
        tuple[str, str] | None,
        typer.Option(metavar="TRAIN VALID", help="Add a Markov baseline, learned from TRAIN, its orders from VALID."),
    ] = None,
    resamples: Resamples = 1000,
    seed: Seed = 0,
    json_file: JsonFile = None,
) -> None:
    """Perplexity of melodies, for each stream and for the whole note, with 95 % bootstrap intervals over families.

    Every run is compared with the Markov baseline, if there is one; both have the same units.
    """
    from eval.melody_perplexity import PerplexitySettings, evaluate_perplexity
    from eval.report import present
    from s2s.durable import refuse_inputs

    refuse_inputs(json_file, [ref, *(markov or ())])
    present(
        evaluate_perplexity(ref, _named_paths("--run", run), PerplexitySettings(markov, resamples, seed)), json_file
    )


@app.command("long-form", short_help="Score a long recording of a script.")
def long_form(
    audio: Annotated[Path, typer.Argument(help="Audio of `synthesize --script`, with its report beside it.")],
    json_file: JsonFile = None,
) -> None:
    """Say whether a long recording holds: voice, pitch and level of each speaker by minute, and the joints of lines.

    Needs resemblyzer (extra speech-eval).
    """
    from dataclasses import asdict

    from eval.long_form import as_text, evaluate_long_form
    from s2s.durable import refuse_inputs, write_whole
    from s2s.json_files import dump_json

    refuse_inputs(json_file, [str(audio)])
    found = evaluate_long_form(audio)
    content = dump_json(asdict(found), indent=2)
    typer.echo(content if json_file == "-" else as_text(found))
    if json_file not in (None, "-"):
        write_whole(Path(json_file), f"{content}\n".encode())


@app.command(short_help="Plot learning curves of runs.")
def curve(
    runs: Annotated[list[str], typer.Argument(metavar="RUN...", help="Run folders, FOLDER or NAME=FOLDER.")],
    output: Annotated[str, typer.Option(help="The picture: .png, .pdf or .svg.")] = "learning_curve.png",
) -> None:
    """Plot the training and validation loss of one or more runs into one picture."""
    from eval.curve import plot_learning_curves

    plot_learning_curves(_named_paths("RUN", runs), output)
    typer.echo(output)


def _named_paths(option: str, values: Iterable[str]) -> dict[str, str]:
    """Paths by name, from `NAME=PATH` or `PATH`, which is named after its last part without what its format adds.

    Raises:
        InputError: a name or path is empty, or two paths have the same name.
    """
    named: dict[str, str] = {}
    for value in values:
        name, equals, path = value.partition("=")
        if not equals or Path(value).exists():
            name, path = without_suffixes(os.path.abspath(value)), value
        if not name or not path:
            raise InputError(f"{option}: expected PATH or NAME=PATH, found {value!r}")
        if name in named:
            raise InputError(f"{option}: two are called {name!r}; give them names with NAME=PATH")
        named[name] = path
    return named


def _settings(constants: dict[str, Any], **options: Any) -> Settings:
    """The options of an evaluation, with the benchmark's constants unless others are given.

    Raises:
        InputError: an option has no effect with the others.
    """
    from dataclasses import replace

    from eval.evaluation import BENCHMARKS, Settings

    task, raw, by_py_rouge = options["task"], options["raw"], options["scorer"] == "py-rouge"
    if (rate := constants.get("duplicate_rate")) is not None and not 0 <= rate <= 1:
        raise InputError(f"--duplicate-rate: must be from 0 to 1, found {rate}")
    plain = task in ("generic", "captions")
    uncut = raw or task == "qg" or plain
    for option, unused, use in (
        ("--scorer py-rouge", by_py_rouge and task == "captions", "texts, not captions"),
        ("--scorer py-rouge", by_py_rouge and task == "qg", "every task but qg"),
        ("--no-stem", not options["stem"] and task == "captions", "texts, not captions"),
        ("--no-stem", not options["stem"] and (by_py_rouge or task == "qg"), "--scorer rouge-score, not --task qg"),
        ("--tokenize", options["tokenize"] != "auto" and (by_py_rouge or task != "generic"), "BLEU of --task generic"),
        ("--trunc-len", "trunc_len" in constants and uncut, "xsum, cnndm and gigaword, not --raw"),
        ("--duplicate-rate", rate is not None and (raw or task != "cnndm"), "cnndm, not --raw"),
        ("--lead-words", "lead_words" in constants and not options["with_lead"], "--with-lead"),
        ("--raw", raw and plain, f"the benchmarks; {task} takes ordinary text"),
    ):
        if unused:
            raise InputError(f"{option} changes nothing here; it is for {use}")
    return Settings(benchmark=replace(BENCHMARKS[task], **constants), **options)
