"""The verbs of the command line: a table with a line about each. Only the one that is asked for is imported."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

from s2s.errors import InputError, shown
from s2s.registry import nearest
from unilatent.siblings import clash

VERBS = {
    "init": ("init:init", "Look at your data and write a first configuration."),
    "train": ("text:train", "Train a model; the same command continues a run."),
    "decode": ("text:decode", "Generate an output for every line of a file."),
    "join": ("join:join", "Join what the tasks of a job array wrote, by --shard."),
    "rerank": ("text:rerank", "Choose again among the outputs of a beam search."),
    "encode": ("speech:encode", "Encode recordings or pictures, to train on their latents."),
    "synthesize": ("speech:synthesize", "Speak a text, the lines of a file, or a script."),
    "draw": ("pictures:draw", "Draw a text, or the lines of a file."),
    "compose": ("melodies:compose", "Write a melody for lyrics."),
    "render": ("melodies:render", "Write a song as MIDI, sound, picture or JSON lines."),
    "transcribe": ("listening:transcribe", "Write down what is said in recordings, or while it is said."),
    "serve": ("serve:serve", "Answer requests over HTTP, with models that stay loaded."),
    "evaluate": ("evaluate:app", "Score text or speech; draw learning curves."),
    "prepare": ("prepare:app", "Make training data from a corpus or a file format."),
    "configs": ("configs:app", "List, show and copy what comes with unilatent."),
    "options": ("describing:options", "Explain the options of a configuration."),
    "show": ("describing:show", "Print the configuration, size and losses of a run."),
    "average": ("text:average", "Average the weights of several checkpoints."),
    "convert": ("convert:convert", "Export a run for `transformers` and s2s-ft."),
    "merge": ("merge:merge", "Join adapters and the model that they change."),
    "trim": ("trim:trim", "Make a run smaller: vocabulary and precision."),
    "push": ("push:push", "Upload a run to the hub, with a model card."),
    "fairseq-plugin": ("text:fairseq_plugin", "Print the folder for `--user-dir` of fairseq."),
    "provenance": ("speech:provenance", "Print where audio files come from."),
}
"""Verb: where it is below `unilatent.commands`, and its line in the list of verbs."""
GROUP = "unilatent.commands"
"""The package of our verbs; entry points of a group of this name are verbs from outside this distribution."""


class Verbs(TyperGroup):
    """The group of all verbs. Lists and completion of names show stand-ins, which import nothing."""

    def list_commands(self, ctx: Any) -> list[str]:
        """The names of all verbs, in the order of the table."""
        return [*VERBS, *sorted(_outside())]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """A stand-in with the line about the verb."""
        if cmd_name in VERBS:
            return _command(cmd_name, lambda: None, VERBS[cmd_name][1])
        if cmd_name in (outside := _outside()):
            return _command(cmd_name, lambda: None, f"From outside unilatent: {outside[cmd_name].value}.")
        return None

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The verb itself, imported now; InputError with the nearest name if there is none."""
        known = VERBS if args[0] in VERBS else self.list_commands(ctx)
        if args[0] not in known and not ctx.resilient_parsing:
            raise InputError(f"no verb is called {shown(args[0])}{nearest(args[0], known)}")
        name, stand_in, rest = super().resolve_command(ctx, args)
        return name, None if stand_in is None else _command(args[0], verb_of(args[0])), rest


def verb_of(name: str) -> Any:
    """The function or the application of a verb; InputError if it cannot be imported."""
    try:
        if name not in VERBS:
            return _outside()[name].load()
        module, _, attribute = VERBS[name][0].partition(":")
        return getattr(import_module(f"{GROUP}.{module}"), attribute)
    except (ImportError, AttributeError) as error:
        raise InputError(clash() or f"{name}: this verb cannot be imported: {error}") from error


def _command(name: str, verb: Any, help: str | None = None) -> Any:
    """The command of a function, or the group of an application."""
    app = typer.Typer(rich_markup_mode=None)
    app.callback()(lambda: None)
    if isinstance(verb, typer.Typer):
        app.add_typer(verb, name=name)
    else:
        app.command(name, help=help)(verb)
    return typer.main.get_command(app).commands[name]  # type: ignore[attr-defined]


def _outside() -> dict[str, Any]:
    from importlib.metadata import entry_points

    return {entry.name: entry for entry in entry_points(group=GROUP) if entry.name not in VERBS}
