"""The verbs of melodies: compose and render. Each parses, calls, and prints."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unilatent import completion
from unilatent.commands.text import KEY_VALUE, Checkpoint, Device, TrustImports

if TYPE_CHECKING:
    from s2s.data.song import Song

Outputs = Annotated[
    list[Path],
    typer.Option("--output", help="File to write: .mid, .wav, .png, .svg or .jsonl; repeat for more."),
]
Tempo = Annotated[float, typer.Option(min=10, max=400, help="Beats per minute.")]


def compose(
    run: Annotated[
        str,
        typer.Argument(
            metavar="RUN",
            help="Run folder of the task melody_from_lyrics, or its name on the hub.",
            autocompletion=completion.runs,
        ),
    ],
    lyrics: Annotated[
        Path, typer.Argument(help="Text with a line of lyrics on each line, in syllables: Twin-kle lit-tle star.")
    ],
    output: Outputs,
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            metavar=KEY_VALUE,
            help="Options of the decoder, such as `decoder.seed=2`.",
            show_default=False,
            autocompletion=completion.decoding_keys,
        ),
    ] = None,
    hyphenate: Annotated[
        str | None, typer.Option(metavar="LANGUAGE", help="Divide words into syllables as this language does: en, de.")
    ] = None,
    tempo: Tempo = 90,
    checkpoint: Checkpoint = None,
    device: Device = "auto",
    trust_imports: TrustImports = False,
) -> None:
    """Write a melody for lyrics, line by line, each after the notes of the lines before.

    Needs the extra music, except for .jsonl and .wav.
    """
    from s2s.generation.composing import compose as compose_song
    from s2s.generation.composing import read_lyrics
    from s2s.generation.generator import Generator
    from s2s.generation.song_files import check_outputs, write_song

    check_outputs(output, [lyrics])
    lines = read_lyrics(lyrics, hyphenate)
    generator = Generator.load(run, checkpoint, device=device, overrides=overrides or [])
    song = compose_song(generator, lines, tempo)
    _report(song, output)
    write_song(song, output)


def render(
    song: Annotated[Path, typer.Argument(help="A song: .mid with lyrics, or .jsonl with src and tgt on each line.")],
    output: Outputs,
    tempo: Annotated[
        float | None,
        typer.Option(min=10, max=400, help="Beats per minute.", show_default="that of a .mid file, else 90"),
    ] = None,
) -> None:
    """Write a song in other forms: MIDI with lyrics, sound, a picture, or JSON lines, which training reads."""
    from s2s.generation.song_files import check_outputs, read_song, write_song

    check_outputs(output, [song])
    read = read_song(song, tempo)
    _report(read, output)
    write_song(read, output)


def _report(song: Song, outputs: list[Path]) -> None:
    syllables, notes = sum(len(line.syllables) for line in song.lines), sum(len(line.notes) for line in song.lines)
    named = ", ".join(map(str, outputs))
    typer.echo(f"{len(song.lines)} lines, {syllables} syllables, {notes} notes, {float(song.beats):g} beats: {named}")
