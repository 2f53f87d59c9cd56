"""The verb of pictures: draw. It parses, calls, and prints."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unilatent import completion
from unilatent.commands.text import TrustImports


def draw(
    run: Annotated[
        str,
        typer.Argument(
            metavar="RUN",
            autocompletion=completion.runs,
            help="Run folder of the task image_generation or image_and_text, or its name on the hub.",
        ),
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="KEY.PATH=VALUE",
            autocompletion=completion.speaking_keys,
            help="Options of the decoder, `decoder.guidance_scale=1.5`.",
        ),
    ] = None,
    text: Annotated[str | None, typer.Option(help="What to draw, into one file.")] = None,
    input: Annotated[
        str | None,
        typer.Option(
            "--input",
            help="Records to draw, one file each: `text`, and optionally `id`, `seed`, `temperature`. JSON lines, CSV, "
            "Parquet or plain text, also compressed; `-` is standard input.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", help="A .png file; with --input a folder.", show_default="drawing.png; with --input drawings"
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**63 - 1, help="The same seed gives the same picture.")] = 0,
    temperature: Annotated[
        float | None,
        typer.Option(min=0, help="Below 1: less variation.", show_default="decoder.temperature of the run"),
    ] = None,
    sheet: Annotated[bool, typer.Option("--sheet", help="Write OUTPUT/sheet.png too, with all pictures.")] = False,
    checkpoint: Annotated[
        str | None, typer.Option(help="A step or a safetensors file, instead of the best weights.")
    ] = None,
    max_rows: Annotated[int, typer.Option(min=1, help="Maximum batch size.")] = 16,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Start over if the output exists.")] = False,
    trust_imports: TrustImports = False,
) -> None:
    """Draw a text, or the records of a file.

    The same command continues a job that was killed. A record that cannot be drawn is noted in OUTPUT/errors.jsonl and
    does not stop the others. Every file says in its metadata that it is synthetic.
    """
    from latent.drawing.files import draw_records, draw_text, read_drawing_requests
    from latent.drawing.painter import Painter
    from s2s.durable import refuse_inputs, resumable
    from s2s.errors import InputError
    from s2s.ranks import join_ranks

    if (text is None) == (input is None):
        raise InputError("draw: give one of --text and --input")
    if sheet and input is None:
        raise InputError("--sheet: is for the pictures of --input")
    output = output or Path("drawing.png" if input is None else "drawings")
    refuse_inputs(output, [input])
    with join_ranks(device) as ranks, resumable():
        if ranks.size > 1 and input in (None, "-"):
            raise InputError("draw: several processes share the records of a file; give it by --input")
        painter = Painter.open(run, device=ranks.device, overrides=overrides or [], checkpoint_name=checkpoint)
        if input is None:
            draw_text(painter, text or "", output, seed, temperature, overwrite)
            typer.echo(f"{output}: 1 picture", err=True)
            return
        records = read_drawing_requests(painter, input, seed, temperature)
        options = {"max_rows": max_rows, "overwrite": overwrite, "sheet": sheet}
        summary = draw_records(painter, records, output, ranks, **options)  # type: ignore[arg-type]
        if ranks.first:
            typer.echo(f"{output}: {summary}", err=True)
    if not (summary.files or summary.kept):
        raise typer.Exit(1)
