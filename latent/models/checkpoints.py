"""Reading VibeVoice checkpoints: their configuration, and their weights under our names.

A checkpoint is a folder with config.json and safetensors files, or the name of one on the Hugging Face hub. Both
layouts are read: that of VibeVoice's own repository, and that of the `transformers` library.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from pydantic import ValidationError
from torch import Tensor, nn

from latent.diffusion.schedule import Prediction, ScheduleName
from latent.models.keymaps import (
    Weights,
    codec_weights,
    connector_weights,
    language_model_weights,
    speech_weights,
    transformers_name,
    under,
    vibevoice_weights,
)
from latent.models.latent_lm import HeadSection, LatentLM
from latent.models.sigma_vae import SigmaVAE
from latent.models.vibevoice import SwitchTokens, VibeVoice
from latent.models.vibevoice_realtime import VibeVoiceRealtime
from s2s.config import parse_section
from s2s.errors import InputError
from s2s.json_files import read_object
from s2s.models.pretrained import locate, read_state

M = TypeVar("M", bound=nn.Module)

_PREDICTIONS: dict[str, Prediction] = {"v_prediction": "v", "epsilon": "epsilon", "sample": "clean"}
_SCHEDULES: dict[str, ScheduleName] = {"cosine": "cosine", "squaredcos_cap_v2": "cosine", "linear": "linear"}


def load_vibevoice(checkpoint: str, dtype: torch.dtype = torch.float32) -> VibeVoice:
    """The model of a checkpoint, ready to generate with.

    Args:
        checkpoint: See the top of this file.
        dtype: Of the weights; float32 for CPUs, bfloat16, as they are released, for GPUs.

    Raises:
        InputError: there is no such checkpoint, or it is not one of VibeVoice, or it is damaged.
    """
    folder = locate(checkpoint)
    config = vibevoice_config(read_object(folder / "config.json"), str(folder / "config.json"))
    with torch.device("meta"):  # neither memory nor time for random weights
        model = VibeVoice(config)
    return _with_weights(model, folder, vibevoice_state(read_state(folder), config), dtype)


def load_realtime(checkpoint: str, dtype: torch.dtype = torch.float32) -> VibeVoiceRealtime:
    """The same for VibeVoice-Realtime."""
    folder = locate(checkpoint)
    config = realtime_config(read_object(folder / "config.json"), str(folder / "config.json"))
    with torch.device("meta"):
        model = VibeVoiceRealtime(config)
    return _with_weights(model, folder, realtime_state(read_state(folder), config), dtype)


def is_realtime(folder: Path) -> bool:
    """Whether a checkpoint is one of VibeVoice-Realtime."""
    return "tts_backbone_num_hidden_layers" in read_object(folder / "config.json")


def _with_weights(model: M, folder: Path, weights: Weights, dtype: torch.dtype) -> M:
    try:
        model.load_state_dict({name: tensor.to(dtype) for name, tensor in weights.items()}, assign=True)
    except RuntimeError as error:
        raise InputError(f"{folder}: weights do not fit config.json: {str(error).splitlines()[1].strip()}") from error
    return model.eval().requires_grad_(False)


def vibevoice_config(said: Mapping[str, Any], where: str) -> VibeVoice.Config:
    """The configuration of a checkpoint's config.json.

    Raises:
        InputError: it is not one of VibeVoice, or lacks something; `where` is named.
    """
    try:
        if "acoustic_tokenizer_config" in said:
            return _of_repository(said)
        if "audio_config" in said:
            return _of_transformers(said)
    except KeyError as error:
        raise InputError(f"{where}: {error.args[0]!r} is missing; expected the configuration of a VibeVoice") from error
    except (TypeError, ValueError, AttributeError, IndexError) as error:
        reason = "a value has another type" if isinstance(error, ValidationError) else error
        raise InputError(f"{where}: expected the configuration of a VibeVoice: {reason}") from error
    found = said.get("model_type")
    raise InputError(f"{where}: expected the configuration of a VibeVoice, found one of model_type {found!r}")


def vibevoice_state(weights: Mapping[str, Tensor], config: VibeVoice.Config) -> Weights:
    """The weights of a `VibeVoice`, from those of a checkpoint in either layout."""
    named = {transformers_name(name): tensor for name, tensor in weights.items()}
    if config.language.tie_embeddings:
        named.pop("lm_head.weight", None)
    acoustic, semantic = config.acoustic, config.semantic
    parts = {
        "language": vibevoice_weights(named),
        "acoustic.encoder": codec_weights(under(named, "model.audio_tower.encoder."), acoustic.depths),
        "acoustic.decoder": codec_weights(under(named, "model.audio_tower.decoder."), acoustic.all_decoder_depths),
        "semantic": codec_weights(under(named, "model.semantic_tokenizer_encoder."), semantic.depths),
        "semantic_connector": connector_weights(under(named, "model.semantic_connector.")),
    }
    return {f"{part}.{name}": tensor for part, tensors in parts.items() for name, tensor in tensors.items()}


def realtime_config(said: Mapping[str, Any], where: str) -> VibeVoiceRealtime.Config:
    """The configuration of VibeVoice-Realtime, from its config.json.

    Raises:
        InputError: it is of another model, or lacks something; `where` is named.
    """
    try:
        upper = said["tts_backbone_num_hidden_layers"]
        text = said["decoder_config"]
        language = _language_of_repository(said).model_copy(update={"num_layers": upper, "tie_embeddings": True})
        return VibeVoiceRealtime.Config(
            language=language,
            text_layers=text["num_hidden_layers"] - upper,
            acoustic=_codec_of_repository(said["acoustic_tokenizer_config"]),
        )
    except KeyError as error:
        raise InputError(
            f"{where}: {error.args[0]!r} is missing; expected the configuration of a VibeVoice-Realtime"
        ) from error
    except (TypeError, ValueError, AttributeError, IndexError) as error:
        reason = "a value has another type" if isinstance(error, ValidationError) else error
        raise InputError(f"{where}: expected the configuration of a VibeVoice-Realtime: {reason}") from error


def realtime_state(weights: Mapping[str, Tensor], config: VibeVoiceRealtime.Config) -> Weights:
    """The weights of a `VibeVoiceRealtime`, from those of a checkpoint; the acoustic encoder, if any, is left out."""
    named = {transformers_name(name): tensor for name, tensor in weights.items()}
    lower = language_model_weights(under(named, "model.language_model."))
    upper = language_model_weights(under(named, "model.tts_language_model."))
    upper["embeddings.weight"] = lower.pop("embeddings.weight")
    parts = {
        "language": upper | speech_weights(named),
        "text_layers": under(lower, "layers."),
        "kinds": under(named, "model.tts_input_types."),
        "stop.0": under(named, "tts_eos_classifier.fc1."),
        "stop.2": under(named, "tts_eos_classifier.fc2."),
        "decoder": codec_weights(under(named, "model.audio_tower.decoder."), config.acoustic.all_decoder_depths),
    }
    return {f"{part}.{name}": tensor for part, tensors in parts.items() for name, tensor in tensors.items()}


def _of_transformers(said: Mapping[str, Any]) -> VibeVoice.Config:
    text, head = said["text_config"], said["diffusion_head_config"]
    width = said["audio_config"]["hidden_size"]
    sections = HeadSection(
        intermediate_size=head["intermediate_size"],
        num_layers=head["num_hidden_layers"],
        norm_eps=head["rms_norm_eps"],
        timestep_size=head["frequency_embedding_size"],
        timestep_max_period=head["diffusion_max_period"],
    )
    tokens = SwitchTokens(
        latent=said["audio_token_id"],
        end=said["audio_eos_token_id"],
        start=said["audio_bos_token_id"],
        stop=said["eos_token_id"],
    )
    return VibeVoice.Config(
        language=_language(text, width, sections, said.get("tie_word_embeddings", False)),
        acoustic=_codec_of_transformers(said["audio_config"]),
        semantic=_codec_of_transformers(said["semantic_model_config"]).model_copy(update={"sigma_rule": "none"}),
        tokens=tokens,
    )


def _codec_of_transformers(said: Mapping[str, Any]) -> SigmaVAE.Config:
    values = {
        "ratios": said["downsampling_ratios"],
        "depths": said["depths"],
        "widths": [said["num_filters"] * 2**stage for stage in range(len(said["depths"]))],
        "latent_size": said["hidden_size"],
        "kernel_size": said["kernel_size"],
        "expansion": said["ffn_expansion"],
        "norm_eps": said["rms_norm_eps"],
        "std": said.get("vae_std", 0.625) * 0.8,
    }
    return parse_section(SigmaVAE.Config, values, "audio_config")


def _of_repository(said: Mapping[str, Any]) -> VibeVoice.Config:
    return VibeVoice.Config(
        language=_language_of_repository(said),
        acoustic=_codec_of_repository(said["acoustic_tokenizer_config"]),
        semantic=_codec_of_repository(said["semantic_tokenizer_config"]),
    )


def _language_of_repository(said: Mapping[str, Any]) -> LatentLM.Config:
    text, head = said["decoder_config"], said["diffusion_head_config"]
    width = said["acoustic_vae_dim"] if "acoustic_vae_dim" in said else said["acostic_vae_dim"]  # some files' spelling
    sections = HeadSection(
        intermediate_size=int(head["head_ffn_ratio"] * text["hidden_size"]),
        num_layers=head["head_layers"],
        norm_eps=head["rms_norm_eps"],
    )
    language = _language(text, width, sections, text.get("tie_word_embeddings", False))
    diffusion = {
        "schedule": _SCHEDULES[head.get("ddpm_beta_schedule", "cosine")],
        "prediction": _PREDICTIONS[head.get("prediction_type", "v_prediction")],
    }
    return language.model_copy(update=diffusion)


def _codec_of_repository(said: Mapping[str, Any]) -> SigmaVAE.Config:
    depths = _depths(said["encoder_depths"])
    decoder = said.get("decoder_depths")
    values = {
        "ratios": said["encoder_ratios"][::-1],
        "depths": depths,
        "decoder_depths": None if decoder is None else _depths(decoder),
        "widths": [said["encoder_n_filters"] * 2**stage for stage in range(len(depths))],
        "latent_size": said["vae_dim"],
        "norm_eps": said["layernorm_eps"],
        "sigma_rule": {"gaussian": "gaussian", "fix": "fixed", "none": "none"}[said["std_dist_type"]],
        "std": said["fix_std"],
    }
    return parse_section(SigmaVAE.Config, values, "acoustic_tokenizer_config")


def _depths(said: str | list[int]) -> list[int]:
    return [int(depth) for depth in said.split("-")] if isinstance(said, str) else said


def _language(text: Mapping[str, Any], latent_size: int, head: HeadSection, tied: bool) -> LatentLM.Config:
    rope = text.get("rope_parameters") or {}
    return LatentLM.Config(
        vocab_size=text["vocab_size"],
        latent_size=latent_size,
        max_positions=text["max_position_embeddings"],
        hidden_size=text["hidden_size"],
        num_layers=text["num_hidden_layers"],
        num_heads=text["num_attention_heads"],
        num_kv_heads=text["num_key_value_heads"],
        intermediate_size=text["intermediate_size"],
        rope_theta=rope.get("rope_theta", text.get("rope_theta", 1e6)),
        norm_eps=text["rms_norm_eps"],
        qkv_bias=True,
        tie_embeddings=tied,
        connector="mlp",
        head=head,
    )
