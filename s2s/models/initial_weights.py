"""What a model takes from a checkpoint: chosen layers, tables of its own sizes, and nothing that it has no place for.

Tensors are under BERT's names, as `s2s.models.pretrained.read_weights` gives them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from s2s.errors import InputError
from s2s.models.pretrained import resize_positions, resize_segments

_WORDS = "bert.embeddings.word_embeddings.weight"
_POSITIONS = "bert.embeddings.position_embeddings.weight"
_SEGMENTS = "bert.embeddings.token_type_embeddings.weight"
_TIED = {"cls.predictions.decoder.weight", "cls.predictions.decoder_weight", "cls.predictions.weight"}
_IN_LAYER = re.compile(r"(bert\.encoder\.layer\.)(\d+)(\..+)")


def fit_tables(state: Mapping[str, Tensor], config: Any) -> dict[str, Tensor]:
    """The checkpoint with its tables resized to the sizes of a `UniLM.Config`."""
    fitted = dict(state)
    if _POSITIONS in state:
        fitted[_POSITIONS] = resize_positions(state[_POSITIONS], config.max_positions)
    if config.num_segments:
        width = config.embedding_size or config.hidden_size
        fitted[_SEGMENTS] = resize_segments(state.get(_SEGMENTS, torch.zeros(1, width)), config.num_segments)
    for name in (_WORDS, "cls.predictions.bias"):
        if name in state:
            fitted[name] = fit_rows(state[name], config.vocab_size, config.initializer_range)
    return fitted


def fit_rows(table: Tensor, rows: int, std: float) -> Tensor:
    """A table of the vocabulary with random rows (in a bias, zeros) for new tokens; the same if it has enough."""
    if len(table) >= rows:
        return table
    new = torch.zeros(rows - len(table), *table.shape[1:])
    if table.dim() == 2:
        nn.init.normal_(new, std=std)
    return torch.cat([table, new])


def layer_numbers(asked: Sequence[int], count: int) -> list[int]:
    """Numbers of layers from 0, of numbers that may count from the last, which is -1; ValueError names a wrong one."""
    for number in asked:
        if not -count <= number < count:
            raise ValueError(f"must be 0 to {count - 1}, or -{count} to -1 from the last, found {number}")
    return [number % count for number in asked]


def choose_layers(state: Mapping[str, Tensor], asked: Sequence[int], where: str) -> dict[str, Tensor]:
    """The checkpoint `where` with only the layers `asked`, counted from 0 again, and everything outside of layers.

    Raises:
        InputError: it has no such layer.
    """
    inside = {name: match for name in state if (match := _IN_LAYER.fullmatch(name))}
    count = 1 + max((int(match[2]) for match in inside.values()), default=-1)
    try:
        numbers = layer_numbers(asked, count)
    except ValueError as error:
        raise InputError(f"{where}: model.layers_from {error}") from error
    chosen = {name: tensor for name, tensor in state.items() if name not in inside}
    for new, old in enumerate(numbers):
        chosen |= {f"{m[1]}{new}{m[3]}": state[name] for name, m in inside.items() if int(m[2]) == old}
    return chosen


def without_others(state: Mapping[str, Tensor], where: str) -> dict[str, Tensor]:
    """The tensors that a model has a place for: no pooler, other head, buffer or copy of a tied weight.

    Raises:
        InputError: the output matrix of the checkpoint `where` differs from the word embeddings.
    """
    words = state.get(_WORDS)
    for name in _TIED & state.keys():
        if words is not None and not torch.equal(state[name], words[: len(state[name])]):
            raise InputError(f"{where}: {name} must equal the word embeddings, since this model ties them")
    return {name: tensor for name, tensor in state.items() if _belongs(name)}


def _belongs(name: str) -> bool:
    if name in _TIED or name == "cls.predictions.decoder.bias" or name.startswith("bert.pooler."):
        return False
    return name.startswith(("bert.", "cls.predictions.")) and not name.endswith(("position_ids", "token_type_ids"))
