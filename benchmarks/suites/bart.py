"""Peers in beam search: one random BART in `transformers`, and the same weights in CTranslate2.

Inputs have no special tokens: ids from `FIRST_WORD` on. The end token is suppressed, so outputs have a fixed length.
"""

from __future__ import annotations

import argparse
import copy
import tempfile
from typing import Any

import torch
import transformers
from measuring import Run, heads
from torch import Tensor

PAD, CLS, SEP, MASK, UNKNOWN, FIRST_WORD = 0, 1, 2, 3, 4, 10
SPREAD = 0.1
"""Standard deviation of random weights: with BERT's 0.02 all outputs would repeat one token."""


def random_bart(size: tuple[int, int], args: argparse.Namespace) -> Any:
    """A BART with so many layers in encoder and decoder each; the same weights whenever it is called."""
    layers, width = size
    torch.manual_seed(0)
    config = transformers.BartConfig(
        vocab_size=args.vocabulary,
        d_model=width,
        encoder_layers=layers,
        decoder_layers=layers,
        encoder_attention_heads=heads(width),
        decoder_attention_heads=heads(width),
        encoder_ffn_dim=4 * width,
        decoder_ffn_dim=4 * width,
        max_position_embeddings=args.source + args.target + 2,
        pad_token_id=PAD,
        bos_token_id=CLS,
        eos_token_id=SEP,
        decoder_start_token_id=SEP,
        forced_eos_token_id=None,
        init_std=SPREAD,
    )
    return transformers.BartForConditionalGeneration(config).eval().requires_grad_(False)


def generate(model: Any, tokens: Tensor, args: argparse.Namespace) -> Run:
    """Beam search by transformers."""
    options = {"num_beams": args.beam, "min_new_tokens": args.target, "max_new_tokens": args.target}
    attended = torch.ones_like(tokens)

    def run() -> list[list[int]]:
        with torch.inference_mode():
            made = model.generate(tokens, attention_mask=attended, do_sample=False, length_penalty=0.0, **options)
        return made[:, 1:].tolist()  # without the start token

    return run


def ctranslate2(model: Any, tokens: Tensor, args: argparse.Namespace, kind: str) -> Run:
    """Beam search by CTranslate2 with weights of a kind such as "float32" or "int8"."""
    from ctranslate2 import Translator

    with tempfile.TemporaryDirectory() as folder:
        convert(model, folder, kind)
        translator = Translator(folder, compute_type=kind, inter_threads=1, intra_threads=args.threads)
    words = [[f"w{id}" for id in row] for row in tokens.tolist()]

    def run() -> list[list[int]]:
        made = translator.translate_batch(
            words,
            beam_size=args.beam,
            min_decoding_length=args.target,
            max_decoding_length=args.target,
            length_penalty=0.0,
        )
        return [[int(token[1:]) for token in one.hypotheses[0]] for one in made]

    return run


def convert(model: Any, folder: str, kind: str) -> None:
    """Write a BART as CTranslate2 reads it, with the word `w7` for the id 7."""
    from ctranslate2.converters.transformers import BartLoader

    class Loader(BartLoader):
        def set_config(self, config: Any, model: Any, tokenizer: Any) -> None:
            config.bos_token, config.eos_token, config.unk_token = f"w{CLS}", f"w{SEP}", f"w{UNKNOWN}"
            config.decoder_start_token = f"w{SEP}"

        def get_vocabulary(self, model: Any, tokenizer: Any) -> list[str]:
            return [f"w{id}" for id in range(model.config.vocab_size)]

    model = copy.deepcopy(model)  # conversion changes it
    model.config.normalize_before = False
    spec = Loader()(model, None)
    spec.validate()
    spec.optimize(quantization=kind)
    spec.save(folder)
