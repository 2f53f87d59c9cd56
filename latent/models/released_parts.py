"""Parts of released VibeVoice checkpoints that are used alone: the two encoders of audio."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch

from latent.models.checkpoints import asr_config, asr_state, vibevoice_config, vibevoice_state
from latent.models.families import NAMES, family_of
from latent.models.keymaps import Weights, listening_name, under
from latent.models.sigma_vae import SigmaVAE
from latent.nn.codec import AudioEncoder
from s2s.errors import InputError
from s2s.json_files import read_object
from s2s.models.pretrained import locate, read_state


class Encoders(NamedTuple):
    """The acoustic and the semantic encoder of a checkpoint, the options of the first, the outputs of the second."""

    acoustic: AudioEncoder
    semantic: AudioEncoder
    config: SigmaVAE.Config
    semantic_size: int


def load_encoders(checkpoint: str, device: str | torch.device = "cpu") -> Encoders:
    """The encoders of a VibeVoice or a VibeVoice-ASR, in float32.

    Raises:
        InputError: it is no such checkpoint, or is damaged.
    """
    folder = locate(checkpoint)
    given, where = read_object(folder / "config.json"), str(folder / "config.json")
    family = family_of(folder)
    try:
        if family == "vibevoice":
            spoken = vibevoice_config(given, where)
            codecs, weights = (spoken.acoustic, spoken.semantic), vibevoice_state(read_state(folder), spoken)
            weights = {name.replace("acoustic.encoder.", "acoustic."): tensor for name, tensor in weights.items()}
        elif family == "vibevoice_realtime":
            raise InputError(f"{folder}: is {NAMES[family]}, whose encoders were not released")
        else:
            heard = asr_config(given, where)
            named = {listening_name(name): tensor for name, tensor in read_state(folder).items()}
            codecs, weights = (heard.acoustic, heard.semantic), asr_state(named, heard)
    except KeyError as error:
        raise InputError(f"{folder}: the weights lack {error.args[0]!r}") from error
    acoustic = _filled(folder, codecs[0], under(weights, "acoustic.")).to(device)
    semantic = _filled(folder, codecs[1], under(weights, "semantic.")).to(device)
    return Encoders(acoustic, semantic, codecs[0], codecs[1].latent_size)


def _filled(folder: Path, config: SigmaVAE.Config, weights: Weights) -> AudioEncoder:
    with torch.device("meta"):
        encoder = AudioEncoder(config.sizes(config.depths))
    own = {name: tensor.float() for name, tensor in weights.items() if name in encoder.state_dict()}
    try:
        encoder.load_state_dict(own, assign=True)
    except RuntimeError as error:
        raise InputError(f"{folder}: weights do not fit config.json: {str(error).splitlines()[1].strip()}") from error
    return encoder.eval().requires_grad_(False)
