"""Fine-tuned VibeVoice weights as others read them: a whole checkpoint in the layout of its base, or parts of one.

Programs for VibeVoice that load adapters look for `diffusion_head_full.bin`, `acoustic_connector/pytorch_model.bin` and
`semantic_connector/pytorch_model.bin` beside the files of `peft`.

Source: `vibevoice-community/VibeVoice: vibevoice/modular/lora_loading.py`.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from latent.models.families import family_of
from latent.models.keymaps import (
    Weights,
    above,
    connector_names,
    head_names,
    language_model_names,
    listening_name,
    repository_name,
    transformers_name,
    under,
)
from latent.models.latent_lm import LatentLM
from s2s.checkpoint import read_tensors, weight_files
from s2s.durable import writing
from s2s.errors import InputError

_PARTS = {
    "head": ("diffusion_head_full.bin", "model.prediction_head."),
    "connector": ("acoustic_connector/pytorch_model.bin", "model.acoustic_connector."),
    "semantic_connector": ("semantic_connector/pytorch_model.bin", "model.semantic_connector."),
}
_FACTORS = {"latent_scale": "model.latent_scaling_factor", "latent_bias": "model.latent_bias_factor"}


def write_parts(parts: Mapping[str, Weights], folder: Path) -> None:
    """Write diffusion head and connectors, under the names of VibeVoice's repository.

    Raises:
        InputError: they cannot be written.
    """
    with writing(folder):
        for name, weights in parts.items():
            file, prefix = _PARTS[name]
            public = {repository_name(key): tensor for key, tensor in _public({name: weights}).items()}
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            torch.save(
                {key: tensor.detach().cpu().clone() for key, tensor in under(public, prefix).items()}, folder / file
            )


def write_checkpoint(base: Path, weights: Weights, config: LatentLM.Config, folder: Path) -> None:
    """Write a copy of a checkpoint with other weights of the language model, head and connectors, in float32.

    Half precision would round off much of a small change.

    Args:
        base: The checkpoint; its other weights and files are copied.
        weights: Of a `VibeVoiceLanguage`.
        config: Of the same.
        folder: The folder to write.

    Raises:
        InputError: the folder is not empty, or cannot be written.
    """
    if folder.is_dir() and any(folder.iterdir()):
        raise InputError(f"{folder}: holds files already; choose another folder")
    changed = public_names(weights, config)
    files, left = weight_files(base), set(changed)
    listens = family_of(base) in ("vibevoice_asr", "vibevoice_asr_streaming")
    public_name = listening_name if listens else transformers_name
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for file in files:
            tensors = read_tensors(file)
            for name, old in tensors.items():
                if (new := changed.get(public_name(name))) is not None:
                    left.discard(public_name(name))
                    if not torch.equal(new, old.to(new.dtype)):
                        tensors[name] = new.contiguous()
            save_file(tensors, folder / file.name, metadata={"format": "pt"})
        for other in base.iterdir():
            if other.is_file() and other not in files and not other.name.startswith("."):
                shutil.copyfile(other, folder / other.name)
    if config.tie_embeddings:
        left.discard("lm_head.weight")
    if listens:
        left -= set(_FACTORS.values())  # it reads latents as they are
    if left:
        raise InputError(f"{base}: has no place for {min(left)!r}")


def public_names(weights: Weights, config: LatentLM.Config) -> Weights:
    """The weights of a `VibeVoiceLanguage` under the names of `transformers`."""
    parts = {name: under(weights, f"{name}.") for name in _PARTS}
    rest = {name: tensor for name, tensor in weights.items() if name.partition(".")[0] not in parts}
    named = _public({name: own for name, own in parts.items() if own}) | {
        _FACTORS[name]: rest.pop(name) for name in _FACTORS
    }
    scores = rest.pop("scores.weight", None)
    shared = config.hidden_size // config.num_heads * config.num_kv_heads
    language = language_model_names(rest, (config.hidden_size, shared, shared))
    named["lm_head.weight"] = language["embed_tokens.weight"] if scores is None else scores
    return named | above({"model.language_model": language})


def _public(parts: Mapping[str, Mapping[str, Tensor]]) -> Weights:
    """Weights of head and connectors under the names of `transformers`."""
    places = {"connector": "model.multi_modal_projector", "semantic_connector": "model.semantic_connector"}
    named = {"model.diffusion_head": head_names(parts["head"])} if "head" in parts else {}
    return above(named | {place: connector_names(parts[name]) for name, place in places.items() if name in parts})
