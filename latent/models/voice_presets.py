"""Voice presets of VibeVoice-Realtime, see `VoicePreset`.

Released presets are pickles of transformers' classes (.pt). They are read without running any code of theirs: stand-ins
take the content, and everything else is refused. The same tensors in a safetensors file are read too.
"""

from __future__ import annotations

import io
import pickle
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from latent.models.vibevoice_realtime import VoicePreset
from s2s.errors import InputError

_PARTS = ("lm", "tts_lm", "neg_tts_lm")


class _Cache:
    """Replaces the caches of transformers, and their layers."""


def _output(*fields: Any) -> OrderedDict[str, Any]:
    """Replaces the outputs of models of transformers."""
    return OrderedDict(zip(("last_hidden_state", "past_key_values"), fields, strict=False))


_CLASSES: list[Any] = [
    *((_Cache, f"transformers.cache_utils.{name}") for name in ("DynamicCache", "DynamicLayer")),
    *((_output, f"transformers.modeling_outputs.{name}WithPast") for name in ("BaseModelOutput", "CausalLMOutput")),
]


def read_preset(content: bytes, where: str, device: torch.device, dtype: torch.dtype) -> VoicePreset:
    """A preset from the content of a file, on the device and in the type of a model; `where` names it in messages.

    Raises:
        InputError: the file is not a voice preset.
    """
    try:
        if content.startswith(b"PK"):  # torch writes zip files
            with torch.serialization.safe_globals(_CLASSES):
                tensors = _named(torch.load(io.BytesIO(content), map_location="cpu", weights_only=True))
        else:
            tensors = safetensors.torch.load(content)
        return VoicePreset.named({name: tensor.to(device, dtype) for name, tensor in tensors.items()})
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, LookupError, TypeError, AttributeError) as error:
        raise InputError(f"{where}: expected a voice preset of VibeVoice-Realtime (.pt or .safetensors)") from error
    except InputError as error:
        raise InputError(f"{where}: {error}") from error


def _named(stored: Mapping[str, Any]) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    for part in _PARTS:
        tensors[f"{part}.last_hidden_state"] = stored[part]["last_hidden_state"]
        cache = vars(stored[part]["past_key_values"])
        if "layers" in cache:  # transformers 5
            pairs = [(layer.keys, layer.values) for layer in cache["layers"]]
        else:
            pairs = list(zip(cache["key_cache"], cache["value_cache"], strict=True))
        for number, (keys, values) in enumerate(pairs):
            tensors |= {f"{part}.k{number}": keys, f"{part}.v{number}": values}
    return tensors
