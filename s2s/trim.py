"""Smaller runs: a vocabulary of the pieces that some texts need, and weights in fewer bits on the disk."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

from torch import Tensor

from s2s import checkpoint
from s2s.config import parse_section, read_tree, write_tree
from s2s.data.records import records
from s2s.data.tokenizer import Tokenizer
from s2s.data.vocabulary import choose_pieces, trimmed
from s2s.decoding.base import Search
from s2s.errors import InputError
from s2s.hub import find_run
from s2s.models.export import save_bert_folder, save_tokenizer
from s2s.models.unilm import UniLM
from s2s.precision import stored
from s2s.run import RunConfig, build_decoder, load_model
from s2s.tasks.base import GenerationTask, Task
from s2s.training.loggers import LOG

_CHUNK = 2048
"""Texts tokenized at a time."""
_NOT_COPIED = (checkpoint.CONFIG, checkpoint.WEIGHTS, LOG, checkpoint.MODEL_CARD)
"""Files of a run folder that are written again, or that describe the untrimmed model."""


@runtime_checkable
class Trimmable(Protocol):
    """A model whose vocabulary can become smaller."""

    def keep_tokens(self, ids: Sequence[int]) -> None:
        """Cut the vocabulary, in place: the token i is the former token `ids[i]`. The scores of those kept stay."""


class Trimmed(NamedTuple):
    """What trimming has changed."""

    pieces_before: int
    pieces: int
    tokens_before: int
    """Tokens of the texts with the whole vocabulary."""
    tokens: int
    """Tokens of the texts with the smaller one: more, where a piece that is gone is written as several."""
    covered: int
    """Tokens, with the whole vocabulary, whose piece is kept."""
    megabytes: float
    """Size of the new folder in 10^6 bytes."""

    def __str__(self) -> str:
        return (
            f"{self.pieces:,} of {self.pieces_before:,} pieces kept; they cover "
            f"{self.covered / self.tokens_before:.2%} of the tokens in the texts, which grow by "
            f"{self.tokens / self.tokens_before - 1:.2%}; {self.megabytes:.1f} MB"
        )


def trim_run(
    run: str | Path,
    output: Path,
    files: Sequence[str],
    size: int | None = None,
    precision: str = "float32",
    checkpoint_name: str | None = None,
) -> Trimmed:
    """Write a run folder whose vocabulary holds only what some texts need; see `s2s.data.vocabulary`.

    The scores (logits) of the kept pieces stay the same. Their probabilities grow by the share that the others had.

    Args:
        run: A run folder whose model is `Trimmable`, the name of a shipped run, or USER/NAME on the hub.
        output: The folder to write; it must not be a run folder.
        files: Records whose texts count, such as the training data; all fields but "id" are read.
        size: Maximum number of pieces. Default: all that the texts need.
        precision: One of `s2s.precision.PRECISIONS`, for the weights on the disk. Loading makes them float32 again.
        checkpoint_name: A step or a file (see `s2s.checkpoint.weights_path`); the best weights by default.

    Raises:
        InputError: the run has no vocabulary to trim, a file cannot be read, `size` is too small, or a weight is beyond
            the range of the precision.
    """
    checkpoint.refuse_run(output)
    run = find_run(run)
    config, task, model = load_model(run, checkpoint_name=checkpoint_name)
    if not isinstance(model, Trimmable):
        raise InputError(
            f"{run}: its model, {config.model.name!r}, has no vocabulary that can be trimmed; it must be unilm, "
            "encoder_decoder or recurrent_encoder_decoder"
        )
    before = task.tokenizer
    counts = _count(before, files)
    kept = choose_pieces(before, counts, size, _named_by_decoder(config, task))
    task.tokenizer = trimmed(before, kept)
    model.keep_tokens(kept)
    weights = _stored(checkpoint.named_tensors(model), precision, output)
    _write(config, task, weights, run, output)
    return _summary(before, task.tokenizer, counts, kept, files, output)


def holds_encoder(folder: Path) -> bool:
    """Whether a folder holds weights as other programs write them, not a run."""
    return (folder / "config.json").is_file() and not (folder / checkpoint.CONFIG).exists()


def trim_encoder(folder: Path, output: Path, files: Sequence[str], size: int | None = None) -> Trimmed:
    """Write a folder like that of `convert`, with the weights of an encoder and a vocabulary that some texts need.

    Args:
        folder: An encoder of a supported family, as other programs write it.
        output: The folder to write; neither a run folder nor `folder`.
        files: As for `trim_run`.
        size: As for `trim_run`.

    Raises:
        InputError: the encoder or a file cannot be read, or `size` is too small.
    """
    checkpoint.refuse_run(output)
    if output.resolve() == folder.resolve():
        raise InputError(f"{output}: is the encoder itself, whose files would be replaced; choose another folder")
    before = Tokenizer.load(folder)
    section = parse_section(UniLM.Config, {"init": str(folder)}, "model")
    model = UniLM(UniLM.resolve(section, {"vocab_size": before.vocab_size}))
    model.initialize()
    counts = _count(before, files)
    kept = choose_pieces(before, counts, size)
    after = trimmed(before, kept)
    model.keep_tokens(kept)
    save_bert_folder(model, output)
    save_tokenizer(after, output)
    return _summary(before, after, counts, kept, files, output)


def store_run(run: str | Path, output: Path, precision: str, checkpoint_name: str | None = None) -> float:
    """Write any run folder with its weights in another precision, and the audio tokenizer in it likewise.

    Args and errors are those of `trim_run`; returns the size of the new folder in 10^6 bytes.
    """
    checkpoint.refuse_run(output)
    run = find_run(run)
    if not (configs := sorted(run.rglob(checkpoint.CONFIG))):
        raise InputError(f"{run}: not a run folder, it holds no {checkpoint.CONFIG}")
    for config in configs:
        part, target = config.parent, output / config.parent.relative_to(run)
        weights = checkpoint.read_tensors(checkpoint.weights_path(part, checkpoint_name if part == run else None))
        try:
            _copy_files(part, target)
            checkpoint.write_weights(_stored(weights, precision, output), target / checkpoint.WEIGHTS)
            write_tree(_without_origins(read_tree(config)), target / checkpoint.CONFIG)
        except OSError as error:
            raise InputError(f"{target}: cannot be written: {error.strerror}") from error
    return _megabytes(output)


def _count(tokenizer: Tokenizer, files: Iterable[str]) -> Counter[int]:
    """How often each piece occurs."""
    counts: Counter[int] = Counter()
    texts = chain.from_iterable(map(_texts, files))
    while chunk := list(islice(texts, _CHUNK)):
        counts.update(chain.from_iterable(tokenizer.encode_many(chunk)))
    if not counts:
        raise InputError(
            f"{', '.join(files)}: no text in any field; expected the texts that the vocabulary should cover"
        )
    return counts


def _texts(file: str) -> Iterator[str]:
    for _, record in records(file):
        for field, value in record.items():
            if field != "id" and isinstance(value, str):
                yield value


def _named_by_decoder(config: RunConfig, task: Task) -> set[int]:
    """The pieces that the run's decoder names, in a forced prefix, say."""
    named: set[int] = set()

    def look_up(token: str) -> int:
        named.add(task.tokenizer.token_id(token))
        return task.tokenizer.token_id(token)

    if isinstance(task, GenerationTask):
        build_decoder(config, Search, look_up)  # type: ignore[type-abstract]
    return named


def _summary(
    before: Tokenizer, after: Tokenizer, counts: Counter[int], kept: Sequence[int], files: Sequence[str], output: Path
) -> Trimmed:
    return Trimmed(
        pieces_before=before.vocab_size,
        pieces=len(kept),
        tokens_before=counts.total(),
        tokens=_count(after, files).total(),
        covered=sum(counts[id] for id in kept),
        megabytes=_megabytes(output),
    )


def _write(config: RunConfig, task: Task, weights: dict[str, Tensor], run: Path, output: Path) -> None:
    """Write the new run folder; the configuration comes last, so an incomplete folder is not taken for a run."""
    tree = _without_origins(config.tree())
    made = {"vocab_size": task.tokenizer.vocab_size, "init": None}
    tree["model"] |= {option: value for option, value in made.items() if option in tree["model"]}
    try:
        _copy_files(run, output)
        task.tokenizer.save(output)
        checkpoint.write_weights(weights, output / checkpoint.WEIGHTS)
        write_tree(tree, output / checkpoint.CONFIG)
    except OSError as error:
        raise InputError(f"{output}: cannot be written: {error.strerror}") from error


def _without_origins(tree: dict[str, Any]) -> dict[str, Any]:
    """A configuration that names no other folder for what its own one holds: the tokenizer, and layers of a teacher."""
    left_out = {"task": {"tokenizer"}, "model": {"like", "layers_from"}}
    kept = dict(tree)
    for section in left_out.keys() & tree.keys():
        kept[section] = {name: value for name, value in tree[section].items() if name not in left_out[section]}
    return kept


def _stored(weights: Mapping[str, Tensor], precision: str, output: Path) -> dict[str, Tensor]:
    try:
        return stored(weights, precision)
    except InputError as error:
        raise InputError(f"{output}: {error}") from error


def _copy_files(run: Path, output: Path) -> None:
    """Copy what stays as it is: files, and the folders of networks that other programs write."""
    output.mkdir(parents=True, exist_ok=True)
    for file in run.iterdir():
        if file.is_file() and file.name not in _NOT_COPIED and not file.name.startswith("."):
            shutil.copyfile(file, output / file.name)
        elif holds_encoder(file):
            shutil.copytree(file, output / file.name, dirs_exist_ok=True)


def _megabytes(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6
