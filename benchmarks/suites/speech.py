"""Frames of VibeVoice beside `transformers` on the same weights, and the demo voice alone and in batches.

The systems are unilatent; transformers as it is; and transformers without the third pass of its language model, which
applies guidance to the choice of tokens (neither the released code nor unilatent does this). Weights are random, but
every step chooses a latent, so all runs have the same length. All systems get the same noise, and their audio is
compared. transformers needs the package `diffusers` for its noise schedule; without it unilatent runs alone.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from typing import Any

import torch
import transformers
from earlier import systems_of
from measuring import Run, System, Table, compare, in_process
from torch import Tensor
from transformers.generation.logits_process import LogitsProcessorList, UnbatchedClassifierFreeGuidanceLogitsProcessor

from latent.data.batch import GenerationPrompts, MixedSequences
from latent.decoding.vibevoice import VibeVoiceDecoder
from latent.diffusion.sampler import GuidedSampler, RowNoise
from latent.models.checkpoints import vibevoice_config, vibevoice_state
from latent.models.vibevoice import VibeVoice

PARTS = ("language model", "token scores", "diffusion head", "decoder", "semantic encoder")
OURS = "unilatent"
TEXT = "It rained all day, so we stayed at home and read to each other."


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

    @contextlib.contextmanager
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


def add_options(parser: argparse.ArgumentParser) -> None:
    """The sizes of the model and of the work."""
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
    parser.add_argument("--voice", default="demo", help="voice that says sentences")
    parser.add_argument("--texts", type=int, nargs="*", default=[1, 16], help="sentences at once")


def measure(args: argparse.Namespace) -> Iterator[Table]:
    """Frames, then sentences of the voice, alone and several at once."""
    transformers.logging.set_verbosity_error()
    yield of_frames(args)
    for count in args.texts:
        yield of_voice(count, args)


def of_frames(args: argparse.Namespace) -> Table:
    """All systems in turn, and the processor time of their parts."""
    config = make_config(args)
    shipped = transformers.VibeVoiceForConditionalGeneration(config).eval().requires_grad_(False)
    randomize(shipped)
    plain = ChoosingByScores(config).eval().requires_grad_(False)
    plain.load_state_dict(shipped.state_dict())
    model = our_model(shipped, config)
    tokens = torch.randint(args.vocabulary - 4, (1, args.prompt), generator=torch.Generator().manual_seed(0))
    tokens[0, -1] = args.vocabulary - 3
    made = {OURS: (ours(model, args, tokens), places_of_ours(model))}
    if find_spec("diffusers"):
        made = {
            "transformers, released semantics": (theirs(plain, args, tokens), places_of_theirs(plain)),
            "transformers as it is": (theirs(shipped, args, tokens), places_of_theirs(shipped)),
            **made,
        }
    systems = [System(name, in_process(run)) for name, (run, _) in made.items()]
    title = (
        f"language model {args.layers} x {args.hidden}, vocabulary {args.vocabulary}, {args.filters} filters, "
        f"{args.steps} steps, guidance {args.guidance}, prompt {args.prompt}, {args.frames} frames"
    )
    table, outputs = compare(title, "frames", args.frames, systems, args.rounds)
    table.peak.clear()
    for row in table.rows:
        row.facts["audio"] = difference(outputs[row.system], outputs[OURS], args.frames)
        parts = by_part(*made[row.system], args.frames)
        row.facts |= {
            f"{part}, ms a frame": f"{value:.1f}" for part, value in zip((*PARTS, "rest"), parts, strict=True)
        }
    return table


def our_model(shipped: Any, config: transformers.VibeVoiceConfig) -> VibeVoice:
    """A model of this package with the weights of one of transformers."""
    settings = vibevoice_config(config.to_dict(), "config")
    model = VibeVoice(settings).eval().requires_grad_(False)
    model.load_state_dict(vibevoice_state(shipped.state_dict(), settings))
    model.prepare()
    return model


def difference(audio: Tensor, own: Tensor, frames: int) -> str:
    """How far the first frames are from ours (later, rounding errors accumulate); all must have the same length."""
    assert len(audio) == frames * 3200, f"{len(audio)} samples, expected {frames * 3200}"
    first = 3200 * min(3, frames)
    apart = float((audio - own)[:first].abs().max() / own[:first].abs().max())
    assert apart < 1e-3, f"the first frames differ by {apart:.2g}"
    return f"{apart:.0e} apart"


def by_part(run: Run, places: list[tuple[Any, str, str]], frames: int) -> list[float]:
    """Processor milliseconds per frame of each part and of the rest; medians of three runs."""
    found = []
    for _ in range(3):
        with Stopwatch().on(*places) as watch:
            whole = in_process(run)()[0].cpu
        spent = [watch.seconds[part] for part in PARTS]
        found.append([1000 * value / frames for value in (*spent, whole - sum(spent))])
    return [statistics.median(column) for column in zip(*found, strict=True)]


def of_voice(count: int, args: argparse.Namespace) -> Table:
    """So many sentences of a voice at once, here and in a process of their own, also of earlier commits."""
    args = argparse.Namespace(**{**vars(args), "texts": [count]})
    with contextlib.ExitStack() as stack:
        systems = [System("unilatent sentences", in_process(own("sentences", args)))]
        systems += [earlier("sentences") for earlier in stack.enter_context(systems_of(args.against, "speech", args))]
        seconds = systems[0].timed()[1]
        title = f"the voice {args.voice!r}, {count} sentences at once, {seconds:.1f} s of audio"
        table, outputs = compare(title, "s of audio", seconds, systems, args.rounds)
    table.peak.clear()
    for row in table.rows:
        assert abs(outputs[row.system] - seconds) < 0.5, f"{row.system}: {outputs[row.system]:.1f} s of audio"
        row.facts["real-time factor"] = f"{statistics.median(row.wall) / seconds:.3f}"
    return table


def own(name: str, args: argparse.Namespace) -> Run:
    """The voice says sentences; gives the seconds of audio."""
    from latent.synthesis.voices import open_voice

    voice = open_voice(args.voice, device="cpu")
    requests = [
        voice.request(str(number), TEXT, speaker=voice.speakers[0], seed=number) for number in range(args.texts[0])
    ]

    def run() -> float:
        return sum(chunk.audio.numel() for chunk in voice.stream(requests)) / voice.sample_rate

    return run
