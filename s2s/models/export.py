"""Export: a folder for `transformers` (BERT) or s2s-ft (BERT, and UniLM v2 if there is a relative position bias)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from s2s.checkpoint import refuse_run
from s2s.data.tokenizer import Tokenizer
from s2s.errors import InputError, reason_of
from s2s.json_files import dump_json, read_object
from s2s.models.base import Model
from s2s.models.electra import Electra
from s2s.models.pretrained import SIZES
from s2s.models.unilm import UniLM

_ACTIVATIONS = {"gelu": "gelu", "gelu_tanh": "gelu_pytorch_tanh", "relu": "relu", "silu": "silu"}
_NOT_BERTS = ("embedding_size", "relative_buckets", "max_relative_distance")


def save_bert_folder(model: Model, folder: Path) -> None:
    """Write config.json and the weights with BERT's names, in model.safetensors and, for s2s-ft, in pytorch_model.bin.

    Raises:
        InputError: the model is not a UniLM or has an embedding projection; the folder is a run or cannot be written.
    """
    refuse_run(folder)
    if isinstance(model, Electra):
        model = model.discriminator
    if not isinstance(model, UniLM):
        raise InputError(f"{folder}: only a UniLM can be written as a BERT, found a {type(model).__name__}")
    config = model.config
    if model.embeddings.project is not None:
        raise InputError(f"{folder}: a model with model.embedding_size={config.embedding_size} is not a BERT")
    state = {name: tensor.contiguous() for name, tensor in model.bert_state().items()}
    if model.embeddings.segments is None:
        state["bert.embeddings.token_type_embeddings.weight"] = torch.zeros(1, config.hidden_size)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text(dump_json(_describe(model), indent=2) + "\n", encoding="utf-8")
        save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
        _save_pickle(state, folder / "pytorch_model.bin")
    except (OSError, SafetensorError) as error:
        raise InputError(f"{folder}: the model cannot be written: {error}") from error


def save_tokenizer(tokenizer: Tokenizer, folder: Path) -> None:
    """Write the tokenizer's files into the model's folder, and the id of its pad token into config.json."""
    path = folder / "config.json"
    config = read_object(path) | {"pad_token_id": tokenizer.special.pad}
    try:
        tokenizer.export(folder, config["max_position_embeddings"], config["type_vocab_size"])
        path.write_text(dump_json(config, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise InputError(f"{folder}: the tokenizer cannot be written: {error}") from error


def _describe(model: UniLM) -> dict[str, Any]:
    """The content of config.json."""
    config = model.config
    sizes = {theirs: getattr(config, ours) for ours, theirs in SIZES.items() if ours not in _NOT_BERTS}
    sizes |= {
        "tie_word_embeddings": True,
        "type_vocab_size": max(1, config.num_segments),
        "hidden_act": _ACTIVATIONS[config.activation],
    }
    if model.relative_bias is None:
        return {"model_type": "bert", "architectures": ["BertForMaskedLM"], **sizes}
    bias = {SIZES[name]: getattr(config, name) for name in ("relative_buckets", "max_relative_distance")}
    return {"model_type": "unilm", **sizes, **bias}


def _save_pickle(state: dict[str, Tensor], path: Path) -> None:
    try:
        torch.save(state, path)
    except RuntimeError as error:  # what torch.save raises where the disk is full
        raise OSError(reason_of(error)) from error
