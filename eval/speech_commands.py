"""The sub-command `evaluate speech`."""

from __future__ import annotations

from typing import Annotated

import typer

from eval.named_paths import named_paths


def speech(
    manifest: Annotated[str, typer.Option(help="Recordings and texts: JSON lines with id, audio, text.")],
    audio: Annotated[
        list[str] | None, typer.Option(help="Folder of ID.wav, .flac or .ogg, or NAME=FOLDER; repeat to compare.")
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(help="wer, similarity, distillmos, dnsmos, mel, pesq, stoi; repeat. Else all that are installed."),
    ] = None,
    recognizer: Annotated[str, typer.Option(help="whisper, whisper:MODEL or pocketsphinx.")] = "whisper",
    language: Annotated[str, typer.Option(help="Of the texts.")] = "en",
    aligned: Annotated[
        bool, typer.Option("--aligned", help="The audio is a round trip of the recordings: adds PESQ and STOI.")
    ] = False,
    resamples: Annotated[int, typer.Option(min=1, help="Samples for intervals.")] = 1000,
    seed: Annotated[int, typer.Option(help="Of the samples.")] = 0,
    transcripts: Annotated[
        str | None, typer.Option(metavar="FILE", help="Write what was heard: JSON lines with system, id, text, heard.")
    ] = None,
    json_file: Annotated[
        str | None, typer.Option("--json", metavar="FILE", help="Write JSON; - instead of the table.")
    ] = None,
) -> None:
    """Score speech against its texts and recordings, with 95 % bootstrap intervals; the recordings are scored too.

    Without --audio only the recordings are scored: what a perfect voice would reach.
    """
    from eval.report import present
    from eval.speech import SpeechSettings, evaluate_speech

    settings = SpeechSettings(tuple(metric or ()), recognizer, language, aligned, resamples, seed, transcripts)
    report = evaluate_speech(manifest, named_paths("--audio", audio or []), settings)
    present(report, json_file)
