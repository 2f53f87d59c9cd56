"""What static shapes and CUDA graphs bring on a GPU, part by part; prints the table of docs/gpu.md.

    python benchmarks/gpu.py            on a GPU, in a few minutes
    python benchmarks/gpu.py --small    tiny sizes, also on a CPU, where the static way runs without graphs

Weights are random and the end is suppressed, so both ways of a part do the same steps. They alternate after a warm-up
in which graphs are captured. "same" is the share of outputs that are equal (texts), or the greatest difference
(latents): on a GPU, sums of other shapes differ in the last digits, which can turn a choice between two tokens.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from measuring import probe
from torch import Tensor

from latent.data.batch import GenerationPrompts, MixedSequences
from latent.decoding.next_token_diffusion import BlockDrawing, Drawing, NextTokenDiffusionDecoder
from latent.models.latent_lm import HeadSection, LatentLM
from s2s.criteria.cross_entropy import CrossEntropy
from s2s.data.batch import Feeding, SourceBatch, TokenBatch
from s2s.decoding.beam import BeamSearch
from s2s.decoding.sampling import Sampling, outputs_of_search
from s2s.generation.generator import place
from s2s.models.unilm import UniLM
from s2s.training.optim import OptimConfig, make_optimizer

END, MASK = 2, 3

Way = Callable[[], Any]


class Part(NamedTuple):
    """A row of the table; `compare` says how alike the results of both ways are."""

    name: str
    size: str
    steps: int
    plain: Way
    static: Way | None
    compare: Callable[[Any, Any], str]


class Sizes(NamedTuple):
    """Of all parts."""

    layers: int
    width: int
    vocabulary: int
    batch: int
    source: int
    target: int
    beam: int
    frames: int


LARGE = Sizes(12, 768, 30522, 64, 128, 64, 5, 200)
SMALL = Sizes(2, 32, 200, 3, 9, 12, 3, 16)


def text_model(sizes: Sizes) -> UniLM:
    return UniLM(
        UniLM.Config(
            vocab_size=sizes.vocabulary,
            hidden_size=sizes.width,
            num_layers=sizes.layers,
            num_heads=sizes.width // 64 or 2,
            intermediate_size=4 * sizes.width,
            max_positions=sizes.source + sizes.target + 1,
        )
    )


def sources_of(sizes: Sizes, device: torch.device) -> SourceBatch:
    tokens = torch.randint(10, sizes.vocabulary, (sizes.batch, sizes.source))
    lengths, ids = torch.full((sizes.batch,), sizes.source), [str(row) for row in range(sizes.batch)]
    return SourceBatch(ids, tokens, lengths, Feeding(END, mask=MASK), [[] for _ in ids]).to(device)


def equal_outputs(plain: list[Any], static: list[Any]) -> str:
    same = [one[0].tokens == other[0].tokens for one, other in zip(plain, static, strict=True)]
    return f"{100 * sum(same) / len(same):.0f} %"


def texts(sizes: Sizes, device: torch.device) -> list[Part]:
    """Beam search and sampling."""
    precision: Any = "bfloat16" if device.type == "cuda" else "float32"
    model, sources = place(text_model(sizes), device, precision), sources_of(sizes, device)
    lengths = {"max_length": sizes.target, "min_length": sizes.target}
    beam = BeamSearch(BeamSearch.Config(beam_size=sizes.beam, **lengths), int)
    sampling = Sampling(Sampling.Config(num_hypotheses=sizes.beam, top_k=40, **lengths), int)

    def searched(is_static: bool) -> Any:
        search = beam.start(model, sources)
        if is_static:
            beam.static.finish(search, sources.feeding)
        while not is_static and len(search.step()):
            pass
        return beam.best(search.trace)

    def drawn() -> Any:
        search = sampling.as_search(model, sources)
        while len(search.step()):
            pass
        return outputs_of_search(search)

    size = f"{sizes.layers} x {sizes.width}, {sizes.batch} x {sizes.source}, {precision}"
    return [
        Part(
            f"beam search, {sizes.beam}",
            size,
            sizes.target,
            lambda: searched(False),
            lambda: searched(True),
            equal_outputs,
        ),
        Part(
            f"sampling, {sizes.beam}",
            size,
            sizes.target,
            drawn,
            lambda: sampling.in_sections(model, sources),
            equal_outputs,
        ),
    ]


def speech_model(sizes: Sizes) -> LatentLM:
    """As large as that of VibeVoice 1.5B, or tiny."""
    given: dict[str, Any] = {"hidden_size": 32, "num_layers": 2, "num_heads": 4, "intermediate_size": 64}
    if sizes is LARGE:
        given = {"hidden_size": 1536, "num_layers": 28, "num_heads": 12, "intermediate_size": 8960}
    head, fixed = HeadSection(num_layers=4), {"num_kv_heads": 2, "latent_mean": 0.0, "latent_std": 1.0}
    model = LatentLM(LatentLM.Config(vocab_size=100, latent_size=64, head=head, **fixed, **given))
    for weight in model.head.parameters():  # a new head predicts zeros, whatever it is given
        torch.nn.init.normal_(weight, std=0.02)
    return model


def tokens_of(rows: int, length: int) -> MixedSequences:
    tokens, ids = torch.randint(3, 100, (rows, length)), [str(row) for row in range(rows)]
    return MixedSequences(ids, tokens, torch.full((rows,), length), torch.zeros(0, 64), torch.zeros(0).long())


def speech(sizes: Sizes, device: torch.device) -> list[Part]:
    """Next-token diffusion: a text alone, and eight together."""
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    model = speech_model(sizes).to(device, dtype).eval().requires_grad_(False)
    model.prepare()
    config = NextTokenDiffusionDecoder.Config(stop_threshold=1.0, min_frames=sizes.frames)

    def drawn(kind: type[Drawing], prompts: GenerationPrompts) -> Tensor:
        drawing = kind(model, config)
        drawing.add(prompts)
        steps = []
        while len(drawing):
            steps.append(drawing.step().latents)
        return torch.cat(steps)

    def difference(plain: Tensor, static: Tensor) -> str:
        return f"{float((plain - static).abs().max()):.0e}"

    parts = []
    for rows in (1, 8):
        conditional, nothing = tokens_of(rows, 60), tokens_of(rows, 1)
        most, heat = [sizes.frames] * rows, torch.ones(rows)
        prompts = GenerationPrompts(conditional, nothing, 1, END, list(range(rows)), heat, most).to(device)
        size = f"{model.config.num_layers} x {model.config.hidden_size}, {rows} texts, {str(dtype).split('.')[1]}"
        ways = [lambda kind=kind, prompts=prompts: drawn(kind, prompts) for kind in (Drawing, BlockDrawing)]
        parts.append(Part("diffusion frame", size, sizes.frames, *ways, difference))
    return parts


def training(sizes: Sizes, device: torch.device) -> list[Part]:
    """One update; there is no static way, since packed batches change their shapes."""
    model = text_model(sizes).to(device).train()
    criterion = CrossEntropy(CrossEntropy.Config())
    optimizer = make_optimizer(OptimConfig(), list(model.named_parameters()))
    rows, width = sizes.batch, sizes.source + sizes.target
    places = torch.arange(width).expand(rows, -1)
    steps = (places - sizes.source + 1).clamp(min=0)
    slots = (steps > 0).flatten().nonzero().squeeze(1)
    tokens = torch.randint(10, sizes.vocabulary, (rows, width))
    kinds = (steps > 0).long()
    given = (tokens, places, kinds, steps, sizes.source, slots, tokens.flatten()[slots])
    batch = TokenBatch([str(row) for row in range(rows)], *given, pad_id=0)

    def update() -> float:
        moved = batch.to(device)
        with torch.autocast(device.type, torch.bfloat16, device.type == "cuda"):
            loss = criterion(model, moved)["loss"] / len(slots)
        loss.backward()
        optimizer.step()
        model.zero_grad(set_to_none=True)
        return float(loss.detach())

    size = f"{sizes.layers} x {sizes.width}, {rows} x {width} tokens, {'bf16' if device.type == 'cuda' else 'float32'}"
    return [Part("training step", size, 1, update, None, lambda plain, static: "")]


def seconds(way: Way, device: torch.device) -> tuple[float, Any]:
    begun = time.perf_counter()
    result = way()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - begun, result


def row(part: Part, rounds: int, device: torch.device) -> str:
    """A line of the table: medians, in milliseconds a step."""
    ways = [way for way in (part.plain, part.static) if way is not None]
    results = [way() for way in ways for _ in range(2)][::2]  # kernels are loaded, and graphs captured
    times = [[seconds(way, device)[0] for way in ways] for _ in range(rounds)]
    plain, *static = (1000 * statistics.median(found) / part.steps for found in zip(*times, strict=True))
    brought = f"{static[0]:.2f} | {plain / static[0]:.1f} | {part.compare(*results)}" if static else "- | - | -"
    return f"| {part.name} | {part.size} | {plain:.2f} | {brought} |"


def main(given: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="tiny sizes, also without a GPU")
    parser.add_argument("--rounds", type=int, default=5, help="timed runs of each way")
    args = parser.parse_args(given)
    if not args.small and not torch.cuda.is_available():
        parser.error("needs a GPU, or --small")
    device, sizes = torch.device("cuda" if torch.cuda.is_available() else "cpu"), SMALL if args.small else LARGE
    torch.manual_seed(0)
    name = torch.cuda.get_device_name() if device.type == "cuda" else f"no GPU ({platform.machine()})"
    print(f"{name}, torch {torch.__version__}, probe {probe(device.type) / 1000:.2f} TFLOP/s, {args.rounds} rounds\n")
    print("| part | size | plain, ms a step | static, ms a step | ratio | same |\n|---|---|---|---|---|---|")
    for make in (texts, speech, training):
        for part in make(sizes, device):
            print(row(part, args.rounds, device), flush=True)


if __name__ == "__main__":
    main()
