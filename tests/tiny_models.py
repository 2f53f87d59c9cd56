"""Models of a few thousand random weights that many tests share. Sizes differ from one another, so a wrong axis fails.

Run folders of such models are made by tiny_voice.py (speech) and toy_parts.py (training).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from s2s.models.electra import Electra, GeneratorSection
from s2s.models.encoder_decoder import EncoderDecoder
from s2s.models.export import save_bert_folder
from s2s.models.recurrent_encoder_decoder import RecurrentEncoderDecoder
from s2s.models.unilm import UniLM


def tiny_unilm(seed: int = 0, **options: Any) -> UniLM:
    """An encoder whose outputs depend on all that it reads; without dropout, in evaluation mode."""
    sizes = {"vocab_size": 31, "hidden_size": 12, "num_layers": 3, "num_heads": 2, "intermediate_size": 20}
    sizes |= {"max_positions": 40, "initializer_range": 0.5, "hidden_dropout": 0.0, "attention_dropout": 0.0}
    torch.manual_seed(seed)
    model = UniLM(UniLM.Config(**(sizes | options)))
    if model.relative_bias is not None:
        nn.init.normal_(model.relative_bias.weight)
    return model.eval()


def tiny_electra(seed: int = 0, rank: int = 3, **options: Any) -> Electra:
    """A discriminator of two layers and a narrower generator of one, whose predictions of losses differ by token."""
    sizes = {"vocab_size": 31, "hidden_size": 12, "num_layers": 2, "num_heads": 2, "intermediate_size": 20}
    sizes |= {"max_positions": 40, "initializer_range": 0.5, "hidden_dropout": 0.0, "attention_dropout": 0.0}
    own = {"hidden_size": 8, "num_layers": 1, "num_heads": 4, "intermediate_size": 10, "hardness_rank": rank}
    torch.manual_seed(seed)
    model = Electra(Electra.Config(**(sizes | {"generator": GeneratorSection(**own)} | options)))
    if model.generator.hardness is not None:
        draw_weights_(model.generator.hardness)
    return model.eval()


def tiny_encoder_decoder(seed: int = 0, **options: Any) -> EncoderDecoder:
    """An encoder of two layers and a decoder of three; without dropout, in evaluation mode."""
    sizes = {"vocab_size": 31, "hidden_size": 12, "encoder_layers": 2, "decoder_layers": 3, "num_heads": 2}
    sizes |= {"intermediate_size": 20, "max_positions": 16, "hidden_dropout": 0.0, "initializer_range": 0.4}
    torch.manual_seed(seed)
    return EncoderDecoder(EncoderDecoder.Config(**(sizes | options))).eval()


def tiny_recurrent(seed: int = 0, **options: Any) -> RecurrentEncoderDecoder:
    """An encoder-decoder of GRUs; without dropout, in evaluation mode."""
    sizes = {"vocab_size": 31, "embedding_size": 10, "hidden_size": 12, "hidden_dropout": 0.0}
    torch.manual_seed(seed)
    return RecurrentEncoderDecoder(RecurrentEncoderDecoder.Config(**(sizes | options))).eval()


def tiny_sigma_vae(seed: int = 1, **options: Any) -> Any:
    """An audio tokenizer with a hop of 8 samples."""
    from latent.models.sigma_vae import SigmaVAE

    sizes = {"ratios": (2, 4), "depths": (1, 1, 1), "widths": (4, 6, 8), "latent_size": 4, "layer_scale": 0.3}
    torch.manual_seed(seed)
    return SigmaVAE(SigmaVAE.Config(**(sizes | {"initializer_range": 0.3} | options)))


def latent_lm_config(**options: Any) -> Any:
    """The sizes of a tiny LatentLM."""
    from latent.models.latent_lm import HeadSection, LatentLM

    sizes = {"vocab_size": 11, "latent_size": 3, "latent_mean": 0.5, "latent_std": 2.0, "max_positions": 60}
    sizes |= {"hidden_size": 12, "num_layers": 2, "num_heads": 6, "num_kv_heads": 2, "intermediate_size": 10}
    head = {"head": HeadSection(num_layers=1, timestep_size=8), "initializer_range": 0.4}
    return LatentLM.Config(**(sizes | head | options))


def tiny_latent_lm(seed: int = 4, **options: Any) -> Any:
    """A LatentLM whose diffusion head is as trained ones begin: it predicts zeros."""
    from latent.models.latent_lm import LatentLM

    torch.manual_seed(seed)
    return LatentLM(latent_lm_config(**options))


def tiny_vibevoice(seed: int = 3, **options: Any) -> Any:
    """A VibeVoice with a hop of 6 samples, in float64."""
    from latent.models.sigma_vae import SigmaVAE
    from latent.models.vibevoice import SwitchTokens, VibeVoice

    language = {"vocab_size": 10, "qkv_bias": True, "tie_embeddings": False, "connector": "mlp"}
    codec = {"ratios": (2, 3), "depths": (1, 1, 1), "widths": (2, 4, 8), "layer_scale": 0.5, "initializer_range": 0.4}
    torch.manual_seed(seed)
    model = VibeVoice(
        VibeVoice.Config(
            language=latent_lm_config(**(language | options)),
            acoustic=SigmaVAE.Config(latent_size=3, **codec),
            semantic=SigmaVAE.Config(latent_size=5, sigma_rule="none", **codec),
            tokens=SwitchTokens(latent=6, end=7, start=8, stop=9),
        )
    )
    draw_weights_(model.language.head)
    return model.double().eval().requires_grad_(False)


def draw_weights_(module: nn.Module, std: float = 0.4) -> nn.Module:
    """Give a module random weights in place of those that it starts training with."""
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=std)
    return module


def write_encoder(folder: Path, words: Iterable[str]) -> None:
    """A tiny encoder in BERT's layout, as a folder: weights, configuration and a vocabulary of words and letters."""
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words, *letters, *(f"##{one}" for one in letters)]
    save_bert_folder(tiny_unilm(vocab_size=len(vocabulary), num_layers=1, max_positions=512), folder)
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
