"""Speed of beam search compared with `generate` of `transformers` on a BART of equal depth and width.

    python benchmarks/decode.py                      both sizes of docs/results.md
    python benchmarks/decode.py --sizes 2x64 --rounds 1 --batch 2 --source 16 --target 4 --vocabulary 500

Both models have random weights, so the end token is suppressed and every output has exactly --target tokens. Runs of
the two alternate in one process after a warm-up. Look at the ratio, and at the share of what a plain matrix product
reaches in the same minutes (the probe). Set OMP_NUM_THREADS and OMP_WAIT_POLICY=PASSIVE first, or use --threads.
"""

from __future__ import annotations

import argparse
import math
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
import transformers
from measuring import parse_size, probe
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from s2s.data.batch import Feeding, SourceBatch
from s2s.decoding.beam import BeamSearch
from s2s.generation.generator import place
from s2s.models.unilm import UniLM

CLS, SEP, MASK, PAD = 1, 2, 3, 0
HEADS = 12


def ours(size: tuple[int, int], args: argparse.Namespace, tokens: Tensor) -> tuple[Callable[[], Any], float]:
    """Beam search of a random UniLM over sources `(B, S)`, and its operations in GFLOP."""
    layers, width = size
    config = UniLM.Config(
        vocab_size=args.vocabulary,
        hidden_size=width,
        num_layers=layers,
        num_heads=HEADS if width % HEADS == 0 else 4,
        intermediate_size=4 * width,
        max_positions=args.source + args.target + 1,
    )
    model = UniLM(config).eval().requires_grad_(False)
    options = {"beam_size": args.beam, "max_length": args.target, "min_length": args.target}
    decoder = BeamSearch(BeamSearch.Config(**options), token_id=int)
    feeding = Feeding(end=SEP, start=SEP) if args.causal else Feeding(end=SEP, mask=MASK)
    rows = len(tokens)
    lengths = torch.full((rows,), tokens.shape[1])
    sources = SourceBatch([str(row) for row in range(rows)], tokens, lengths, feeding, [[] for _ in range(rows)])

    def run() -> Any:
        return decoder(model, sources)

    work = gflop(run)
    place(model, torch.device("cpu"))
    assert {len(best.tokens) for (best,) in run()} == {args.target}
    return run, work


def bart(size: tuple[int, int], args: argparse.Namespace, tokens: Tensor) -> tuple[Callable[[], Any], float]:
    """Beam search of a random BART with as many layers in encoder and decoder each, and its operations in GFLOP."""
    layers, width = size
    heads = HEADS if width % HEADS == 0 else 4
    config = transformers.BartConfig(
        vocab_size=args.vocabulary,
        d_model=width,
        encoder_layers=layers,
        decoder_layers=layers,
        encoder_attention_heads=heads,
        decoder_attention_heads=heads,
        encoder_ffn_dim=4 * width,
        decoder_ffn_dim=4 * width,
        max_position_embeddings=args.source + args.target + 2,
        pad_token_id=PAD,
        bos_token_id=CLS,
        eos_token_id=SEP,
        decoder_start_token_id=SEP,
        forced_eos_token_id=None,
    )
    model = transformers.BartForConditionalGeneration(config).eval().requires_grad_(False)
    options = {"num_beams": args.beam, "min_new_tokens": args.target, "max_new_tokens": args.target}
    attended = torch.ones_like(tokens)

    def run() -> Any:
        with torch.inference_mode():
            return model.generate(tokens, attention_mask=attended, do_sample=False, length_penalty=0.0, **options)

    assert run().shape[1] == args.target + 1
    return run, gflop(run)


def linear_flops(x: Sequence[int], weight: Any, *rest: Any, out_shape: Sequence[int], **others: Any) -> int:
    """Operations of a oneDNN linear layer, which the counter does not know."""
    return 2 * math.prod(out_shape) * x[-1]


def gflop(run: Callable[[], Any]) -> float:
    """Operations of the matrix products of one run, in GFLOP."""
    ours = {torch.ops.mkldnn._linear_pointwise: linear_flops} if hasattr(torch.ops.mkldnn, "_linear_pointwise") else {}
    with FlopCounterMode(display=False, custom_mapping=ours) as counter:
        run()
    return counter.get_total_flops() / 1e9


def seconds(run: Callable[[], Any]) -> float:
    begun = time.perf_counter()
    run()
    return time.perf_counter() - begun


def compare(size: tuple[int, int], args: argparse.Namespace) -> None:
    """Time both in turn, and print sentences/s, the ratio, and the share of the probe."""
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(10, args.vocabulary, (args.batch, args.source), generator=generator)
    torch.manual_seed(0)
    made = {"unilatent": ours(size, args, tokens)}
    if not args.alone:
        made["transformers BART"] = bart(size, args, tokens)
    times: dict[str, list[float]] = {name: [] for name in made}
    probes = []
    for _ in range(args.rounds):
        probes.append(probe())
        for name, (run, _) in made.items():
            times[name].append(seconds(run))
    limit = statistics.median(probes)
    layers, width = size
    print(f"\n{layers} layers x {width}, probe {limit:.0f} GFLOP/s (min {min(probes):.0f}, max {max(probes):.0f})")
    print(f"{'':20}{'sentences/s':>12}  {'median':>8} {'min':>7} {'max':>7} s  {'GFLOP':>7}  share of probe")
    for name, found in times.items():
        median = statistics.median(found)
        print(
            f"{name:20}{args.batch / median:12.2f}  {median:8.3f} {min(found):7.3f} {max(found):7.3f} s"
            f"  {made[name][1]:7.1f}  {made[name][1] / median / limit:.0%}"
        )
    if not args.alone:
        pairs = [theirs / own for own, theirs in zip(*times.values(), strict=True)]
        print(f"ratio {statistics.median(pairs):.2f} (min {min(pairs):.2f}, max {max(pairs):.2f})")


def arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=parse_size, nargs="+", default=[(6, 384), (12, 768)], metavar="LAYERSxWIDTH")
    parser.add_argument("--source", type=int, default=128, help="tokens of each source")
    parser.add_argument("--target", type=int, default=32, help="tokens of each output")
    parser.add_argument("--batch", type=int, default=16, help="sentences of a batch")
    parser.add_argument("--beam", type=int, default=5, help="beam size")
    parser.add_argument("--vocabulary", type=int, default=30522)
    parser.add_argument("--rounds", type=int, default=5, help="timed runs of each system")
    parser.add_argument("--threads", type=int, help="threads (default: torch chooses)")
    parser.add_argument("--causal", action="store_true", help="causal decoding: feed the last token, without [MASK]")
    parser.add_argument("--alone", action="store_true", help="run without transformers")
    return parser.parse_args(given)


def main(given: Sequence[str] | None = None) -> None:
    args = arguments(given)
    if args.threads:
        torch.set_num_threads(args.threads)
    print(
        f"torch {torch.__version__}, transformers {transformers.__version__}, Python {platform.python_version()}, "
        f"{torch.backends.cpu.get_cpu_capability()}, {torch.get_num_threads()} threads\n"
        f"beam {args.beam}, source {args.source}, target {args.target}, batch {args.batch}, "
        f"vocabulary {args.vocabulary}, float32, {args.rounds} rounds"
    )
    for size in args.sizes:
        compare(size, args)


if __name__ == "__main__":
    main()
