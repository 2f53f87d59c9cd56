"""Pretrained speech encoders for tests: tiny, random, in the format of transformers."""

from __future__ import annotations

from pathlib import Path

import torch
import transformers

SECONDS = 2


def write_whisper(folder: Path, seed: int = 0, rate: int = 16000) -> Path:
    """A Whisper of width 8 that hears `SECONDS` seconds at once, 50 frames a second."""
    sizes = {"d_model": 8, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 8, "decoder_ffn_dim": 8}
    heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2, "num_mel_bins": 10, "vocab_size": 60}
    tokens = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1}
    positions = {"max_source_positions": 50 * SECONDS, "max_target_positions": 8}
    config = transformers.WhisperConfig(**sizes, **heads, **tokens, **positions)
    _save(transformers.WhisperModel, config, folder, seed)
    transformers.WhisperFeatureExtractor(
        feature_size=10, chunk_length=SECONDS, sampling_rate=rate, hop_length=rate // 100
    ).save_pretrained(folder)
    return folder


def write_wav2vec2(folder: Path, seed: int = 0) -> Path:
    """A wav2vec 2.0 of width 8, 16 kHz, 50 frames a second."""
    convolutions = {"conv_dim": (8, 8), "conv_kernel": (40, 16), "conv_stride": (20, 16)}
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    placed = {"num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 2, "vocab_size": 8}
    config = transformers.Wav2Vec2Config(**convolutions, **sizes, **placed)
    _save(transformers.Wav2Vec2Model, config, folder, seed)
    transformers.Wav2Vec2FeatureExtractor().save_pretrained(folder)
    return folder


def _save(
    model: type[transformers.PreTrainedModel], config: transformers.PretrainedConfig, folder: Path, seed: int
) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model(config).save_pretrained(folder)
