"""Speed and memory of a pseudo-masked pretraining step: factored attention compared with one dense mask.

    OMP_NUM_THREADS=2 python benchmarks/pretrain.py                  the laptop's and the paper's sizes
    python benchmarks/pretrain.py --device cuda --precision bf16 --sizes 12x768 --texts 64
    python benchmarks/pretrain.py --sizes 2x48 --length 32 --vocabulary 200 --texts 4 --rounds 1

Both use the same layers and kernels on the same batches. "dense" pads [corrupted | true | pseudo] to one sequence of
about 1.3 n slots, uses one additive mask `(B, 1, L, L)`, and computes every layer for every slot. "factored" is
unilatent: no padding; the corrupted text attends to itself, true and pseudo slots attend to both; the last layer is
computed only where a loss needs it. On a GPU "flex" is unilatent with FlexAttention. All must give the same loss. A
step is forward, backward, clipping and AdamW; steps of the systems alternate in one process. Memory is the peak of
tensors during a step, less what remains between steps. Tokens are those of the text. The probe is a float32 matrix
product timed between the rounds. The last column is the time that the tokens of the paper's run would take at this
rate. On a CPU, time is processor time, which other programs hardly disturb: with one thread it equals the time on an
idle machine.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from measuring import parse_size, probe
from torch import Tensor, nn

from s2s.criteria.pseudo_masked_lm import PseudoMaskedLM
from s2s.data.batch import TokenBatch
from s2s.data.masking import Blocks, MaskedText, corrupt, pack_masked
from s2s.models.unilm import UniLM
from s2s.nn.attention import attend
from s2s.nn.masks import additive, visible
from s2s.training.optim import OptimConfig, make_optimizer

PAD, MASK, FIRST_WORD = 0, 3, 4
PAPER = Blocks(ratio=0.15, block_prob=0.4, shortest=2, longest=6)
HEAD = 64
PAPER_TOKENS = 500_000 * 7680 * 512
"""Tokens of text in the training of the paper's base model."""

Step = Callable[[TokenBatch], float]


def make_batch(args: argparse.Namespace, length: int) -> TokenBatch:
    """Random tokens; a fifth of the texts is shorter, like the ends of documents."""
    generator = np.random.default_rng(0)
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


CONTENDERS: dict[str, tuple[type[UniLM], dict[str, Any]]] = {
    "factored": (UniLM, {}),
    "dense": (DenseUniLM, {}),
    "flex": (UniLM, {"attention": "flex"}),
}


def build(name: str, size: tuple[int, int], length: int, args: argparse.Namespace) -> Step:
    """One training step of a system; it returns the mean loss before the update."""
    (layers, width), (cls, options) = size, CONTENDERS[name]
    config = UniLM.Config(
        vocab_size=args.vocabulary,
        hidden_size=width,
        num_layers=layers,
        num_heads=max(1, width // HEAD),
        intermediate_size=4 * width,
        max_positions=length,
        relative_buckets=32 if args.relative else 0,
        hidden_dropout=0.0,
        attention_dropout=0.0,
        activation_checkpointing=args.checkpointing,
        **options,
    )
    torch.manual_seed(0)
    model = cls(config).to(args.device)
    criterion = PseudoMaskedLM(PseudoMaskedLM.Config())
    optimizer = make_optimizer(OptimConfig(), model.named_parameters())

    def step(batch: TokenBatch) -> float:
        model.zero_grad(set_to_none=True)
        with torch.autocast(args.device, torch.bfloat16, args.precision == "bf16"):
            sums = criterion(model, batch)
        loss = torch.stack([sums[name] for name in criterion.losses]).sum() / len(batch.labels)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return float(loss.detach())

    return step


def peak_memory(step: Step, batch: TokenBatch, device: str) -> float:
    """Peak MB of tensors during a step, less what remains between steps."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        step(batch)
        return (torch.cuda.max_memory_allocated() - before) / 1e6
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        step(batch)
    assert profile.profiler is not None
    assert profile.profiler.kineto_results is not None
    events = [event for event in profile.profiler.kineto_results.events() if event.name() == "[memory]"]
    events.sort(key=lambda event: event.start_ns())
    return float(np.cumsum([event.nbytes() for event in events]).max()) / 1e6


def seconds(run: Callable[[], Any], device: str) -> float:
    clock = time.perf_counter if device == "cuda" else time.process_time
    begun = clock()
    run()
    if device == "cuda":
        torch.cuda.synchronize()
    return clock() - begun


def flops_per_token(size: tuple[int, int], length: int, vocabulary: int) -> float:
    """Operations of a step per token of text, if every layer is computed for every slot (docs/scaling.md)."""
    layers, width = size
    slots = 1 + 2 * 0.152
    linear = layers * 12 * width**2 * slots
    scores = layers * 2 * width * length * slots**2
    head = 2 * 0.152 * (width**2 + width * vocabulary)
    return 6 * (linear + scores + head)


def compare(size: tuple[int, int], length: int, args: argparse.Namespace) -> None:
    """Time the systems in turn; print tokens a second, peak memory and ratios."""
    batch = make_batch(args, length).to(args.device)
    steps = {name: build(name, size, length, args) for name in CONTENDERS if name != "flex" or args.device == "cuda"}
    losses = [step(batch) for step in steps.values()]
    assert args.precision != "float32" or max(losses) - min(losses) < 1e-4 * losses[0], losses
    times: dict[str, list[float]] = {name: [] for name in steps}
    probes = [probe(args.device)]
    for _ in range(args.rounds):
        for name, step in steps.items():
            times[name].append(seconds(lambda step=step: step(batch), args.device))  # type: ignore[misc]
        probes.append(probe(args.device))
    memory = {name: peak_memory(step, batch, args.device) for name, step in steps.items()}
    tokens = int((batch.steps == 0).sum())
    flops = flops_per_token(size, length, args.vocabulary)
    print(
        f"\n{size[0]} layers x {size[1]}, {len(batch.ids)} texts of at most {length} tokens, {tokens} in all, "
        f"{batch.num_tokens} slots of {batch.tokens.numel()} padded; {flops / 1e6:.0f} MFLOP a token; "
        f"probe {statistics.median(probes):.0f} ({min(probes):.0f} to {max(probes):.0f}) GFLOP/s"
    )
    print(
        f"{'':10}{'tokens/s':>10} {'min':>8} {'max':>8} {'memory':>10}   dense to it: time (min to max), memory"
        f"   {PAPER_TOKENS:.2g} tokens"
    )
    for name, found in times.items():
        ratios = [dense / own for own, dense in zip(found, times["dense"], strict=True)]
        rate = tokens / statistics.median(found)
        print(
            f"{name:10}{rate:10.0f} {tokens / max(found):8.0f} {tokens / min(found):8.0f} "
            f"{memory[name]:7.0f} MB   {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}), "
            f"{memory['dense'] / memory[name]:.2f}   {PAPER_TOKENS / rate / 86400:.0f} days",
            flush=True,
        )


def arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=parse_size, nargs="+", default=[(6, 256), (12, 768)], metavar="LAYERSxWIDTH")
    parser.add_argument(
        "--length", type=int, nargs="+", default=[128, 512], help="maximum tokens of a text, for each size"
    )
    parser.add_argument("--texts", type=int, default=8, help="texts of a batch")
    parser.add_argument("--vocabulary", type=int, default=30522)
    parser.add_argument("--relative", action="store_true", help="use a relative position bias, as in the paper")
    parser.add_argument("--checkpointing", action="store_true", help="use activation checkpointing")
    parser.add_argument("--rounds", type=int, default=5, help="timed steps of each system")
    parser.add_argument("--threads", type=int, help="threads (default: torch chooses)")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--precision", choices=["float32", "bf16"], default="float32")
    return parser.parse_args(given)


def main(given: Sequence[str] | None = None) -> None:
    args = arguments(given)
    if args.threads:
        torch.set_num_threads(args.threads)
    where = torch.cuda.get_device_name() if args.device == "cuda" else torch.backends.cpu.get_cpu_capability()
    print(
        f"torch {torch.__version__}, Python {platform.python_version()}, {where}, {torch.get_num_threads()} threads, "
        f"{args.precision}, vocabulary {args.vocabulary}, {args.rounds} rounds"
        f"{', relative position bias' if args.relative else ''}{', checkpointing' if args.checkpointing else ''}"
    )
    lengths = args.length * len(args.sizes) if len(args.length) == 1 else args.length
    for size, length in zip(args.sizes, lengths, strict=True):
        compare(size, length, args)


if __name__ == "__main__":
    main()
