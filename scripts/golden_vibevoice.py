"""Checks of the golden cases of VibeVoice's generation, one per kind, for check_golden.py (see golden_latent.py)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import torch
from golden_figures import Check, Figure, Taps, exact, excess, part
from torch import Tensor

from latent.audio.levels import normalize_loudness
from latent.data.batch import GenerationPrompts, MixedSequences
from latent.data.vibevoice_prompt import (
    TAIL,
    SwitchName,
    head_pieces,
    plain_text,
    speaker_numbers,
    tokenized,
    turn_piece,
)
from latent.decoding.vibevoice import SpokenStep, VibeVoiceDecoder
from latent.decoding.vibevoice_realtime import RealtimeDecoder, RealtimePrompt
from latent.diffusion.sampler import GuidedSampler, RowNoise
from latent.diffusion.solver import make_solver
from latent.longform.script import parse_script
from latent.models.checkpoints import realtime_config, realtime_state, vibevoice_config, vibevoice_state
from latent.models.vibevoice import SpeechState, VibeVoice
from latent.models.vibevoice_realtime import VibeVoiceRealtime, VoicePreset
from latent.text.labels import NUMBERED, find_label


class GivenNoise(RowNoise):
    """Noise from a table `(draws, L)`, for one row."""

    def __init__(self, table: Tensor) -> None:
        self._left = iter(table)

    def draw(self) -> Tensor:
        return next(self._left).unsqueeze(0)

    def of(self, rows: Sequence[int]) -> GivenNoise:
        return self

    def select(self, rows: Sequence[int]) -> None:
        pass


@torch.inference_mode()
def check_generation(case: dict[str, Any], tensors: Taps) -> Iterator[Figure]:
    """Voice prompts, every part fed with golden inputs, then the whole loop fed with its own outputs."""
    config = vibevoice_config(case["config"], "config")
    model = VibeVoice(config).eval()
    model.load_state_dict(
        vibevoice_state({n: t for n, t in tensors.items() if n.startswith(("model.", "lm_"))}, config)
    )
    yield Figure("hop length", exact(model.acoustic.hop_length, case["hop_length"]), 0)
    prompts, figures = voice_prompts(model, tensors, case["suggested_tol"])
    yield from figures
    for open_part in (language_steps, drawn_latents, spoken_audio):
        yield from part(open_part(model, prompts, case, tensors))
    yield from part(closed_loop(model, prompts, case, tensors))


def closed_loop(model: VibeVoice, prompts: MixedSequences, case: dict[str, Any], tensors: Taps) -> Iterator[Figure]:
    """The whole generation, fed with its own outputs."""
    config = model.config
    solver = VibeVoiceDecoder.Config(num_inference_steps=case["num_steps"], guidance_scale=case["cfg_scale"])
    generation = GenerationPrompts(
        conditional=prompts,
        unconditional=plain([config.tokens.start], config.language.latent_size),
        latent_token=config.tokens.latent,
        end_token=config.tokens.end,
        seeds=[0],
        temperatures=torch.ones(1),
        max_frames=[len(tensors["out.tokens"]) + 3],
    )
    noise = GivenNoise(tensors["rng.frame_noise"])
    steps: list[SpokenStep] = list(VibeVoiceDecoder(solver).stream(model, generation, noise))
    rtol, atol = case["suggested_tol"]["rtol"], case["suggested_tol"]["atol"]
    yield Figure("tokens", exact([step.tokens[0] for step in steps], tensors["out.tokens"]), 0)
    yield Figure("ended by itself", exact(steps[-1].ended, {0: True}), 0)
    latents = torch.cat([step.latents for step in steps])
    yield Figure("generated latents", excess(latents, tensors["mid.latents"], rtol), atol)
    audio = torch.cat([step.audio for step in steps])
    yield Figure("generated audio", excess(audio.view(1, -1), tensors["out.audio"], rtol), atol)


def plain(tokens: Sequence[int], latent_size: int) -> MixedSequences:
    """One sequence of tokens without latents."""
    nothing = torch.empty(0, dtype=torch.int64)
    return MixedSequences(
        ["x"], torch.tensor([tokens]), torch.tensor([len(tokens)]), torch.empty(0, latent_size), nothing
    )


def voice_prompts(model: VibeVoice, tensors: Taps, allowed: dict[str, float]) -> tuple[MixedSequences, list[Figure]]:
    """The prompt of a case, and the errors of its parts."""
    rtol, atol = allowed["open_loop_rtol"], allowed["open_loop_atol"]
    mean = model.acoustic.encode(tensors["in.voice_audio"])
    latents = model.acoustic.perturb(mean, tensors["rng.vae_std_unit"], tensors["rng.vae_eps"])
    frames = -(-tensors["in.voice_len"] // model.acoustic.hop_length)
    tokens = tensors["in.input_ids"]
    prompts = MixedSequences(
        ids=["x"],
        tokens=tokens,
        lengths=torch.tensor([tokens.shape[1]]),
        latents=torch.cat([latent[:count] for latent, count in zip(latents, frames.tolist(), strict=True)]),
        latent_slots=(tokens[0] == model.config.tokens.latent).nonzero().squeeze(1),
    )
    embedded = excess(model.language.embed(prompts), tensors["mid.prompt_embeds"], rtol)
    return prompts, [
        Figure("voice means", excess(mean, tensors["mid.voice_mu"], rtol), atol),
        Figure("prompt embeddings", embedded, atol),
    ]


def language_steps(model: VibeVoice, prompts: MixedSequences, case: dict[str, Any], tensors: Taps) -> Iterator[Figure]:
    """Hidden states and logits, from the golden input of every step."""
    rtol, atol = case["suggested_tol"]["open_loop_rtol"], case["suggested_tol"]["open_loop_atol"]
    language, golden = model.language, tensors["mid.pos_hidden"]
    order = torch.tensor([case["special_tokens"][name] for name in SPECIAL_TOKENS])
    yield Figure("order of the tokens", exact(order.tolist(), model.config.tokens.legal()), 0)
    state = language.prefill(prompts, prompts.tokens.shape[1] + len(tensors["mid.step_input_embeds"]) + 1)
    hidden = [state.hidden, *(language.append(state, fed[None]) for fed in tensors["mid.step_input_embeds"])]
    yield Figure("hidden states", excess(torch.cat(hidden), golden, rtol), atol)
    yield Figure("logits", excess(language.logits(golden, order), tensors["mid.logits4"], rtol), atol)


def drawn_latents(model: VibeVoice, _prompts: MixedSequences, case: dict[str, Any], tensors: Taps) -> Iterator[Figure]:
    """Latents, from the golden hidden states."""
    rtol, atol = case["suggested_tol"]["open_loop_rtol"], case["suggested_tol"]["open_loop_atol"]
    language = model.language
    conditions = tensors["mid.pos_hidden"][tensors["out.tokens"] == model.config.tokens.latent]
    solver = make_solver("dpm", language.schedule, case["num_steps"], language.config.prediction)
    sampler = GuidedSampler(language.head, solver, case["cfg_scale"])
    drawn = sampler.sample([conditions, tensors["mid.neg_hidden"]], tensors["rng.frame_noise"])
    yield Figure("latents", excess(drawn, tensors["mid.latents"], rtol), atol)


def spoken_audio(model: VibeVoice, prompts: MixedSequences, case: dict[str, Any], tensors: Taps) -> Iterator[Figure]:
    """Audio and the next inputs, from the golden latents."""
    rtol, atol = case["suggested_tol"]["open_loop_rtol"], case["suggested_tol"]["open_loop_atol"]
    chosen, tokens = tensors["out.tokens"].tolist(), model.config.tokens
    state = model.language.prefill(prompts, prompts.tokens.shape[1] + len(chosen))
    speech, audio, inputs, latents = SpeechState(state, 1), [], {}, iter(tensors["mid.latents"])
    for step, token in enumerate(chosen, 1):
        if token == tokens.latent:
            chunk, inputs[step] = model.speak(speech, next(latents)[None])
            audio.append(chunk)
        elif token == tokens.end:
            speech.silence(torch.tensor([True]))
    yield Figure("audio", excess(torch.cat(audio), tensors["mid.audio_chunks"], rtol), atol)
    fed = tensors["mid.step_input_embeds"][[step - 1 for step in inputs if step <= len(chosen) - 1]]
    yield Figure("inputs", excess(torch.cat(list(inputs.values()))[: len(fed)], fed, rtol), atol)


def check_prompt(case: dict[str, Any], tensors: Taps) -> Iterator[Figure]:
    """Scripts to turns and prompts, files to scripts, and the loudness of voice samples."""
    for number, item in enumerate(case["items"]):
        turns = turns_of(item["script"])
        yield Figure(f"{number} turns", exact([[speaker, f" {text}"] for speaker, text in turns], item["parsed"]), 0)
        frames = [-(-length // case["hop"]) for length in item["voice_lengths"]]
        pieces = [*head_pieces(frames), *(turn_piece(speaker, text) for speaker, text in turns), *TAIL]
        spelled = [piece if isinstance(piece, str) else SPELLING[piece.name] * piece.count for piece in pieces]
        yield Figure(f"{number} prompt", exact("".join(spelled), item["prompt_text"]), 0)
        tokens = tokenized(pieces, lambda text: list(map(ord, text)), SWITCHES)
        slots = [place for place, token in enumerate(tokens) if token == SWITCHES["latent"]]
        yield Figure(f"{number} slots", exact(slots, item["speech_input_mask_positions"]), 0)
        for voice, length in enumerate(item["voice_lengths"]):
            given = tensors.under(f"item{number}.")
            yield from part(voice_sample(f"{number} voice {voice}", given, voice, length, frames[voice]))
    for file in case["file_conversions"]:
        read = script_of(file["content"], file["suffix"])
        yield Figure(f"script of {file['suffix']}", exact(read, file["script"]), 0)


def turns_of(script: str) -> list[tuple[int, str]]:
    """The turns of a script. The released parser skips lines without a label; ours reads them as text."""
    labeled = "\n".join(line for line in script.splitlines() if find_label(line))
    lines = parse_script(labeled.encode(), "script")
    numbers = speaker_numbers([line.speaker for line in lines])
    return [(numbers[line.speaker], plain_text(line.text)) for line in lines]


def script_of(content: str, suffix: str) -> str:
    """A file as a script. The released code skips entries without number or text; ours reads or refuses them."""
    if suffix == ".json":
        entries = [entry for entry in json.loads(content) if str(entry.get("speaker")).isdecimal()]
        content = json.dumps([entry for entry in entries if entry.get("text", "").strip()])
    lines = parse_script(content.encode(), f"script{suffix}")
    return "\n".join(f"Speaker {NUMBERED.fullmatch(line.speaker)[1]}: {line.text}" for line in lines)


def voice_sample(name: str, tensors: Taps, voice: int, length: int, frames: int) -> Iterator[Figure]:
    """The loudness and the number of frames of a voice sample."""
    yield Figure(f"frames of {name}", exact(frames, tensors["speech_masks"][voice].sum()), 0)
    ours = torch.from_numpy(normalize_loudness(tensors[f"voice{voice}_raw"].numpy()))
    yield Figure(f"loudness of {name}", excess(ours, tensors["speech_tensors"][voice, :length], 1e-6), 1e-7)


@torch.inference_mode()
def check_realtime(case: dict[str, Any], tensors: Taps) -> Iterator[Figure]:
    """Speech from a stored voice and a text that arrives in windows, up to the last frame."""
    config = realtime_config(case["config"], "config")
    model = VibeVoiceRealtime(config).eval()
    model.load_state_dict(
        realtime_state({n: t for n, t in tensors.items() if n.startswith(("model.", "tts_"))}, config)
    )
    options = {"num_inference_steps": case["steps"], "guidance_scale": case["cfg_scale"]}
    windows = {"text_window": case["text_window"], "speech_window": case["speech_window"]}
    decoder = RealtimeDecoder(RealtimeDecoder.Config(**options, **windows))
    preset = VoicePreset.named(tensors.under("preset."))
    yield from part(realtime_stream(model, decoder, preset, case, tensors))
    yield from part(realtime_latents(model, case, tensors))
    yield from part(realtime_steps(model, preset, case, tensors))
    yield from part(realtime_preset(model, case, tensors))


def realtime_stream(
    model: VibeVoiceRealtime, decoder: RealtimeDecoder, preset: VoicePreset, case: dict[str, Any], tensors: Taps
) -> Iterator[Figure]:
    """The whole generation."""
    noise, text = GivenNoise(tensors["rng.frame_noise"]), tensors["in.text_ids"][0].tolist()
    chunks = list(decoder.stream(model, RealtimePrompt(preset, text, 100, 0), noise))
    rtol, atol = case["suggested_tol"]["rtol"], case["suggested_tol"]["atol"]
    yield Figure("frames", exact(len(chunks) - 1, case["frames_returned"]), 0)
    yield Figure("ended by itself", exact(chunks[-1].ended, {0: True}), 0)
    audio = torch.cat([chunk.audio for chunk in chunks[:-1]])
    yield Figure("audio", excess(audio.view(1, -1), tensors["out.audio"], rtol), atol)


def realtime_latents(model: VibeVoiceRealtime, case: dict[str, Any], tensors: Taps) -> Iterator[Figure]:
    """Latents, from the golden conditions."""
    rtol = case["suggested_tol"]["rtol"]
    solver = make_solver("dpm", model.language.schedule, case["steps"], "v")
    sampler = GuidedSampler(model.language.head, solver, case["cfg_scale"])
    drawn = sampler.sample([tensors["mid.pos_cond"], tensors["mid.neg_cond"]], tensors["rng.frame_noise"])
    yield Figure("latents", excess(drawn, tensors["mid.latents"], rtol), 2e-4)


def realtime_steps(
    model: VibeVoiceRealtime, preset: VoicePreset, case: dict[str, Any], tensors: Taps
) -> Iterator[Figure]:
    """Conditions and stop logits, from the golden latents."""
    state, left = model.prefill(preset, 64), iter(tensors["in.text_ids"][0].tolist())
    logits, conditions = [], []
    for frame, latent in enumerate(tensors["mid.latents"]):
        window = list(islice(left, case["text_window"])) if frame % case["speech_window"] == 0 else []
        if window:
            model.read(state, [window])
        conditions.append(state.speech.hidden)
        logits.append(model.remember(state, latent[None]).squeeze(0))
    golden = torch.stack([tensors["mid.pos_cond"], tensors["mid.neg_cond"]], dim=1)
    yield Figure("conditions", excess(torch.stack(conditions), golden, 2e-4), 2e-4)
    yield Figure("stop logits", excess(torch.stack(logits), tensors["mid.eos_logit"], 2e-4), 2e-4)


def realtime_preset(model: VibeVoiceRealtime, case: dict[str, Any], tensors: Taps) -> Iterator[Figure]:
    """A preset, from the text and the latents that the golden one was made of."""
    text, latents = tensors["in.prompt_ids"][0].tolist(), tensors["in.prompt_latents_scaled"][0]
    made = model.preset(text, latents, case["neg_token_id(<|image_pad|>)"]).tensors()
    golden = tensors.under("preset.")
    for name, tensor in made.items():
        expected = golden[name][:, -1:] if name.endswith("hidden_state") else golden[name]
        yield Figure(f"preset {name}", excess(tensor, expected, 2e-4), 2e-5)


SPELLING = {"start": "<|vision_start|>", "latent": "<|vision_pad|>", "end": "<|vision_end|>"}
SWITCHES: dict[SwitchName, int] = {"start": -1, "latent": -2, "end": -3}
SPECIAL_TOKENS = ("audio_token(speech_diffusion)", "audio_eos(speech_end)", "audio_bos(speech_start)", "eos")

KINDS: dict[str, Check] = {
    "prompt assembly + voice-prompt loudness normalisation": check_prompt,
    "end-to-end tiny VibeVoice generation, batch 1": check_generation,
    "VibeVoice-Realtime (streaming 0.5B architecture) tiny generation from a voice preset": check_realtime,
}
