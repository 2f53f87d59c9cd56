"""The verb `init`: a first configuration for one's own data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def init(
    data: Annotated[
        str,
        typer.Argument(help="Training data: a file, a folder or a hub id, as for `task.train`.", show_default=False),
    ],
    output: Annotated[Path, typer.Option(help="The configuration to write.")] = Path("my.yaml"),
    valid: Annotated[
        str | None, typer.Option(help="Validation data. Default: the data's own, or a file beside them.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="The encoder to start from, a folder or a hub id. Default: by the language.")
    ] = None,
    source_field: Annotated[str | None, typer.Option(help="Field that holds the source.")] = None,
    target_field: Annotated[str | None, typer.Option(help="Field that holds the target.")] = None,
) -> None:
    """Look at your data and write a commented configuration that trains as it is."""
    from s2s.durable import check_target, write_whole
    from s2s.errors import InputError
    from s2s.first_config import first_config, survey, validation_of
    from s2s.packages import version_of

    check_target(output)
    if output.exists():
        raise InputError(f"{output}: exists, and may hold your changes; name another --output")
    found = survey(data, source_field, target_field, model)
    written = first_config(found, data, valid or validation_of(data), version_of("rouge-score") is not None)
    write_whole(output, written.encode("utf-8"))
    typer.echo(f"{output}: written; `unilatent train {output} --dry-run` shows what it would do", err=True)
