"""A pseudo-masked fine-tuning step beside what one would use without this package, on the same pairs.

- `EncoderDecoderModel` of transformers: an encoder and a decoder of that depth and width each, source and target padded
  apart, its own loss, the same optimizer.
- A dense mask: `BertForMaskedLM` with our weights on our batches: source, target and pseudo tokens in one padded
  sequence of L slots, one additive mask `(B, 1, L, L)`, the head at the pseudo slots, the same smoothed loss; attention
  written out ("eager", as in s2s-ft) or fused ("sdpa"). Its losses must be ours.

A step is forward, backward, clipping and AdamW (fused, for all).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from earlier import systems_of
from measuring import Run, Table, compare, heads, parse_size
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from s2s.criteria.cross_entropy import CrossEntropy
from s2s.data.batch import TokenBatch
from s2s.data.batching import BatchSampler
from s2s.data.layout import Noise, layout, pack
from s2s.data.tokenizer import SpecialIds
from s2s.models.unilm import UniLM
from s2s.nn.masks import additive, visible
from suites import stepping
from suites.stepping import CLS, FIRST_WORD, MASK, PAD, SEP, note_losses, note_memory, steps, system

SPECIAL = SpecialIds(cls=CLS, sep=SEP, mask=MASK, pad=PAD)
SMOOTHING = 0.1
SAMPLE = Path(__file__).parents[2] / "data_prep" / "sample" / "en" / "train.jsonl"
THEIRS = "EncoderDecoderModel"


class Pairs(NamedTuple):
    """A batch: our layout of it, and sources `(B, S)` and targets `(B, T)` as token ids, padded."""

    tokens: TokenBatch
    sources: Tensor
    targets: Tensor


def add_options(parser: argparse.ArgumentParser) -> None:
    """The sizes of the model and of the work."""
    stepping.add_options(parser)
    parser.add_argument("--sizes", type=parse_size, nargs="+", default=[(6, 384)], metavar="LAYERSxWIDTH")
    parser.add_argument("--corpora", nargs="+", choices=CORPORA, default=list(CORPORA), help="whose lengths are used")
    parser.add_argument("--dropouts", type=float, nargs="+", default=[0.0], help="hidden and attention")
    parser.add_argument("--batches", type=int, default=2, help="batches of a round")


def debian() -> tuple[list[tuple[int, int]], tuple[int, int], int]:
    """Lengths of package descriptions and synopses in words and marks, their limits, and sentences per batch."""
    records = [json.loads(line) for line in SAMPLE.read_text(encoding="utf-8").splitlines()]
    lengths = [tuple(len(re.findall(r"\w+|[^\w\s]", record[side])) for side in ("src", "tgt")) for record in records]
    return lengths, (96, 20), 16  # type: ignore[return-value]


def articles() -> tuple[list[tuple[int, int]], tuple[int, int], int]:
    """Long sources of widely varying lengths, four per batch, as in news summarization."""
    generator = np.random.default_rng(0)
    return list(zip(generator.integers(150, 700, 64), generator.integers(20, 60, 64), strict=True)), (464, 48), 4


CORPORA = {"debian": debian, "articles": articles}


def make_batches(corpus: str, args: argparse.Namespace) -> list[Pairs]:
    """Random tokens at the lengths of a corpus, batched as in training."""
    lengths, limits, sentences = CORPORA[corpus]()
    generator = np.random.default_rng(0)
    noise = Noise(0.5, 0.0, 0.1, 0.1, None, np.arange(FIRST_WORD, args.vocabulary))

    def words(count: int) -> Any:
        return generator.integers(FIRST_WORD, args.vocabulary, count)

    made = [layout(words(n), words(m), "pseudo_masked", SPECIAL, limits, noise, generator) for n, m in lengths]
    slots = [(len(item.source), 2 * len(item.target)) for item in made]
    sampler = BatchSampler(slots, max_tokens=sentences * (limits[0] + 2 * limits[1]), max_sentences=sentences)
    batches = [[made[index] for index in batch] for batch in sampler.epoch(0)[: args.batches]]

    def padded(rows: list[Any]) -> Tensor:
        return pad_sequence([torch.as_tensor(row) for row in rows], batch_first=True, padding_value=PAD)

    return [
        Pairs(
            pack(items, PAD).to(args.device),
            padded([item.source for item in items]).to(args.device),
            padded([item.target for item in items]).to(args.device),
        )
        for items in batches
    ]


def measure(args: argparse.Namespace) -> Iterator[Table]:
    """A table for each size, corpus and dropout."""
    for size in args.sizes:
        for corpus in args.corpora:
            for dropout in args.dropouts:
                yield of_case(
                    argparse.Namespace(**{**vars(args), "sizes": [size], "corpora": [corpus], "dropouts": [dropout]})
                )


def of_case(args: argparse.Namespace) -> Table:
    """All systems of a case, in turn."""
    (layers, width), corpus, dropout = args.sizes[0], args.corpora[0], args.dropouts[0]
    batches = make_batches(corpus, args)
    slots = sum(batch.tokens.tokens.numel() for batch in batches)
    padding = 1 - sum(batch.tokens.num_tokens for batch in batches) / slots
    title = (
        f"{layers} x {width}, {corpus}: batches of about {len(batches[0].tokens.ids)}, {slots / len(batches):.0f} "
        f"slots, {padding:.0%} of them padding, dropout {dropout}, vocabulary {args.vocabulary}"
    )
    names = [f"{name} {precision}" for precision in args.precision for name in (THEIRS, *SYSTEMS)]
    runs = {name: own(name, args) for name in names}
    with contextlib.ExitStack() as stack:
        systems = [system(name, run) for name, run in runs.items()]
        for earlier in stack.enter_context(systems_of(args.against, "train", args)):
            systems.append(earlier("unilatent float32"))
        pairs = sum(len(batch.tokens.ids) for batch in batches)
        table, outputs = compare(title, "pairs", pairs, systems, args.rounds, args.device)
    note_memory(table, runs, args.device)
    same = [name for name in runs if name.endswith("float32") and THEIRS not in name] if not dropout else []
    note_losses(table, outputs, f"unilatent {args.precision[0]}", same, 1e-3)
    return table


def own(name: str, args: argparse.Namespace) -> Run:
    """A system of the first size, corpus and dropout, such as "unilatent float32"."""
    name, _, precision = name.rpartition(" ")
    batches = make_batches(args.corpora[0], args)
    size, dropout = args.sizes[0], args.dropouts[0]
    build = encoder_decoder if name == THEIRS else SYSTEMS[name]
    model, loss_of = build(size, dropout, args)
    return steps(model, loss_of, batches, args, precision)


def of_unilatent(size: tuple[int, int], dropout: float, args: argparse.Namespace) -> tuple[Any, Any]:
    """Model and criterion of this package."""
    layers, width = size
    config = UniLM.Config(
        vocab_size=args.vocabulary,
        hidden_size=width,
        num_layers=layers,
        num_heads=heads(width),
        intermediate_size=4 * width,
        hidden_dropout=dropout,
        attention_dropout=dropout,
    )
    torch.manual_seed(0)
    model = UniLM(config).to(args.device)
    criterion = CrossEntropy(CrossEntropy.Config(label_smoothing=SMOOTHING))
    return model, lambda batch: criterion(model, batch.tokens)["loss"] / len(batch.tokens.labels)


def dense(attention: str, size: tuple[int, int], dropout: float, args: argparse.Namespace) -> tuple[Any, Any]:
    """The model of `of_unilatent` as a BERT of transformers with one mask."""
    from transformers import BertForMaskedLM

    config = bert_config(size, dropout, args)
    config._attn_implementation = attention
    model = BertForMaskedLM(config)
    missing = model.load_state_dict(of_unilatent(size, dropout, args)[0].bert_state(), strict=False).missing_keys
    assert all(name.startswith("cls.predictions.decoder") for name in missing), missing
    model = model.to(args.device).train()

    def loss(pairs: Pairs) -> Tensor:
        batch = pairs.tokens
        mask = additive(visible(batch.steps, batch.steps), torch.float32).unsqueeze(1)
        hidden = model.bert(
            input_ids=batch.tokens,
            token_type_ids=batch.segments,
            position_ids=batch.positions,
            attention_mask=mask,
        ).last_hidden_state
        logits = model.cls(hidden.flatten(0, 1)[batch.slots])
        return smoothed_loss(logits, batch.labels) / len(batch.labels)

    return model, loss


SYSTEMS = {
    "unilatent": of_unilatent,
    "dense mask, eager": lambda *given: dense("eager", *given),
    "dense mask, sdpa": lambda *given: dense("sdpa", *given),
}


def encoder_decoder(size: tuple[int, int], dropout: float, args: argparse.Namespace) -> tuple[Any, Any]:
    """A BERT that reads and a BERT with cross-attention that writes."""
    from transformers import EncoderDecoderConfig, EncoderDecoderModel

    torch.manual_seed(0)
    parts = [bert_config(size, dropout, args) for _ in range(2)]
    config = EncoderDecoderConfig.from_encoder_decoder_configs(*parts, decoder_start_token_id=CLS, pad_token_id=PAD)
    model = EncoderDecoderModel(config).to(args.device).train()

    def loss(pairs: Pairs) -> Tensor:
        labels = pairs.targets.masked_fill(pairs.targets == PAD, -100)
        return model(input_ids=pairs.sources, attention_mask=(pairs.sources != PAD).long(), labels=labels).loss

    return model, loss


def bert_config(size: tuple[int, int], dropout: float, args: argparse.Namespace) -> Any:
    """A BERT of a size, for transformers."""
    from transformers import BertConfig

    layers, width = size
    return BertConfig(
        vocab_size=args.vocabulary,
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=heads(width),
        intermediate_size=4 * width,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
    )


def smoothed_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """The loss of `CrossEntropy` without chunks, differentiated by autograd."""
    log_probs = logits.log_softmax(-1, dtype=torch.float32)
    label = log_probs.gather(-1, labels.unsqueeze(-1)).squeeze(-1)
    share = SMOOTHING / (log_probs.shape[-1] - 2)
    minimum = (1 - SMOOTHING) * math.log(1 - SMOOTHING) + SMOOTHING * math.log(share)
    others = log_probs.sum(-1) - label - log_probs[:, PAD]
    return (minimum - (1 - SMOOTHING) * label - share * others).sum()
