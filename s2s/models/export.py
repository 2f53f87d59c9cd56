"""Export: a folder for `transformers`, or for s2s-ft (BERT, and UniLM v2 if there is a relative position bias)."""

from __future__ import annotations

from pathlib import Path

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
from s2s.models.families import ROWS_FOR_PADDING, config_of, family_for
from s2s.models.keymaps import into_family_names
from s2s.models.unilm import UniLM


def save_bert_folder(model: Model, folder: Path) -> None:
    """Write config.json and the weights in model.safetensors and, for s2s-ft, in pytorch_model.bin.

    They are those of a BERT, or of the family whose layout holds what the model has (`families.family_for`).

    Raises:
        InputError: the model is not a UniLM or has an embedding projection; the folder is a run or cannot be written.
    """
    refuse_run(folder)
    if isinstance(model, Electra):
        model = model.discriminator
    if not isinstance(model, UniLM):
        raise InputError(f"{folder}: only a UniLM can be written as a BERT, found a {type(model).__name__}")
    config = model.config
    if model.tags is not None:
        raise InputError(f"{folder}: a model that reads features of tokens is not a BERT")
    if model.embeddings.project is not None:
        raise InputError(f"{folder}: a model with model.embedding_size={config.embedding_size} is not a BERT")
    family = family_for(config)
    state = {name: tensor.contiguous() for name, tensor in into_family_names(model.bert_state(), family).items()}
    if family in ("bert", "unilm") and model.embeddings.segments is None:
        state["bert.embeddings.token_type_embeddings.weight"] = torch.zeros(1, config.hidden_size)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text(dump_json(config_of(config, family), indent=2) + "\n", encoding="utf-8")
        save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
        _save_pickle(state, folder / "pytorch_model.bin")
    except (OSError, SafetensorError) as error:
        raise InputError(f"{folder}: the model cannot be written: {error}") from error


def save_tokenizer(tokenizer: Tokenizer, folder: Path) -> None:
    """Write the tokenizer's files into the model's folder, and the id of its pad token into config.json."""
    path = folder / "config.json"
    config = read_object(path) | {"pad_token_id": tokenizer.special.pad}
    try:
        length = config["max_position_embeddings"] - ROWS_FOR_PADDING.get(config["model_type"], 0)
        tokenizer.export(folder, length, config["type_vocab_size"])
        path.write_text(dump_json(config, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise InputError(f"{folder}: the tokenizer cannot be written: {error}") from error


def _save_pickle(state: dict[str, Tensor], path: Path) -> None:
    try:
        torch.save(state, path)
    except RuntimeError as error:  # what torch.save raises where the disk is full
        raise OSError(reason_of(error)) from error
