"""Speed and memory of a pseudo-masked fine-tuning step compared with the same step in `transformers`, one dense mask.

    python benchmarks/train_step.py --threads 2                    two sizes, two corpora, with and without dropout
    python benchmarks/train_step.py --sizes 2x48 --rounds 1 --corpora debian --vocabulary 500

The peer is BertForMaskedLM with the same weights on the same batches: source, target and pseudo tokens in one padded
sequence of L slots, one additive mask `(B, 1, L, L)`, the masked-language-model head at the pseudo slots, the same
smoothed loss and the same optimizer. It is timed with written-out attention ("eager", as in s2s-ft) and with torch's
fused attention ("sdpa"). All must give the same loss. A step is forward, backward, clipping and AdamW. Steps of the
systems alternate in one process; peak memory comes from a fresh process for each.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import platform
import re
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from measuring import parse_size
from torch import Tensor, nn

from s2s.criteria.cross_entropy import CrossEntropy
from s2s.data.batch import TokenBatch
from s2s.data.batching import BatchSampler
from s2s.data.layout import Noise, layout, pack
from s2s.data.tokenizer import SpecialIds
from s2s.models.unilm import UniLM
from s2s.nn.masks import additive, visible
from s2s.training.optim import OptimConfig, make_optimizer

PAD, CLS, SEP, MASK, FIRST_WORD = 0, 1, 2, 3, 4
SPECIAL = SpecialIds(cls=CLS, sep=SEP, mask=MASK, pad=PAD)
SMOOTHING = 0.1
SAMPLE = Path(__file__).parents[1] / "data_prep" / "sample" / "en" / "train.jsonl"

Step = Callable[[TokenBatch], float]


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


def make_batches(corpus: str, args: argparse.Namespace) -> list[TokenBatch]:
    """Random tokens at the lengths of a corpus, batched as in training."""
    lengths, limits, sentences = CORPORA[corpus]()
    generator = np.random.default_rng(0)
    noise = Noise(0.5, 0.0, 0.1, 0.1, None, np.arange(FIRST_WORD, args.vocabulary))

    def words(count: int) -> Any:
        return generator.integers(FIRST_WORD, args.vocabulary, count)

    made = [layout(words(n), words(m), "pseudo_masked", SPECIAL, limits, noise, generator) for n, m in lengths]
    slots = [(len(item.source), 2 * len(item.target)) for item in made]
    sampler = BatchSampler(slots, max_tokens=sentences * (limits[0] + 2 * limits[1]), max_sentences=sentences)
    return [pack([made[index] for index in batch], PAD) for batch in sampler.epoch(0)[: args.batches]]


def ours(size: tuple[int, int], dropout: float, args: argparse.Namespace) -> tuple[nn.Module, Step]:
    """Model and criterion of unilatent."""
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
    return model, stepper(model, lambda batch: criterion(model, batch)["loss"], args)


def theirs(attention: str, size: tuple[int, int], dropout: float, args: argparse.Namespace) -> tuple[nn.Module, Step]:
    """The peer, with the initial weights of `ours`."""
    layers, width = size
    config = transformers.BertConfig(
        vocab_size=args.vocabulary,
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=heads(width),
        intermediate_size=4 * width,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
    )
    config._attn_implementation = attention
    model = transformers.BertForMaskedLM(config)
    weights = ours(size, dropout, args)[0].bert_state()  # type: ignore[operator]
    missing = model.load_state_dict(weights, strict=False).missing_keys
    assert all(name.startswith("cls.predictions.decoder") for name in missing), missing
    model = model.to(args.device).train()

    def loss(batch: TokenBatch) -> Tensor:
        mask = additive(visible(batch.steps, batch.steps), torch.float32).unsqueeze(1)
        hidden = model.bert(
            input_ids=batch.tokens,
            token_type_ids=batch.segments,
            position_ids=batch.positions,
            attention_mask=mask,
        ).last_hidden_state
        return smoothed_loss(model.cls(hidden.flatten(0, 1)[batch.slots]), batch.labels)

    return model, stepper(model, loss, args)


CONTENDERS: dict[str, Callable[..., tuple[nn.Module, Step]]] = {
    "unilatent": ours,
    "dense, eager": lambda *given: theirs("eager", *given),
    "dense, sdpa": lambda *given: theirs("sdpa", *given),
}


def heads(width: int) -> int:
    return 12 if width % 12 == 0 else 4


def smoothed_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """The loss of `CrossEntropy` without chunks, differentiated by autograd."""
    log_probs = logits.log_softmax(-1, dtype=torch.float32)
    label = log_probs.gather(-1, labels.unsqueeze(-1)).squeeze(-1)
    share = SMOOTHING / (log_probs.shape[-1] - 2)
    minimum = (1 - SMOOTHING) * math.log(1 - SMOOTHING) + SMOOTHING * math.log(share)
    others = log_probs.sum(-1) - label - log_probs[:, PAD]
    return (minimum - (1 - SMOOTHING) * label - share * others).sum()


def stepper(model: nn.Module, loss_of: Callable[[TokenBatch], Tensor], args: argparse.Namespace) -> Step:
    """One training step on a batch; it returns the mean loss before the update."""
    optimizer = make_optimizer(OptimConfig(), model.named_parameters())

    def step(batch: TokenBatch) -> float:
        model.zero_grad(set_to_none=True)
        with torch.autocast(args.device, torch.bfloat16, args.precision == "bf16"):
            loss = loss_of(batch) / len(batch.labels)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return float(loss.detach())

    return step


def peak_memory(name: str, size: tuple[int, int], dropout: float, corpus: str, args: argparse.Namespace) -> float:
    """Peak MB of steps on the largest batch, less what remains between steps: activations and temporaries."""
    if args.threads:
        torch.set_num_threads(args.threads)
    batches = [batch.to(args.device) for batch in make_batches(corpus, args)]
    largest = max(batches, key=lambda batch: batch.tokens.numel())
    _, step = CONTENDERS[name](size, dropout, args)
    step(min(batches, key=lambda batch: batch.tokens.numel()))  # allocates gradients and the optimizer's state
    if args.device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        step(largest)
        return (torch.cuda.max_memory_allocated() - before) / 1e6
    Path("/proc/self/clear_refs").write_text("5")  # Linux: resets the peak
    before = memory("VmRSS")
    for _ in range(2):
        step(largest)
    return memory("VmHWM") - before


def memory(name: str) -> float:
    """A memory size of this process in MB, by its name in /proc/self/status."""
    found = re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None, name
    return int(found[1]) * 1024 / 1e6


def seconds(step: Step, batch: TokenBatch, device: str) -> float:
    begun = time.perf_counter()
    step(batch)
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - begun


def compare(size: tuple[int, int], dropout: float, corpus: str, args: argparse.Namespace) -> None:
    """Time the systems in turn on the same batches; print time per step, peak memory and both ratios."""
    batches = [batch.to(args.device) for batch in make_batches(corpus, args)]
    made = {name: build(size, dropout, args) for name, build in CONTENDERS.items()}
    check_losses(made, batches, dropout, args)
    times: dict[str, list[float]] = {name: [] for name in made}
    for _ in range(args.rounds):
        taken = dict.fromkeys(made, 0.0)
        for batch in batches:
            for name, (_, step) in made.items():
                taken[name] += seconds(step, batch, args.device)
        for name, total in taken.items():
            times[name].append(total / len(batches))
    slots = sum(batch.tokens.numel() for batch in batches)
    padding = 1 - sum(batch.num_tokens for batch in batches) / slots
    layers, width = size
    print(
        f"\n{layers} layers x {width}, {corpus}: {len(batches)} batches of about {len(batches[0].ids)}, "
        f"{slots / len(batches):.0f} slots, {padding:.0%} padding, dropout {dropout}"
    )
    print(f"{'':14}{'s/step':>8} {'min':>7} {'max':>7}  {'memory':>8}   ratio to ours: time (min to max), memory")
    del made
    os.environ["MALLOC_MMAP_THRESHOLD_"] = "131072"  # makes glibc return freed tensors at once
    context = multiprocessing.get_context("spawn")
    with context.Pool(1, maxtasksperchild=1) as pool:
        peaks = {name: pool.apply(peak_memory, (name, size, dropout, corpus, args)) for name in CONTENDERS}
    for name, found in times.items():
        ratios = [other / own for own, other in zip(times["unilatent"], found, strict=True)]
        print(
            f"{name:14}{statistics.median(found):8.3f} {min(found):7.3f} {max(found):7.3f}  {peaks[name]:5.0f} MB   "
            f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}), "
            f"{peaks[name] / peaks['unilatent']:.2f}",
            flush=True,
        )


def check_losses(
    made: dict[str, tuple[nn.Module, Step]], batches: Sequence[TokenBatch], dropout: float, args: argparse.Namespace
) -> None:
    """Warm up on every batch; without dropout and in float32 all systems must have the same losses."""
    for batch in batches:
        losses = [step(batch) for _, step in made.values()]
        if not dropout and args.precision == "float32":
            assert max(losses) - min(losses) < 1e-3 * losses[0], losses


def arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=parse_size, nargs="+", default=[(6, 384), (12, 768)], metavar="LAYERSxWIDTH")
    parser.add_argument(
        "--corpora", nargs="+", choices=CORPORA, default=list(CORPORA), help="corpora whose lengths are used"
    )
    parser.add_argument(
        "--dropouts", type=float, nargs="+", default=[0.0, 0.1], help="dropout rates, hidden and attention"
    )
    parser.add_argument("--batches", type=int, default=4, help="batches of a round")
    parser.add_argument("--vocabulary", type=int, default=30522)
    parser.add_argument("--rounds", type=int, default=5, help="timed rounds of each system")
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
        f"torch {torch.__version__}, transformers {transformers.__version__}, Python {platform.python_version()}, "
        f"{where}, {torch.get_num_threads()} threads, {args.precision}, vocabulary {args.vocabulary}, "
        f"{args.rounds} rounds"
    )
    for size in args.sizes:
        for corpus in args.corpora:
            for dropout in args.dropouts:
                compare(size, dropout, corpus, args)


if __name__ == "__main__":
    main()
