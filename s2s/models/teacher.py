"""The teacher of a distillation: a checkpoint of the student's vocabulary, as a frozen model."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from s2s.config import parse_section
from s2s.data.tokenizer import Tokenizer
from s2s.errors import InputError
from s2s.models.pretrained import files_of
from s2s.models.unilm import UniLM


def load_teacher(checkpoint: str, tokenizer: Tokenizer, num_positions: int = 0) -> UniLM:
    """The model of a run, a checkpoint, or a name on the hub, in evaluation mode.

    Args:
        tokenizer: That of the student's task.
        num_positions: The most positions that the task needs; the teacher's table is repeated as far as that.

    Raises:
        InputError: the checkpoint cannot be read, or is of no supported family; or its vocabulary is another one.
    """
    with _named():
        _check_vocabulary(Tokenizer.load(checkpoint), tokenizer)
        sizes = {"vocab_size": tokenizer.vocab_size, "num_positions": num_positions}
        teacher = UniLM(UniLM.resolve(parse_section(UniLM.Config, {"init": checkpoint}, "model"), sizes))
        teacher.initialize()
    return teacher.eval().requires_grad_(False)


def teacher_files(checkpoint: str) -> list[Path]:
    """The files with its weights, which must not change during a run; InputError if there are none."""
    with _named():
        return files_of(checkpoint)


@contextlib.contextmanager
def _named() -> Iterator[None]:
    """A block whose errors name the option."""
    try:
        yield
    except InputError as error:
        raise type(error)(f"criterion.teacher: {error}") from error


def _check_vocabulary(theirs: Tokenizer, ours: Tokenizer) -> None:
    if theirs.vocab_size != ours.vocab_size:
        raise InputError(
            f"{theirs.name}: must have the vocabulary of the task ({ours.vocab_size} items), found one of "
            f"{theirs.vocab_size} items"
        )
    ids = range(ours.vocab_size)
    for id, (own, found) in enumerate(zip(ours.tokens(ids), theirs.tokens(ids), strict=True)):
        if own != found:
            raise InputError(
                f"{theirs.name}: must have the vocabulary of the task, whose item {id} is {own!r}, found {found!r}"
            )
