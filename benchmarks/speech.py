"""Speed of VibeVoice generation compared with `transformers` on the same weights.

    python benchmarks/speech.py --threads 1                     the sizes of docs/results.md
    python benchmarks/speech.py --filters 2 --vocabulary 500 --hidden 32 --frames 4 --rounds 1

Three systems alternate in one process after a warm-up: unilatent; transformers as it is; and transformers without the
third pass of its language model, which applies guidance to the choice of tokens (neither the released code nor
unilatent does this). Weights are random, but every step chooses a latent, so all runs have the same length. All
systems get the same noise, and their audio is compared. Look at the ratio. transformers needs the package `diffusers`
for its noise schedule. On a machine that is not idle, set OMP_WAIT_POLICY=PASSIVE and look at the processor time.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
import transformers
from torch import Tensor
from transformers.generation.logits_process import LogitsProcessorList, UnbatchedClassifierFreeGuidanceLogitsProcessor

from latent.data.batch import GenerationPrompts, MixedSequences
from latent.decoding.vibevoice import VibeVoiceDecoder
from latent.diffusion.sampler import GuidedSampler, RowNoise
from latent.models.checkpoints import vibevoice_config, vibevoice_state
from latent.models.vibevoice import VibeVoice

SAMPLE_RATE = 24_000
PARTS = ("language model", "token scores", "diffusion head", "decoder", "semantic encoder")

Run = Callable[[], Tensor]


class ChoosingByScores(transformers.VibeVoiceForConditionalGeneration):
    """Without guidance for the tokens, as in the released code: two passes of the language model per frame."""

    def _get_logits_processor(self, *args: Any, **kwargs: Any) -> LogitsProcessorList:
        processors = super()._get_logits_processor(*args, **kwargs)
        guiding = UnbatchedClassifierFreeGuidanceLogitsProcessor
        return LogitsProcessorList(one for one in processors if not isinstance(one, guiding))


class TableNoise(RowNoise):
    """The noise that transformers draws after `torch.manual_seed`: it draws two rows and uses one."""

    def __init__(self, size: int) -> None:
        self._size = size

    def draw(self) -> Tensor:
        return torch.randn(2, self._size)[:1]

    def of(self, rows: Sequence[int]) -> RowNoise:
        return self

    def select(self, rows: Sequence[int]) -> None:
        pass


def make_config(args: argparse.Namespace) -> transformers.VibeVoiceConfig:
    """A VibeVoice of the given sizes; everything else is as in the released models."""
    codec = {"num_filters": args.filters}
    text = {
        "model_type": "qwen2",
        "hidden_size": args.hidden,
        "num_hidden_layers": args.layers,
        "num_attention_heads": args.heads,
        "num_key_value_heads": args.kv_heads,
        "intermediate_size": 4 * args.hidden,
        "vocab_size": args.vocabulary,
        "tie_word_embeddings": True,
        "max_position_embeddings": 65536,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e6},
    }
    last = args.vocabulary - 1
    return transformers.VibeVoiceConfig(
        audio_config={"model_type": "vibevoice_acoustic_tokenizer", **codec},
        semantic_model_config={"model_type": "vibevoice_acoustic_tokenizer_encoder", "hidden_size": 128, **codec},
        text_config=text,
        diffusion_head_config={"num_hidden_layers": 4, "intermediate_size": 3 * args.hidden},
        audio_token_id=last,
        audio_eos_token_id=last - 1,
        audio_bos_token_id=last - 2,
        eos_token_id=last - 3,
        pad_token_id=last - 3,
    )


@torch.no_grad()
def randomize(model: Any) -> None:
    """Weights that affect every layer; the first dimension of all states makes every token a latent."""
    torch.manual_seed(0)
    for name, weight in model.named_parameters():
        if "gamma" in name:
            weight.fill_(0.3)
        elif weight.dim() > 1 and "embed" not in name:
            weight.normal_(std=weight[0].numel() ** -0.5)
    config, table = model.config, model.get_input_embeddings().weight
    table[:, 0] = 10
    table[config.audio_token_id, 0] = 20
    table[[config.audio_eos_token_id, config.eos_token_id], 0] = -20
    for connector in (model.model.multi_modal_projector, model.model.semantic_connector):
        connector.linear_2.bias[0] = 20


def theirs(model: Any, args: argparse.Namespace, tokens: Tensor) -> Run:
    """Generation by transformers: audio `(S,)`."""

    def run() -> Tensor:
        torch.manual_seed(1)
        with torch.inference_mode():
            (audio,) = model.generate(
                tokens,
                attention_mask=torch.ones_like(tokens),
                max_new_tokens=args.frames,
                guidance_scale=args.guidance,
                num_diffusion_steps=args.steps,
                do_sample=False,
            )
        return audio.flatten()

    return run


def ours(model: VibeVoice, args: argparse.Namespace, tokens: Tensor) -> Run:
    """Generation by unilatent: audio `(S,)`."""
    options = {"num_inference_steps": args.steps, "guidance_scale": args.guidance}
    decoder = VibeVoiceDecoder(VibeVoiceDecoder.Config(**options))
    switches, size = model.config.tokens, model.language.config.latent_size

    def plain(row: Tensor) -> MixedSequences:
        nothing = torch.empty(0, dtype=torch.int64)
        return MixedSequences(["x"], row, torch.tensor([row.shape[1]]), torch.empty(0, size), nothing)

    prompts = GenerationPrompts(
        conditional=plain(tokens),
        unconditional=plain(torch.tensor([[switches.start]])),
        latent_token=switches.latent,
        end_token=switches.end,
        seeds=[1],
        temperatures=torch.ones(1),
        max_frames=[args.frames],
    )

    def run() -> Tensor:
        torch.manual_seed(1)
        steps = decoder.stream(model, prompts, TableNoise(size))
        return torch.cat([step.audio.flatten() for step in steps])

    return run


class Stopwatch:
    """Processor seconds of functions by part; a nested timed function counts for its own part only."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._inner: list[float] = []

    @contextmanager
    def on(self, *places: tuple[Any, str, str]) -> Any:
        """Time functions inside the context, each given as (owner, name, part)."""
        before = [(owner, name, vars(owner).get(name)) for owner, name, _ in places]
        for owner, name, part in places:
            setattr(owner, name, self._timed(getattr(owner, name), part))
        try:
            yield self
        finally:
            for owner, name, old in before:
                if old is None:
                    delattr(owner, name)
                else:
                    setattr(owner, name, old)

    def _timed(self, function: Callable[..., Any], part: str) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            self._inner.append(0.0)
            begun = time.process_time()
            try:
                return function(*args, **kwargs)
            finally:
                spent = time.process_time() - begun
                self.seconds[part] += spent - self._inner.pop()
                if self._inner:
                    self._inner[-1] += spent

        return run


def places_of_theirs(model: Any) -> list[tuple[Any, str, str]]:
    inner = model.model
    return [
        (inner.language_model, "forward", PARTS[0]),
        (model.lm_head, "forward", PARTS[1]),
        (model, "_sample_audio_latent", PARTS[2]),
        (inner.audio_tower, "decode", PARTS[3]),
        (inner.semantic_tokenizer_encoder, "forward", PARTS[4]),
    ]


def places_of_ours(model: VibeVoice) -> list[tuple[Any, str, str]]:
    return [
        (model.language, "prefill", PARTS[0]),
        (model.language, "append", PARTS[0]),
        (model.language, "logits", PARTS[1]),
        (GuidedSampler, "sample", PARTS[2]),
        (model.acoustic, "decode_chunk", PARTS[3]),
        (model.semantic, "forward", PARTS[4]),
    ]


class Seconds(NamedTuple):
    """Wall-clock and processor seconds of a run; the latter is steadier on a shared machine."""

    clock: float
    processor: float


def seconds(run: Run) -> Seconds:
    clock, processor = time.perf_counter(), time.process_time()
    run()
    return Seconds(time.perf_counter() - clock, time.process_time() - processor)


def compare(args: argparse.Namespace) -> None:
    """Time all systems in turn; print the time per frame, by part, and the ratios."""
    config = make_config(args)
    shipped = transformers.VibeVoiceForConditionalGeneration(config).eval().requires_grad_(False)
    randomize(shipped)
    plain = ChoosingByScores(config).eval().requires_grad_(False)
    plain.load_state_dict(shipped.state_dict())
    settings = vibevoice_config(config.to_dict(), "config")
    model = VibeVoice(settings).eval().requires_grad_(False)
    model.load_state_dict(vibevoice_state(shipped.state_dict(), settings))
    model.prepare()
    tokens = torch.randint(args.vocabulary - 4, (1, args.prompt), generator=torch.Generator().manual_seed(0))
    tokens[0, -1] = settings.tokens.start
    runs = {
        "unilatent": ours(model, args, tokens),
        "transformers, released semantics": theirs(plain, args, tokens),
        "transformers as it is": theirs(shipped, args, tokens),
    }
    check(runs, args)

    times: dict[str, list[Seconds]] = {name: [] for name in runs}
    for _ in range(args.rounds):
        for name, run in runs.items():
            times[name].append(seconds(run))
    places = [places_of_ours(model), places_of_theirs(plain), places_of_theirs(shipped)]
    parts = [by_part(run, where, args.frames) for run, where in zip(runs.values(), places, strict=True)]
    show(times, parts, args)


def check(runs: dict[str, Run], args: argparse.Namespace) -> None:
    """All audio has the same length, and the first frames agree (later, rounding errors accumulate)."""
    audio = {name: run() for name, run in runs.items()}
    length, first = args.frames * 3200, 3200 * min(3, args.frames)
    own = audio["unilatent"]
    for name, samples in audio.items():
        assert len(samples) == length, f"{name}: {len(samples)} samples, expected {length}"
        difference = float((samples - own)[:first].abs().max() / own[:first].abs().max())
        assert difference < 1e-3, f"{name}: its first frames differ by {difference:.2g}"
        print(f"{name}: its first frames differ from unilatent's by {difference:.1e} of the largest sample")


def by_part(run: Run, places: list[tuple[Any, str, str]], frames: int) -> list[float]:
    """Processor milliseconds per frame of each part and of the rest; medians of three runs."""
    found = []
    for _ in range(3):
        with Stopwatch().on(*places) as watch:
            whole = seconds(run).processor
        spent = [watch.seconds[part] for part in PARTS]
        found.append([1000 * value / frames for value in (*spent, whole - sum(spent))])
    return [statistics.median(column) for column in zip(*found, strict=True)]


def show(times: dict[str, list[Seconds]], parts: list[list[float]], args: argparse.Namespace) -> None:
    frame = 3200 / SAMPLE_RATE
    print(f"\n{'':34}{'frames/s':>9} {'ms a frame':>11} {'min':>6} {'max':>6}  {'real-time factor':>16}  processor ms")
    for name, found in times.items():
        clock = [1000 * one.clock / args.frames for one in found]
        middle, processor = statistics.median(clock), statistics.median(one.processor for one in found)
        print(
            f"{name:34}{1000 / middle:9.2f} {middle:11.1f} {min(clock):6.1f} {max(clock):6.1f}"
            f"  {middle / 1000 / frame:16.2f}  {1000 * processor / args.frames:12.1f}"
        )
    for name, found in list(times.items())[1:]:
        pairs = list(zip(times["unilatent"], found, strict=True))
        clock = [theirs.clock / mine.clock for mine, theirs in pairs]
        processor = [theirs.processor / mine.processor for mine, theirs in pairs]
        print(
            f"ratio to {name}: {statistics.median(clock):.2f} (min {min(clock):.2f}, max {max(clock):.2f}); "
            f"of processor time {statistics.median(processor):.2f} ({min(processor):.2f} to {max(processor):.2f})"
        )
    names = "".join(f"{name:>20}" for name in ("unilatent", "released", "as it is"))
    print(f"\nprocessor ms a frame (share of real time) {names.strip():>56}")
    for index, part in enumerate((*PARTS, "rest")):
        cells = (f"{column[index]:12.2f} ({column[index] / 1000 / frame:.3f})" for column in parts)
        print(f"{part:34}{''.join(f'{cell:>20}' for cell in cells)}")


def arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--filters", type=int, default=8, help="channels of the tokenizers' first stage; 32 in VibeVoice"
    )
    parser.add_argument("--hidden", type=int, default=256, help="width of the language model")
    parser.add_argument("--layers", type=int, default=4, help="layers of the language model")
    parser.add_argument("--heads", type=int, default=4, help="attention heads of the language model")
    parser.add_argument("--kv-heads", type=int, default=2, help="key and value heads of the language model")
    parser.add_argument("--vocabulary", type=int, default=151_936)
    parser.add_argument("--prompt", type=int, default=64, help="tokens before the speech")
    parser.add_argument("--frames", type=int, default=24, help="frames of each run")
    parser.add_argument("--steps", type=int, default=10, help="diffusion steps per frame")
    parser.add_argument("--guidance", type=float, default=1.3)
    parser.add_argument("--rounds", type=int, default=5, help="timed runs of each system")
    parser.add_argument("--threads", type=int, help="threads (default: torch chooses)")
    return parser.parse_args(given)


def main(given: Sequence[str] | None = None) -> None:
    args = arguments(given)
    if args.threads:
        torch.set_num_threads(args.threads)
    transformers.logging.set_verbosity_error()
    print(
        f"torch {torch.__version__}, transformers {transformers.__version__}, Python {platform.python_version()}, "
        f"{torch.backends.cpu.get_cpu_capability()}, {torch.get_num_threads()} threads\n"
        f"language model {args.layers} x {args.hidden}, vocabulary {args.vocabulary}, {args.filters} filters, "
        f"{args.steps} steps, guidance {args.guidance}, prompt {args.prompt}, {args.frames} frames, float32, "
        f"{args.rounds} rounds"
    )
    compare(args)


if __name__ == "__main__":
    main()
