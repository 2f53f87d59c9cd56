"""Writing a model for other software: a folder that `transformers.BertForMaskedLM.from_pretrained` reads."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from s2s.errors import InputError
from s2s.models.pretrained import SIZES
from s2s.models.unilm import UniLM

_ACTIVATIONS = {"gelu": "gelu", "gelu_tanh": "gelu_pytorch_tanh", "relu": "relu", "silu": "silu"}
_NOT_BERTS = ("embedding_size", "relative_buckets", "max_relative_distance")


def save_bert_folder(model: UniLM, folder: Path) -> None:
    """Write config.json and model.safetensors with BERT's names; the tokenizer's files are the caller's.

    Raises:
        InputError: BERT has no such part as the model's relative position bias or embedding projection; or the folder
            cannot be written.
    """
    config = model.config
    if model.relative_bias is not None:
        raise InputError(f"{folder}: a model with model.relative_buckets={config.relative_buckets} is not a BERT")
    if model.embeddings.project is not None:
        raise InputError(f"{folder}: a model with model.embedding_size={config.embedding_size} is not a BERT")
    state = {name: tensor.contiguous() for name, tensor in model.bert_state().items()}
    if model.embeddings.segments is None:
        state["bert.embeddings.token_type_embeddings.weight"] = torch.zeros(1, config.hidden_size)
    sizes = {theirs: getattr(config, ours) for ours, theirs in SIZES.items() if ours not in _NOT_BERTS}
    sizes |= {"type_vocab_size": max(1, config.num_segments), "hidden_act": _ACTIVATIONS[config.activation]}
    described = {"model_type": "bert", "architectures": ["BertForMaskedLM"], **sizes}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8")
        save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    except (OSError, SafetensorError) as error:
        raise InputError(f"{folder}: the model cannot be written: {error}") from error
