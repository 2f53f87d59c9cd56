"""A pseudo-masked pretraining step: factored attention without padding beside one dense mask.

Both use the same layers and kernels on the same batches. "dense mask" pads [corrupted | true | pseudo] to one sequence
of about 1.3 n slots, uses one additive mask `(B, 1, L, L)`, and computes every layer for every slot. "unilatent" has no
padding; the corrupted text attends to itself, true and pseudo slots attend to both; the last layer is computed only
where a loss needs it. On a GPU "flex" is unilatent with FlexAttention. All must have the same losses. Tokens are those
of the text.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from earlier import systems_of
from measuring import Run, Table, compare, parse_size
from torch import Tensor

from s2s.criteria.pseudo_masked_lm import PseudoMaskedLM
from s2s.data.batch import TokenBatch
from s2s.data.masking import Blocks, MaskedText, corrupt, pack_masked
from s2s.models.unilm import UniLM
from s2s.nn.attention import attend
from s2s.nn.masks import additive, visible
from suites import stepping
from suites.stepping import FIRST_WORD, MASK, PAD, note_losses, note_memory, steps, system

PAPER = Blocks(ratio=0.15, block_prob=0.4, shortest=2, longest=6)
HEAD = 64
PAPER_TOKENS = 500_000 * 7680 * 512
"""Tokens of text in the training of the paper's base model."""
DAY = 86400


def add_options(parser: argparse.ArgumentParser) -> None:
    """The sizes of the model and of the work."""
    stepping.add_options(parser)
    parser.add_argument("--sizes", type=parse_size, nargs="+", default=[(6, 256)], metavar="LAYERSxWIDTH")
    parser.add_argument("--length", type=int, nargs="+", default=[128], help="maximum tokens of a text, for each size")
    parser.add_argument("--texts", type=int, default=8, help="texts of a batch")
    parser.add_argument("--relative", action="store_true", help="use a relative position bias, as in the paper")
    parser.add_argument("--checkpointing", action="store_true", help="use activation checkpointing")


class DenseUniLM(UniLM):
    """The same model with one mask over all slots, padding included, and every layer computed for every slot."""

    def features(self, batch: TokenBatch) -> Tensor:
        bias = additive(visible(batch.steps, batch.steps), torch.float32).unsqueeze(1)
        if self.relative_bias is not None:
            bias = bias + self.relative_bias(batch.positions, batch.positions)

        def attention(queries: Tensor, keys_values: Tensor, dropout: float) -> Tensor:
            keys, values = keys_values.permute(2, 0, 3, 1, 4)  # (B, H, L, D)
            return attend(queries.transpose(1, 2), keys, values, bias, dropout).transpose(1, 2)

        x: Tensor = self.embeddings(self.embeddings.tokens(batch.tokens), batch.positions, batch.segments)
        for layer in self.layers:
            x = self._run(layer, x, attention)
        return x.flatten(0, 1)[batch.slots]


SYSTEMS: dict[str, tuple[type[UniLM], dict[str, Any]]] = {
    "dense mask": (DenseUniLM, {}),
    "unilatent": (UniLM, {}),
    "unilatent, flex": (UniLM, {"attention": "flex"}),
}


def measure(args: argparse.Namespace) -> Iterator[Table]:
    """A table for each size."""
    lengths = args.length * len(args.sizes) if len(args.length) == 1 else args.length
    for size, length in zip(args.sizes, lengths, strict=True):
        yield of_case(argparse.Namespace(**{**vars(args), "sizes": [size], "length": [length]}))


def of_case(args: argparse.Namespace) -> Table:
    """All systems of a size, in turn."""
    (layers, width), length = args.sizes[0], args.length[0]
    batch = make_batch(args)
    tokens = int((batch.steps == 0).sum())
    flops = flops_per_token((layers, width), length, args.vocabulary)
    title = (
        f"{layers} x {width}, {args.texts} texts of at most {length} tokens, {tokens} in all, {batch.num_tokens} slots "
        f"of {batch.tokens.numel()} padded, {flops / 1e6:.0f} MFLOP a token, vocabulary {args.vocabulary}"
    )
    names = [name for name in SYSTEMS if "flex" not in name or args.device == "cuda"]
    runs = {f"{name} {precision}": own(f"{name} {precision}", args) for precision in args.precision for name in names}
    with contextlib.ExitStack() as stack:
        systems = [system(name, run) for name, run in runs.items()]
        for earlier in stack.enter_context(systems_of(args.against, "pretrain", args)):
            systems.append(earlier("unilatent float32"))
        table, outputs = compare(title, "tokens", tokens, systems, args.rounds, args.device)
    note_memory(table, runs, args.device)
    same = [name for name in runs if name.endswith("float32")]
    note_losses(table, outputs, systems[0].name, same, 1e-4)
    for row in table.rows:
        days = PAPER_TOKENS * statistics.median(row.wall) / tokens / DAY
        row.facts[f"{PAPER_TOKENS:.2g} tokens"] = f"{days:.3g} days"
    return table


def own(name: str, args: argparse.Namespace) -> Run:
    """A system of the first size, such as "unilatent float32"."""
    name, _, precision = name.rpartition(" ")
    cls, options = SYSTEMS[name]
    layers, width = args.sizes[0]
    config = UniLM.Config(
        vocab_size=args.vocabulary,
        hidden_size=width,
        num_layers=layers,
        num_heads=max(1, width // HEAD),
        intermediate_size=4 * width,
        max_positions=args.length[0],
        relative_buckets=32 if args.relative else 0,
        hidden_dropout=0.0,
        attention_dropout=0.0,
        activation_checkpointing=args.checkpointing,
        **options,
    )
    torch.manual_seed(0)
    model = cls(config).to(args.device)
    criterion = PseudoMaskedLM(PseudoMaskedLM.Config())

    def loss(batch: TokenBatch) -> Tensor:
        sums = criterion(model, batch)
        return torch.stack([sums[name] for name in criterion.losses]).sum() / len(batch.labels)

    return steps(model, loss, [make_batch(args).to(args.device)], args, precision)


def make_batch(args: argparse.Namespace) -> TokenBatch:
    """Random tokens; a fifth of the texts is shorter, like the ends of documents."""
    length, generator = args.length[0], np.random.default_rng(0)
    words = np.arange(FIRST_WORD, args.vocabulary)
    texts = []
    for number in range(args.texts):
        n = length if number % 5 else int(generator.integers(length // 3, length))
        truth, fixed = generator.choice(words, n), np.zeros(n, bool)
        fixed[[0, n // 2, n - 1]] = True
        masked, steps = PAPER.draw(fixed, generator)
        tokens = truth.copy()
        tokens[masked] = corrupt(truth[masked], MASK, 0.1, 0.1, words, generator)
        segments = (np.arange(n) > n // 2).astype(np.int64)
        texts.append(MaskedText(tokens, segments, masked, steps, truth[masked]))
    return pack_masked(texts, MASK, PAD)


def flops_per_token(size: tuple[int, int], length: int, vocabulary: int) -> float:
    """Operations of a step per token of text, if every layer is computed for every slot (docs/scaling.md)."""
    layers, width = size
    slots = 1 + 2 * 0.152
    linear = layers * 12 * width**2 * slots
    scores = layers * 2 * width * length * slots**2
    head = 2 * 0.152 * (width**2 + width * vocabulary)
    return 6 * (linear + scores + head)
