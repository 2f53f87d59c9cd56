"""Voice presets of VibeVoice-Realtime, see `VoicePreset`.

Released presets are pickles of transformers' classes (.pt). They are read without running any code of theirs: stand-ins
take the content, and everything else is refused. The same tensors in a safetensors file are read too.
"""

from __future__ import annotations

import io
import pickle
import re
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from latent.models.vibevoice_realtime import VoicePreset
from s2s.durable import write_whole
from s2s.errors import InputError

_PARTS = ("lm", "tts_lm", "neg_tts_lm")
_EXPECTED = "expected a voice preset of VibeVoice-Realtime (.pt or .safetensors)"


class _Cache:
    """Replaces the caches of transformers, and their layers."""


def _output(*fields: Any) -> OrderedDict[str, Any]:
    """Replaces the outputs of models of transformers."""
    return OrderedDict(zip(("last_hidden_state", "past_key_values"), fields, strict=False))


_OF_VIBEVOICE = ("modeling_vibevoice", "modeling_vibevoice_streaming", "modeling_vibevoice_streaming_inference")
_CLASSES: list[Any] = [
    *((_Cache, f"transformers.cache_utils.{name}") for name in ("DynamicCache", "DynamicLayer")),
    *((_output, f"transformers.modeling_outputs.{name}WithPast") for name in ("BaseModelOutput", "CausalLMOutput")),
    *((_output, f"vibevoice.modular.{module}.VibeVoiceCausalLMOutputWithPast") for module in _OF_VIBEVOICE),
]
"""Stand-ins by the names of the classes in released presets; the same classes moved between modules."""


def looks_like_preset(content: bytes) -> bool:
    """Whether a file is of a kind that presets have: a pickle in a ZIP archive, or safetensors."""
    return content.startswith(b"PK") or content[8:9] == b"{"


def read_preset(content: bytes, where: str, device: torch.device, dtype: torch.dtype) -> VoicePreset:
    """A preset from the content of a file, on the device and in the type of a model; `where` names it in messages.

    Raises:
        InputError: the file is not a voice preset.
    """
    try:
        tensors = preset_tensors(content, where)
        return VoicePreset.named({name: tensor.to(device, dtype) for name, tensor in tensors.items()})
    except (TypeError, IndexError) as error:
        raise InputError(f"{where}: {_EXPECTED}") from error
    except InputError as error:
        raise InputError(f"{where}: {str(error).removeprefix(f'{where}: ')}") from error


def preset_tensors(content: bytes, where: str) -> dict[str, Tensor]:
    """The tensors of a preset as `VoicePreset.named` takes them; errors as for `read_preset`."""
    try:
        if content.startswith(b"PK"):  # torch writes zip files
            with torch.serialization.safe_globals(_CLASSES):
                stored = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
            return _named(stored)
        tensors: dict[str, Tensor] = safetensors.torch.load(content)
        return tensors
    except pickle.UnpicklingError as error:
        found = re.search(r"(?:GLOBAL|global|class) ([\w.]+)", str(error))
        code = f", found code: {found[1]}, which was not run" if found else ""
        raise InputError(f"{where}: {_EXPECTED}{code}") from error
    except (SafetensorError, RuntimeError, LookupError, TypeError, AttributeError) as error:
        raise InputError(f"{where}: {_EXPECTED}") from error


def convert_preset(source: Path, output: Path) -> int:
    """Write a preset as safetensors, whose tensors are those of the source; returns how many.

    Raises:
        InputError: the source is not a voice preset, or a file cannot be read or written.
    """
    try:
        content = source.read_bytes()
    except OSError as error:
        raise InputError(f"{source}: cannot be read: {error.strerror}") from error
    tensors = preset_tensors(content, str(source))
    VoicePreset.named(tensors)
    save_preset(tensors, output)
    return len(tensors)


def save_preset(tensors: Mapping[str, Tensor], output: Path) -> None:
    """Write the tensors of a preset to a .safetensors file; raises InputError if it cannot be written."""
    if output.suffix != ".safetensors":
        raise InputError(f"{output}: the suffix must be .safetensors, found {output.suffix!r}")
    write_whole(output, safetensors.torch.save({name: tensor.contiguous() for name, tensor in tensors.items()}))


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
