"""Encoders of other families become generators: fine-tuned, decoded, exported, and read by `transformers` and by us."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from command_line import unilatent
from tiny_pairs import WORDS, write_pairs
from tokenizers import Tokenizer as Backend
from tokenizers import decoders, models, pre_tokenizers

from s2s.run import load_run

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}
DEBERTA = {"relative_attention": True, "position_buckets": 8, "norm_rel_ebd": "layer_norm", "share_att_key": True}
DEBERTA |= {"pos_att_type": "p2c|c2p", "position_biased_input": False}
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "deberta-v2": ("DebertaV2", DEBERTA),
    "modernbert": ("ModernBert", {"local_attention": 4, "global_attn_every_n_layers": 2, "pad_token_id": 0}),
}


def bytes_tokenizer() -> Backend:
    """As ModernBERT has it: BPE over bytes, with BERT's special tokens and these words."""
    letters = [*SPECIAL, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    merges = {
        f"Ġ{word}"[: end + 1]: (f"Ġ{word}"[:end], word[end - 1]) for word in WORDS for end in range(1, len(word) + 1)
    }
    vocabulary = {piece: id for id, piece in enumerate([*letters, *merges])}
    backend = Backend(models.BPE(vocabulary, list(merges.values())))
    backend.pre_tokenizer, backend.decoder = pre_tokenizers.ByteLevel(add_prefix_space=True), decoders.ByteLevel()
    return backend


def pieces_tokenizer() -> Backend:
    """As DeBERTa has it: Unigram, with BERT's special tokens and these words."""
    pieces = [*SPECIAL, *(f"▁{word}" for word in WORDS), "▁", *sorted(set("".join(WORDS)))]
    backend = Backend(models.Unigram([(piece, -len(pieces) / len(piece)) for piece in pieces], unk_id=1))
    backend.pre_tokenizer, backend.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    return backend


TOKENIZERS = {"modernbert": bytes_tokenizer, "deberta-v2": pieces_tokenizer}


@pytest.fixture(params=FAMILIES)
def encoder(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Path]:
    """A family, and a folder with an encoder of it from random weights, as `transformers` writes it."""
    name, options = FAMILIES[request.param]
    backend = TOKENIZERS[request.param]()
    backend.add_special_tokens(SPECIAL)
    torch.manual_seed(0)
    sizes = {**SIZES, "vocab_size": backend.get_vocab_size(), "max_position_embeddings": 64}
    config = getattr(transformers, f"{name}Config")(**sizes, **options)
    getattr(transformers, f"{name}ForMaskedLM")(config).save_pretrained(tmp_path / "encoder")
    backend.save(str(tmp_path / "encoder/tokenizer.json"))
    return request.param, tmp_path / "encoder"


@pytest.mark.parametrize("method", ["causal", "masked", "pseudo_masked"])
def test_an_encoder_is_fine_tuned_decoded_and_exported(encoder: tuple[str, Path], method: str, tmp_path: Path) -> None:
    family, folder = encoder
    write_pairs(tmp_path / "train.jsonl", 5)
    (tmp_path / "my.yaml").write_text(
        f"task: {{train: train.jsonl, method: {method}, max_source: 10, max_target: 5}}\n"
        "optim: {lr: 0.01, schedule: constant}\ndecoder: {beam_size: 2}\n"
        "train: {max_steps: 120, max_tokens: 2000, log_every: 10, device: cpu}\n"
    )
    unilatent(
        "train",
        tmp_path / "my.yaml",
        "--output",
        tmp_path / "run",
        f"model.init={folder}",
        f"task.train={tmp_path}/train.jsonl",
    )
    unilatent("decode", tmp_path / "run", "--input", tmp_path / "train.jsonl", "--output", tmp_path / "hyp.jsonl")
    written = [json.loads(line)["tgt"] for line in (tmp_path / "hyp.jsonl").read_text().splitlines()]
    expected = [json.loads(line)["highlights"] for line in (tmp_path / "train.jsonl").read_text().splitlines()]
    log = [json.loads(line) for line in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    losses = [record["loss"] for record in log if record["split"] == "train"]
    assert losses[-1] < 0.7 * losses[0]
    if method != "masked":  # it takes longer
        assert sum(one == other for one, other in zip(written, expected, strict=True)) >= 4, written

    unilatent("convert", tmp_path / "run", tmp_path / "exported")
    theirs = transformers.AutoModelForMaskedLM.from_pretrained(tmp_path / "exported").eval()
    assert theirs.config.model_type == family
    _, task, ours, _ = load_run(tmp_path / "run")
    encoded = transformers.AutoTokenizer.from_pretrained(tmp_path / "exported")(" ".join(WORDS), return_tensors="pt")
    tokens = encoded["input_ids"]
    assert tokens[0].tolist() == [
        task.tokenizer.special.cls,
        *task.tokenizer.encode(" ".join(WORDS)),
        task.tokenizer.special.sep,
    ]
    with torch.no_grad():
        scores = ours.logits(ours.encode(tokens, torch.tensor([tokens.shape[1]])))
        torch.testing.assert_close(theirs(tokens).logits, scores, atol=1e-4, rtol=1e-4)
    tuned = [f"model.init={tmp_path}/exported", f"task.train={tmp_path}/train.jsonl", "train.max_steps=1"]
    unilatent("train", tmp_path / "my.yaml", "--output", tmp_path / "again", *tuned)
