"""Reading VibeVoice checkpoints: their configuration, and their weights under our names.

A checkpoint is a folder with config.json and safetensors files, or its name on the Hugging Face hub, in the layout of
VibeVoice's own repository or in that of the `transformers` library.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch
from pydantic import ValidationError
from torch import Tensor, nn

from latent.diffusion.schedule import Prediction, ScheduleName
from latent.models.keymaps import (
    Weights,
    above,
    codec_weights,
    connector_weights,
    language_model_weights,
    listening_name,
    speech_weights,
    transformers_name,
    under,
    vibevoice_weights,
)
from latent.models.latent_lm import HeadSection, LatentLM
from latent.models.sigma_vae import SigmaVAE
from latent.models.vibevoice import SwitchTokens, VibeVoice
from latent.models.vibevoice_asr import ListeningTokens, VibeVoiceASR
from latent.models.vibevoice_realtime import VibeVoiceRealtime
from s2s.config import parse_section
from s2s.errors import InputError
from s2s.json_files import read_object
from s2s.models.pretrained import locate, read_state

M = TypeVar("M", bound=nn.Module)

_AS_THEY_ARE = {"latent_scale": torch.tensor(1.0), "latent_bias": torch.tensor(0.0)}
"""VibeVoice-ASR reads latents as the tokenizer makes them."""
_PREDICTIONS: dict[str, Prediction] = {"v_prediction": "v", "epsilon": "epsilon", "sample": "clean"}
_SCHEDULES: dict[str, ScheduleName] = {"cosine": "cosine", "squaredcos_cap_v2": "cosine", "linear": "linear"}


def load_vibevoice(checkpoint: str, dtype: torch.dtype = torch.float32) -> VibeVoice:
    """The model of a checkpoint, ready to generate; use float32 on CPUs and bfloat16, as released, on GPUs.

    Raises:
        InputError: the checkpoint is missing, damaged, or not of this model.
    """
    return _load(checkpoint, dtype, VibeVoice, vibevoice_config, vibevoice_state)


def load_realtime(checkpoint: str, dtype: torch.dtype = torch.float32) -> VibeVoiceRealtime:
    """As `load_vibevoice`, for VibeVoice-Realtime."""
    return _load(checkpoint, dtype, VibeVoiceRealtime, realtime_config, realtime_state)


def load_asr(checkpoint: str, dtype: torch.dtype = torch.float32) -> VibeVoiceASR:
    """As `load_vibevoice`, for VibeVoice-ASR and VibeVoice-ASR-Streaming."""
    folder = locate(checkpoint)
    config = asr_config(read_object(folder / "config.json"), str(folder / "config.json"))
    state = {listening_name(name): tensor for name, tensor in read_state(folder).items()}
    config = _tied_as_stored(config, state)
    return _filled(folder, dtype, VibeVoiceASR, config, lambda: asr_state(state, config))


def load_acoustic(folder: Path, dtype: torch.dtype) -> SigmaVAE:
    """The acoustic tokenizer of a checkpoint of VibeVoice-Realtime, with its encoder, which is not released.

    Raises:
        InputError: the checkpoint lacks the encoder.
    """
    config = realtime_config(read_object(folder / "config.json"), str(folder / "config.json")).acoustic
    named = {transformers_name(name): tensor for name, tensor in read_state(folder).items()}
    encoder = under(named, "model.audio_tower.encoder.")
    if not encoder:
        raise InputError(
            f"{folder}: has no acoustic encoder (model.acoustic_tokenizer.encoder; Microsoft did not release it), so "
            "no preset can be made of a recording; use a released preset"
        )
    parts = {
        "encoder": codec_weights(encoder, config.depths),
        "decoder": codec_weights(under(named, "model.audio_tower.decoder."), config.all_decoder_depths),
    }
    return _filled(folder, dtype, SigmaVAE, config, lambda: above(parts))


def _load(
    checkpoint: str,
    dtype: torch.dtype,
    kind: Callable[[Any], M],
    config_of: Callable[[Mapping[str, Any], str], Any],
    state_of: Callable[[Mapping[str, Tensor], Any], Weights],
) -> M:
    folder = locate(checkpoint)
    config = config_of(read_object(folder / "config.json"), str(folder / "config.json"))
    return _filled(folder, dtype, kind, config, lambda: state_of(read_state(folder), config))


def _filled(folder: Path, dtype: torch.dtype, kind: Callable[[Any], M], config: Any, state: Callable[[], Weights]) -> M:
    """The model of a configuration with the weights of a folder."""
    with torch.device("meta"):  # neither memory nor time for random weights
        model = kind(config)
    try:
        weights = {name: tensor.to(dtype) for name, tensor in state().items()}
        model.load_state_dict(weights, assign=True)
    except KeyError as error:
        raise InputError(f"{folder}: the weights lack {error.args[0]!r}") from error
    except RuntimeError as error:
        raise InputError(f"{folder}: weights do not fit config.json: {str(error).splitlines()[1].strip()}") from error
    return model.eval().requires_grad_(False)


def vibevoice_config(given: Mapping[str, Any], where: str) -> VibeVoice.Config:
    """The configuration of a VibeVoice from the content of config.json; `where` names it in messages.

    Raises:
        InputError: it is of another model, or lacks something.
    """
    with _checked(where, "VibeVoice"):
        if "acoustic_tokenizer_config" in given:
            return _of_repository(given)
        if "audio_config" in given:
            return _of_transformers(given)
    found = given.get("model_type")
    raise InputError(f"{where}: expected the configuration of a VibeVoice, found one of model_type {found!r}")


def vibevoice_state(weights: Mapping[str, Tensor], config: VibeVoice.Config) -> Weights:
    """The weights of a `VibeVoice` from those of a checkpoint in either layout."""
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
    return above(parts)


def realtime_config(given: Mapping[str, Any], where: str) -> VibeVoiceRealtime.Config:
    """As `vibevoice_config`, for VibeVoice-Realtime."""
    with _checked(where, "VibeVoice-Realtime"):
        upper = given["tts_backbone_num_hidden_layers"]
        text = given["decoder_config"]
        language = _language_of_repository(given).model_copy(update={"num_layers": upper, "tie_embeddings": True})
        return VibeVoiceRealtime.Config(
            language=language,
            text_layers=text["num_hidden_layers"] - upper,
            acoustic=_codec_of_repository(given["acoustic_tokenizer_config"]),
        )


def realtime_state(weights: Mapping[str, Tensor], config: VibeVoiceRealtime.Config) -> Weights:
    """The weights of a `VibeVoiceRealtime` from those of a checkpoint, without the acoustic encoder."""
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
    return above(parts)


def asr_config(given: Mapping[str, Any], where: str) -> VibeVoiceASR.Config:
    """As `vibevoice_config`, for VibeVoice-ASR and VibeVoice-ASR-Streaming."""
    with _checked(where, "VibeVoice-ASR"):
        if "acoustic_tokenizer_encoder_config" in given:
            text, ids = given["text_config"], {"start": "audio_bos", "audio": "audio", "end": "audio_eos"}
            acoustic = _codec_of_transformers(given["acoustic_tokenizer_encoder_config"])
            semantic = _codec_of_transformers(given["semantic_tokenizer_encoder_config"])
            found = {name: given[f"{theirs}_token_id"] for name, theirs in ids.items()}
        else:
            text, found = given["decoder_config"], {}
            acoustic = _codec_of_repository(given["acoustic_tokenizer_config"])
            semantic = _codec_of_repository(given["semantic_tokenizer_config"])
        tied = text.get("tie_word_embeddings", given.get("tie_word_embeddings", False))
        return VibeVoiceASR.Config(
            language=_language(text, acoustic.latent_size, HeadSection(), tied),
            acoustic=acoustic,
            semantic=semantic.model_copy(update={"sigma_rule": "none"}),
            tokens=ListeningTokens(**found),
        )


def asr_state(named: Mapping[str, Tensor], config: VibeVoiceASR.Config) -> Weights:
    """The weights of a `VibeVoiceASR` from those of a checkpoint under the names of `listening_name`."""
    language = language_model_weights(under(named, "model.language_model."))
    if not config.language.tie_embeddings:
        language["scores.weight"] = named["lm_head.weight"]
    connector = connector_weights(under(named, "model.multi_modal_projector."))
    parts = {
        "language": {**language, **above({"connector": connector}), **_AS_THEY_ARE},
        "acoustic": codec_weights(under(named, "model.audio_tower.encoder."), config.acoustic.depths),
        "semantic": codec_weights(under(named, "model.semantic_tokenizer_encoder."), config.semantic.depths),
        "semantic_connector": connector_weights(under(named, "model.semantic_connector.")),
    }
    return above(parts)


def _tied_as_stored(config: VibeVoiceASR.Config, named: Mapping[str, Tensor]) -> VibeVoiceASR.Config:
    """The configuration with tied embeddings if the weights are: some files hold both, whatever config.json says."""
    scores, embeddings = named.get("lm_head.weight"), named.get("model.language_model.embed_tokens.weight")
    if scores is None or embeddings is None:
        return config
    language = config.language.model_copy(update={"tie_embeddings": torch.equal(scores, embeddings)})
    return config.model_copy(update={"language": language})


@contextmanager
def _checked(where: str, model: str) -> Iterator[None]:
    expected = f"expected the configuration of a {model}"
    try:
        yield
    except KeyError as error:
        raise InputError(f"{where}: {error.args[0]!r} is missing; {expected}") from error
    except (TypeError, ValueError, AttributeError, IndexError) as error:
        reason = "a value has another type" if isinstance(error, ValidationError) else error
        raise InputError(f"{where}: {expected}: {reason}") from error


def _of_transformers(given: Mapping[str, Any]) -> VibeVoice.Config:
    text, head = given["text_config"], given["diffusion_head_config"]
    width = given["audio_config"]["hidden_size"]
    sections = HeadSection(
        intermediate_size=head["intermediate_size"],
        num_layers=head["num_hidden_layers"],
        norm_eps=head["rms_norm_eps"],
        timestep_size=head["frequency_embedding_size"],
        timestep_max_period=head["diffusion_max_period"],
    )
    tokens = SwitchTokens(
        latent=given["audio_token_id"],
        end=given["audio_eos_token_id"],
        start=given["audio_bos_token_id"],
        stop=given["eos_token_id"],
    )
    return VibeVoice.Config(
        language=_language(text, width, sections, given.get("tie_word_embeddings", False)),
        acoustic=_codec_of_transformers(given["audio_config"]),
        semantic=_codec_of_transformers(given["semantic_model_config"]).model_copy(update={"sigma_rule": "none"}),
        tokens=tokens,
    )


def _codec_of_transformers(given: Mapping[str, Any]) -> SigmaVAE.Config:
    values = {
        "ratios": given["downsampling_ratios"],
        "depths": given["depths"],
        "widths": [given["num_filters"] * 2**stage for stage in range(len(given["depths"]))],
        "latent_size": given["hidden_size"],
        "kernel_size": given["kernel_size"],
        "expansion": given["ffn_expansion"],
        "norm_eps": given["rms_norm_eps"],
        "std": given.get("vae_std", 0.625) * 0.8,
    }
    return parse_section(SigmaVAE.Config, values, "audio_config")


def _of_repository(given: Mapping[str, Any]) -> VibeVoice.Config:
    return VibeVoice.Config(
        language=_language_of_repository(given),
        acoustic=_codec_of_repository(given["acoustic_tokenizer_config"]),
        semantic=_codec_of_repository(given["semantic_tokenizer_config"]),
    )


def _language_of_repository(given: Mapping[str, Any]) -> LatentLM.Config:
    text, head = given["decoder_config"], given["diffusion_head_config"]
    width = (
        given["acoustic_vae_dim"] if "acoustic_vae_dim" in given else given["acostic_vae_dim"]
    )  # some files' spelling
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


def _codec_of_repository(given: Mapping[str, Any]) -> SigmaVAE.Config:
    depths = _depths(given["encoder_depths"])
    decoder = given.get("decoder_depths")
    values = {
        "ratios": given["encoder_ratios"][::-1],
        "depths": depths,
        "decoder_depths": None if decoder is None else _depths(decoder),
        "widths": [given["encoder_n_filters"] * 2**stage for stage in range(len(depths))],
        "latent_size": given["vae_dim"],
        "norm_eps": given["layernorm_eps"],
        "sigma_rule": {"gaussian": "gaussian", "fix": "fixed", "none": "none"}[given["std_dist_type"]],
        "std": given["fix_std"],
    }
    return parse_section(SigmaVAE.Config, values, "acoustic_tokenizer_config")


def _depths(given: str | list[int]) -> list[int]:
    return [int(depth) for depth in given.split("-")] if isinstance(given, str) else given


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
