"""A tiny VibeVoice with random weights and a tokenizer of bytes, as a checkpoint in the layout of `transformers`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

SWITCHES = {"latent": 256, "end": 257, "start": 258, "stop": 259}


def settings(**text: Any) -> dict[str, Any]:
    """Its config.json; a keyword is an option of the language model."""
    codec = {"downsampling_ratios": [40, 80], "depths": [1, 1, 1], "num_filters": 2, "kernel_size": 7, "channels": 1}
    codec |= {"ffn_expansion": 2, "rms_norm_eps": 1e-5, "vae_std": 0.625}
    language = {"vocab_size": 262, "hidden_size": 12, "num_hidden_layers": 2, "num_attention_heads": 3}
    language |= {"num_key_value_heads": 1, "intermediate_size": 10, "rms_norm_eps": 1e-6, "model_type": "qwen2"}
    language |= {"max_position_embeddings": 600, "tie_word_embeddings": True}
    language |= {"rope_parameters": {"rope_type": "default", "rope_theta": 1e4}}
    head = {"intermediate_size": 20, "num_hidden_layers": 1, "rms_norm_eps": 1e-5}
    return {
        "model_type": "vibevoice",
        "audio_config": codec | {"hidden_size": 3, "model_type": "vibevoice_acoustic_tokenizer"},
        "semantic_model_config": codec | {"hidden_size": 5, "model_type": "vibevoice_acoustic_tokenizer_encoder"},
        "text_config": language | text,
        "diffusion_head_config": head | {"frequency_embedding_size": 256, "diffusion_max_period": 10_000},
        **{"audio_token_id": 256, "audio_eos_token_id": 257, "audio_bos_token_id": 258},
        **{"eos_token_id": 259, "pad_token_id": 259, "tie_word_embeddings": True},
    }


def write_vibevoice(folder: Path, seed: int = 0, talks: bool = False, **text: Any) -> Path:
    """Write the checkpoint. Its matrices are as large as those of trained models, so no part is lost in another.

    `talks`: latents follow wherever they can.
    """
    import transformers

    torch.manual_seed(seed)
    config = transformers.VibeVoiceConfig(**settings(**text))
    weights = transformers.VibeVoiceForConditionalGeneration(config).state_dict()
    for name, tensor in weights.items():
        if tensor.dim() > 1:
            tensor.normal_(std=tensor[0].numel() ** -0.5)
        elif name.endswith("bias"):
            tensor.normal_(std=0.1)
        elif "gamma" in name:
            tensor.fill_(0.5)
    weights["model.latent_scaling_factor"].fill_(0.7)
    weights["model.latent_bias_factor"].fill_(-0.1)
    if talks:
        table = weights["model.language_model.embed_tokens.weight"]
        table[:, 0], table[256, 0], table[[257, 259], 0] = 10, 20, -20
        for connector in ("multi_modal_projector", "semantic_connector"):
            weights[f"model.{connector}.linear_2.bias"][0] = 20
    folder.mkdir(parents=True)
    kept = {name: tensor.clone() for name, tensor in weights.items() if name != "lm_head.weight"}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(config.to_dict(), default=str))
    write_byte_tokenizer(folder)
    return folder


def write_byte_tokenizer(folder: Path) -> None:
    """A tokenizer whose tokens 0 to 255 are bytes."""
    import transformers
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    letters = Tokenizer(models.BPE(vocab={letter: index for index, letter in enumerate(alphabet)}, merges=[]))
    letters.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    letters.decoder = decoders.ByteLevel()
    transformers.PreTrainedTokenizerFast(tokenizer_object=letters).save_pretrained(folder)
