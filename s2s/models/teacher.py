"""The teacher of a distillation: a checkpoint of the student's vocabulary, as a frozen model."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from s2s.config import parse_section
from s2s.data.tokenizer import Tokenizer
from s2s.errors import ConfigError, InputError
from s2s.models.pretrained import files_of
from s2s.models.unilm import UniLM

logger = logging.getLogger(__name__)


def load_teacher(
    checkpoint: str, tokenizer: Tokenizer, sizes: Mapping[str, int], token_map: Mapping[str, str] | None = None
) -> UniLM:
    """The model of a run, a checkpoint, or a name on the hub, in evaluation mode, with the vocabulary of a tokenizer.

    A vocabulary with other ids, or with more tokens, is brought into the order of the tokenizer, and the rest is cut.

    Args:
        tokenizer: That of the student's task.
        sizes: `Task.model_defaults` of that task; the teacher's table of positions is repeated as far as it needs.
        token_map: What the teacher calls some tokens of the tokenizer; it has the others under the same name.

    Raises:
        InputError: the checkpoint cannot be read, or is of no supported family; or it lacks a token.
    """
    with _named():
        theirs = Tokenizer.load(checkpoint)
    names = _names(theirs, tokenizer, token_map or {})
    with _named():
        ids = _ids_of(names, theirs, tokenizer)
        needed = {name: sizes[name] for name in ("num_positions", "num_segments") if name in sizes}
        section = parse_section(UniLM.Config, {"init": checkpoint}, "model")
        teacher = UniLM(UniLM.resolve(section, {"vocab_size": theirs.vocab_size, **needed}))
        teacher.initialize()
    if ids != list(range(theirs.vocab_size)):
        logger.info(f"teacher: {len(ids):,} of its {theirs.vocab_size:,} tokens are those of the task")
    teacher.keep_tokens(ids)  # also without the spare rows that some tables have
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


def _names(theirs: Tokenizer, ours: Tokenizer, token_map: Mapping[str, str]) -> list[str]:
    """What the teacher calls each token of ours; ConfigError if the map names no token, or one for two."""
    tokens, known = ours.tokens(range(ours.vocab_size)), set(theirs.tokens(range(theirs.vocab_size)))
    for token, name in token_map.items():
        if token not in tokens:
            raise ConfigError(f"criterion.token_map: {token!r} is no token of the task's vocabulary")
        if name not in known:
            raise ConfigError(f"criterion.token_map: {name!r}, for {token!r}, is no token of {theirs.name}")
    names = {token: token_map.get(token, token) for token in tokens}
    takers = {name: token for token, name in names.items()}
    for token, name in names.items():
        if takers[name] != token:
            raise ConfigError(
                f"criterion.token_map: {token!r} and {takers[name]!r} cannot both be {name!r} of the teacher"
            )
    return list(names.values())


def _ids_of(names: Sequence[str], theirs: Tokenizer, ours: Tokenizer) -> list[int]:
    """The teacher's ids of tokens; InputError if it lacks one."""
    known = {token: id for id, token in enumerate(theirs.tokens(range(theirs.vocab_size)))}
    for id, name in enumerate(names):
        if name not in known:
            raise _lacking(theirs, ours, id)
    return [known[name] for name in names]


def _lacking(theirs: Tokenizer, ours: Tokenizer, id: int) -> InputError:
    (own,) = ours.tokens([id])
    if theirs.vocab_size != ours.vocab_size:
        return InputError(
            f"{theirs.name}: must have the vocabulary of the task ({ours.vocab_size} items), found one of "
            f"{theirs.vocab_size} items without {own!r}; criterion.token_map says what it calls a token"
        )
    (found,) = theirs.tokens([id])
    return InputError(
        f"{theirs.name}: must have the vocabulary of the task, whose item {id} is {own!r}, found {found!r}; "
        "criterion.token_map says what it calls a token"
    )
