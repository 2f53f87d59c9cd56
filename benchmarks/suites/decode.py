"""Beam search of fixed lengths with random weights: ours, `transformers`' BART of equal depth and width, CTranslate2.

Ours are the network that reads and writes at once, pseudo-masked and causal, and our own BART with the weights of
transformers'. CTranslate2 has these weights, too, so all BARTs must write the same tokens in float32.
"""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any, get_args

import torch
from earlier import systems_of
from measuring import Run, System, Table, agreement, compare, gflop, heads, in_process, parse_size
from torch import Tensor

from s2s.data.batch import Feeding, SourceBatch
from s2s.decoding.beam import BeamSearch
from s2s.generation.freed_memory import keep_freed_memory
from s2s.generation.generator import Precision, place
from s2s.models.bart import from_bart_names
from s2s.models.encoder_decoder import EncoderDecoder
from s2s.models.unilm import UniLM
from s2s.nn.packed import input_levels
from suites.bart import FIRST_WORD, MASK, SEP, SPREAD, ctranslate2, generate, random_bart

THEIRS = "transformers BART"
KINDS = ("pseudo-masked", "causal", "BART")


def add_options(parser: argparse.ArgumentParser) -> None:
    """The sizes of the models and of the work."""
    parser.add_argument("--sizes", type=parse_size, nargs="+", default=[(6, 384), (12, 768)], metavar="LAYERSxWIDTH")
    parser.add_argument("--source", type=int, default=128, help="tokens of each source")
    parser.add_argument("--target", type=int, default=32, help="tokens of each output")
    parser.add_argument("--batch", type=int, default=16, help="sentences of a batch")
    parser.add_argument("--beam", type=int, default=5, help="beam size")
    parser.add_argument("--vocabulary", type=int, default=30522)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS), help="of our models")
    parser.add_argument(
        "--precision", nargs="+", choices=get_args(Precision), default=precisions(), help="of our weights"
    )
    parser.add_argument(
        "--keep-memory", action="store_true", help="keep freed memory, as `unilatent decode` does, for all systems"
    )
    parser.add_argument("--alone", action="store_true", help="run without peers")


def precisions() -> list[str]:
    """The precisions that this package offers and this processor computes in."""
    offered: tuple[str, ...] = get_args(Precision)
    works = {"bfloat16": has_bfloat16(), "int8": bool(input_levels())}
    return [name for name in offered if works.get(name, True)]


def has_bfloat16() -> bool:
    """Whether products in bfloat16 are fast here."""
    return torch.cpu._is_avx512_bf16_supported() and torch.backends.cpu.get_cpu_capability() != "AVX2"


def measure(args: argparse.Namespace) -> Iterator[Table]:
    """A table for each size."""
    if args.keep_memory:
        keep_freed_memory()
    for size in args.sizes:
        yield of_size(size, args)


def of_size(size: tuple[int, int], args: argparse.Namespace) -> Table:
    """All systems of a size, in turn."""
    title = f"{size[0]} x {size[1]}, beam {args.beam}, source {args.source}, target {args.target}, batch {args.batch}"
    args = argparse.Namespace(**{**vars(args), "sizes": [size]})
    with contextlib.ExitStack() as stack:
        systems = [] if args.alone else peers(size, args)
        names = [f"{kind} {precision}" for kind in args.kinds for precision in args.precision]
        systems += [System(f"unilatent {name}", in_process(own(name, args)), work(name, args)) for name in names]
        for earlier in stack.enter_context(systems_of(args.against, "decode", args)):
            systems.append(earlier(names[0]))
        table, outputs = compare(
            f"{title}, vocabulary {args.vocabulary}", "sentences", args.batch, systems, args.rounds
        )
    if args.keep_memory:
        table.notes.append("The C library keeps freed memory for all systems, as `unilatent decode` lets it.")
    for row in table.rows:
        row.facts["outputs"] = remark(row.system, outputs, args.target)
    return table


def remark(system: str, outputs: dict[str, Any], target: int) -> str:
    """How the outputs of a system agree with those of the reference of its weights."""
    assert {len(tokens) for tokens in outputs[system]} == {target}, f"{system}: an output has another length"
    kind = next((kind for kind in KINDS[:2] if kind in system), "BART")
    reference = THEIRS if kind == "BART" else f"unilatent {kind} float32"
    if reference == system or reference not in outputs:
        return "reference"
    return agreement(outputs[system], outputs[reference])


def sources(args: argparse.Namespace) -> Tensor:
    """Random tokens `(B, S)`."""
    generator = torch.Generator().manual_seed(0)
    return torch.randint(FIRST_WORD, args.vocabulary, (args.batch, args.source), generator=generator)


def peers(size: tuple[int, int], args: argparse.Namespace) -> list[System]:
    """transformers first, then CTranslate2 if it is installed."""
    model, tokens = random_bart(size, args), sources(args)
    run = generate(model, tokens, args)
    made = [System(THEIRS, in_process(run), gflop(run))]
    if find_spec("ctranslate2"):
        kinds = ("float32", "int8")
        made += [System(f"CTranslate2 {kind}", in_process(ctranslate2(model, tokens, args, kind))) for kind in kinds]
    return made


def own(name: str, args: argparse.Namespace) -> Run:
    """Beam search of our model of the first size, of a kind and precision such as "causal float32"."""
    kind, precision = name.split()
    return searching(place(model_of(kind, args), torch.device("cpu"), precision), kind, args)


def work(name: str, args: argparse.Namespace) -> float:
    """Operations of `own`, counted before weights are packed."""
    kind = name.split()[0]
    return gflop(searching(model_of(kind, args), kind, args))


def searching(model: Any, kind: str, args: argparse.Namespace) -> Run:
    """The tokens of the best hypotheses."""
    options = {"beam_size": args.beam, "max_length": args.target, "min_length": args.target}
    decoder = BeamSearch(BeamSearch.Config(**options), token_id=int)
    feeding = Feeding(end=SEP, mask=MASK) if kind == "pseudo-masked" else Feeding(end=SEP, start=SEP)
    tokens = sources(args)
    lengths = torch.full((args.batch,), args.source)
    ids = [str(row) for row in range(args.batch)]
    batch = SourceBatch(ids, tokens, lengths, feeding, [[] for _ in ids])

    def run() -> list[list[int]]:
        return [list(best.tokens) for (best,) in decoder(model, batch)]

    return run


def model_of(kind: str, args: argparse.Namespace) -> Any:
    """A model of the first size with random weights, those of `random_bart` for a BART."""
    (layers, width), *_ = args.sizes
    shared = {
        "vocab_size": args.vocabulary,
        "hidden_size": width,
        "num_heads": heads(width),
        "intermediate_size": 4 * width,
        "max_positions": args.source + args.target + 2,
        "initializer_range": SPREAD,
    }
    torch.manual_seed(0)
    if kind != "BART":
        return UniLM(UniLM.Config(num_layers=layers, **shared)).eval().requires_grad_(False)
    model = EncoderDecoder(EncoderDecoder.Config(encoder_layers=layers, decoder_layers=layers, **shared))
    model.load_state_dict(from_bart_names(random_bart((layers, width), args).state_dict()))
    return model.eval().requires_grad_(False)
