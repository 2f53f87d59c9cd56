"""A tiny VibeVoice-ASR with weights at random or by hand, as folders on the disk in both published layouts."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>", "<|box_start|>"]
CHUNK_END = "<|text_chunk_end|>"
HIDDEN, FILTERS = 32, 1
_CODEC = {"downsampling_ratios": [40, 80], "depths": [1, 1, 1], "num_filters": FILTERS, "kernel_size": 7}
_CODEC |= {"ffn_expansion": 4, "rms_norm_eps": 1e-5, "vae_std": 0.625, "channels": 1}
_CODEC |= {"model_type": "vibevoice_acoustic_tokenizer_encoder"}


def write_listener(
    folder: Path,
    chain: Sequence[str] = (),
    streaming: bool = False,
    repository: bool = False,
    seed: int = 0,
    max_positions: int = 8192,
) -> Path:
    """A checkpoint of random weights, or of one that writes the pieces of a chain after every prompt.

    Args:
        chain: Pieces of text, each of them a token; the last one is followed by the end.
        streaming: VibeVoice-ASR-Streaming, with windows of 2 + 1 frames.
        repository: In the layout of VibeVoice's repository, else in that of `transformers`.
    """
    import transformers

    folder.mkdir(parents=True)
    pieces = list(dict.fromkeys(chain))
    ids = _write_tokenizer(folder, pieces, [*SPECIAL, *([CHUNK_END] if streaming else [])])
    config = _config(ids, max_positions)
    torch.manual_seed(seed)
    settings = transformers.VibeVoiceAsrConfig(**config)
    weights = transformers.VibeVoiceAsrForConditionalGeneration(settings).state_dict()
    weights = {name: _drawn(name, tensor) for name, tensor in weights.items()}
    if chain:
        first = [ids["<|object_ref_end|>"]] if streaming else [ids["Ċ"]]
        last = ids[CHUNK_END] if streaming else ids["<|endoftext|>"]
        _follow(weights, [*first, *(ids[piece] for piece in chain), last])
    if repository:
        weights, config = {_repository_name(name): tensor for name, tensor in weights.items()}, _repository(config)
    if streaming:
        facts = {"target_sample_rate": 24_000, "chunk_frames": 2, "lookahead_frames": 1, "normalize_audio": False}
        (folder / "preprocessor_config.json").write_text(json.dumps(facts))
    save_file({name: tensor.contiguous() for name, tensor in weights.items()}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def _write_tokenizer(folder: Path, pieces: Sequence[str], special: Sequence[str]) -> dict[str, int]:
    """A tokenizer of bytes, with some pieces as tokens that text is never split into; the ids of all tokens."""
    import transformers
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    spelled = ["".join(part for part, _ in level.pre_tokenize_str(piece)) for piece in pieces]
    vocabulary = {token: index for index, token in enumerate(dict.fromkeys([*alphabet, *spelled]))}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, additional_special_tokens=list(special))
    fast.save_pretrained(folder)
    return {**vocabulary, **dict(zip(pieces, map(vocabulary.get, spelled), strict=True)), **fast.get_added_vocab()}


def _config(ids: dict[str, int], max_positions: int) -> dict[str, Any]:
    text = {"vocab_size": max(ids.values()) + 1, "hidden_size": HIDDEN, "num_hidden_layers": 2, "model_type": "qwen2"}
    text |= {"num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 24, "rms_norm_eps": 1e-6}
    text |= {"max_position_embeddings": max_positions, "tie_word_embeddings": False}
    return {
        "model_type": "vibevoice_asr",
        "acoustic_tokenizer_encoder_config": {**_CODEC, "hidden_size": 3},
        "semantic_tokenizer_encoder_config": {**_CODEC, "hidden_size": 5},
        "text_config": text | {"rope_parameters": {"rope_type": "default", "rope_theta": 1e4}},
        "audio_token_id": ids["<|box_start|>"],
        "audio_bos_token_id": ids["<|object_ref_start|>"],
        "audio_eos_token_id": ids["<|object_ref_end|>"],
    }


def _drawn(name: str, tensor: Tensor) -> Tensor:
    """Weights large enough that the text depends on the audio."""
    if "norm" in name or tensor.dim() < 2:
        return torch.ones_like(tensor) if name.endswith("weight") or "gamma" in name else torch.zeros_like(tensor)
    return torch.randn_like(tensor) * (0.5 if "tokenizer" in name else 1.5 if "projector" in name else 0.3)


def _follow(weights: dict[str, Tensor], tokens: Sequence[int]) -> None:
    """Make each token be followed by the next one, whatever came before."""
    embeddings, scores = weights["model.language_model.embed_tokens.weight"], weights["lm_head.weight"]
    for name, tensor in weights.items():
        if name.endswith(("o_proj.weight", "down_proj.weight")):
            tensor.zero_()
    embeddings.normal_()
    scores.zero_()
    for token, following in itertools.pairwise(tokens):
        scores[following] += embeddings[token]


def _repository(config: dict[str, Any]) -> dict[str, Any]:
    """The same sizes as VibeVoice's own repository writes them."""

    def codec(given: dict[str, Any]) -> dict[str, Any]:
        return {
            "encoder_ratios": given["downsampling_ratios"][::-1],
            "encoder_depths": "-".join(map(str, given["depths"])),
            "encoder_n_filters": given["num_filters"],
            "vae_dim": given["hidden_size"],
            "layernorm_eps": given["rms_norm_eps"],
            "std_dist_type": "gaussian",
            "fix_std": 0.5,
        }

    return {
        "model_type": "vibevoice",
        "architectures": ["VibeVoiceForASRTraining"],
        "acoustic_tokenizer_config": codec(config["acoustic_tokenizer_encoder_config"]),
        "semantic_tokenizer_config": codec(config["semantic_tokenizer_encoder_config"]),
        "decoder_config": config["text_config"],
    }


_REPOSITORY = [
    (r"^model\.(acoustic|semantic)_tokenizer_encoder\.", r"model.\1_tokenizer.encoder."),
    (r"\.encoder\.stem\.conv\.", r".encoder.downsample_layers.0.0.conv."),
    (r"\.encoder\.stem\.stage\.", r".encoder.stages.0."),
    (r"\.mixer\.conv\.", r".mixer.conv.conv.conv."),
    (r"\.encoder\.head\.conv\.", r".encoder.head.conv.conv."),
    (r"^model\.multi_modal_projector\.(acoustic|semantic)_linear_1\.", r"model.\1_connector.fc1."),
    (r"^model\.multi_modal_projector\.(acoustic|semantic)_norm\.", r"model.\1_connector.norm."),
    (r"^model\.multi_modal_projector\.(acoustic|semantic)_linear_2\.", r"model.\1_connector.fc2."),
]


def _repository_name(name: str) -> str:
    for pattern, replacement in _REPOSITORY:
        name = re.sub(pattern, replacement, name)
    name = re.sub(r"conv_layers\.(\d+)\.stage\.", lambda found: f"stages.{int(found[1]) + 1}.", name)
    return re.sub(r"conv_layers\.(\d+)\.conv\.", lambda found: f"downsample_layers.{int(found[1]) + 1}.0.conv.", name)
