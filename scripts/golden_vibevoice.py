"""Checks of the golden cases of VibeVoice's generation, one per kind, for check_golden.py (see golden_latent.py)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import torch
from golden_latent import Check, Figure, exact, excess, under
from torch import Tensor

from latent.audio.levels import normalize_loudness
from latent.data.batch import GenerationPrompts, MixedSequences
from latent.data.vibevoice_prompt import (
    SwitchName,
    parse_script,
    prompt_pieces,
    prompt_sequence,
    script_of_json,
    script_of_text,
)
from latent.decoding.vibevoice import SpokenStep, VibeVoiceDecoder
from latent.decoding.vibevoice_realtime import RealtimeDecoder
from latent.diffusion.sampler import GuidedSampler, RowNoise
from latent.diffusion.solver import make_solver
from latent.models.checkpoints import realtime_config, realtime_state, vibevoice_config, vibevoice_state
from latent.models.vibevoice import SpeechState, VibeVoice
from latent.models.vibevoice_realtime import VibeVoiceRealtime, VoicePreset


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
def check_generation(case: dict[str, Any], tensors: dict[str, Tensor]) -> Iterator[Figure]:
    """Voice prompts, every part fed with the golden inputs, then the whole loop fed with its own outputs."""
    config = vibevoice_config(case["config"], "config")
    model = VibeVoice(config).eval()
    model.load_state_dict(
        vibevoice_state({n: t for n, t in tensors.items() if n.startswith(("model.", "lm_"))}, config)
    )
    yield "hop length", exact(model.acoustic.hop_length, case["hop_length"]), 0
    prompts, figures = voice_prompts(model, tensors, case["suggested_tol"])
    yield from figures
    yield from open_loop(model, prompts, case, tensors)

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
    yield "tokens", exact([step.tokens[0] for step in steps], tensors["out.tokens"].tolist()), 0
    yield "said the end itself", exact(steps[-1].ended, {0: True}), 0
    latents = torch.cat([step.latents for step in steps])
    yield "generated latents", excess(latents, tensors["mid.latents"], rtol), atol
    audio = torch.cat([step.audio for step in steps])
    yield "generated audio", excess(audio.view(1, -1), tensors["out.audio"], rtol), atol


def plain(tokens: Sequence[int], latent_size: int) -> MixedSequences:
    """One sequence of tokens without latents."""
    nothing = torch.empty(0, dtype=torch.int64)
    return MixedSequences(
        ["x"], torch.tensor([tokens]), torch.tensor([len(tokens)]), torch.empty(0, latent_size), nothing
    )


def voice_prompts(
    model: VibeVoice, tensors: dict[str, Tensor], allowed: dict[str, float]
) -> tuple[MixedSequences, list[Figure]]:
    """The prompt of a case, and how far its parts are off."""
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
        ("voice means", excess(mean, tensors["mid.voice_mu"], rtol), atol),
        ("prompt embeddings", embedded, atol),
    ]


def open_loop(
    model: VibeVoice, prompts: MixedSequences, case: dict[str, Any], tensors: dict[str, Tensor]
) -> Iterator[Figure]:
    """The parts of the loop, each with the golden input of every step."""
    rtol, atol = case["suggested_tol"]["open_loop_rtol"], case["suggested_tol"]["open_loop_atol"]
    language, tokens = model.language, model.config.tokens
    state = language.start(prompts, prompts.tokens.shape[1] + len(tensors["out.tokens"]))
    hidden = [state.hidden, *(language.step(state, fed[None]) for fed in tensors["mid.step_input_embeds"])]
    yield "hidden states", excess(torch.cat(hidden), tensors["mid.pos_hidden"], rtol), atol
    order = torch.tensor([case["special_tokens"][name] for name in SPECIAL_TOKENS])
    yield "order of the tokens", exact(order.tolist(), tokens.legal()), 0
    yield "logits", excess(language.logits(tensors["mid.pos_hidden"], order), tensors["mid.logits4"], rtol), atol

    chosen = tensors["out.tokens"]
    conditions = tensors["mid.pos_hidden"][chosen == tokens.latent]
    solver = make_solver("dpm", language.schedule, case["num_steps"], language.config.prediction)
    sampler = GuidedSampler(language.head, solver, case["cfg_scale"])
    drawn = sampler.sample(conditions, tensors["mid.neg_hidden"], tensors["rng.frame_noise"])
    yield "latents", excess(drawn, tensors["mid.latents"], rtol), atol

    speech, audio, inputs, latents = SpeechState(state, 1), [], {}, iter(tensors["mid.latents"])
    for step, token in enumerate(chosen.tolist(), 1):
        if token == tokens.latent:
            chunk, inputs[step] = model.speak(speech, next(latents)[None])
            audio.append(chunk)
        elif token == tokens.end:
            speech.silence(torch.tensor([True]))
    yield "audio", excess(torch.cat(audio), tensors["mid.audio_chunks"], rtol), atol
    fed = tensors["mid.step_input_embeds"][[step - 1 for step in inputs if step <= len(chosen) - 1]]
    yield "inputs", excess(torch.cat(list(inputs.values()))[: len(fed)], fed, rtol), atol


def check_prompt(case: dict[str, Any], tensors: dict[str, Tensor]) -> Iterator[Figure]:
    """Scripts to turns and prompts, files to scripts, and the loudness of voice samples."""
    for number, item in enumerate(case["items"]):
        turns = parse_script(item["script"])
        yield f"{number} turns", exact([[turn.speaker, turn.text] for turn in turns], item["parsed"]), 0
        frames = [-(-length // case["hop"]) for length in item["voice_lengths"]]
        pieces = prompt_pieces(turns, frames)
        spelled = [piece if isinstance(piece, str) else SPELLING[piece.name] * piece.count for piece in pieces]
        yield f"{number} prompt", exact("".join(spelled), item["prompt_text"]), 0
        voices = [torch.ones(count, 2) for count in frames]
        sequence = prompt_sequence(turns, voices, lambda text: list(map(ord, text)), SWITCHES, 2)
        yield f"{number} slots", exact(sequence.latent_slots.tolist(), item["speech_input_mask_positions"]), 0
        for voice, length in enumerate(item["voice_lengths"]):
            ours = torch.from_numpy(normalize_loudness(tensors[f"item{number}.voice{voice}_raw"].numpy()))
            theirs = tensors[f"item{number}.speech_tensors"][voice, :length]
            yield f"{number} loudness of voice {voice}", excess(ours, theirs, 1e-6), 1e-7
            valid = int(tensors[f"item{number}.speech_masks"][voice].sum())
            yield f"{number} frames of voice {voice}", exact(frames[voice], valid), 0
    for file in case["file_conversions"]:
        read = script_of_json if file["suffix"] == ".json" else script_of_text
        yield f"script of {file['suffix']}", exact(read(file["content"]), file["script"]), 0


@torch.inference_mode()
def check_realtime(case: dict[str, Any], tensors: dict[str, Tensor]) -> Iterator[Figure]:
    """Speech from a stored voice and a text that comes in by windows, up to the frame at which it stops."""
    config = realtime_config(case["config"], "config")
    model = VibeVoiceRealtime(config).eval()
    model.load_state_dict(
        realtime_state({n: t for n, t in tensors.items() if n.startswith(("model.", "tts_"))}, config)
    )
    options = {"num_inference_steps": case["steps"], "guidance_scale": case["cfg_scale"]}
    windows = {"text_window": case["text_window"], "speech_window": case["speech_window"]}
    decoder = RealtimeDecoder(RealtimeDecoder.Config(**options, **windows))
    preset = VoicePreset.named(under(tensors, "preset."))
    noise, text = GivenNoise(tensors["rng.frame_noise"]), tensors["in.text_ids"][0].tolist()
    chunks = list(decoder.stream(model, preset, text, 100, 0, noise))
    rtol, atol = case["suggested_tol"]["rtol"], case["suggested_tol"]["atol"]
    yield "frames", exact(len(chunks) - 1, case["frames_returned"]), 0
    yield "said the end itself", exact(chunks[-1].ended, {0: True}), 0
    audio = torch.cat([chunk.audio for chunk in chunks[:-1]])
    yield "audio", excess(audio.view(1, -1), tensors["out.audio"], rtol), atol

    sampler = GuidedSampler(
        model.language.head, make_solver("dpm", model.language.schedule, case["steps"], "v"), case["cfg_scale"]
    )
    drawn = sampler.sample(tensors["mid.pos_cond"], tensors["mid.neg_cond"], tensors["rng.frame_noise"])
    yield "latents", excess(drawn, tensors["mid.latents"], rtol), 2e-4
    state, left = model.start(preset, 64), iter(text)
    logits, conditions = [], []
    for frame, latent in enumerate(tensors["mid.latents"]):
        window = list(islice(left, case["text_window"])) if frame % case["speech_window"] == 0 else []
        if window:
            model.read(state, window)
        conditions.append(state.speech.hidden)
        logits.append(model.remember(state, latent[None]))
    golden = torch.stack([tensors["mid.pos_cond"], tensors["mid.neg_cond"]], dim=1)
    yield "conditions", excess(torch.stack(conditions), golden, 2e-4), 2e-4
    yield "stop logits", excess(torch.stack(logits), tensors["mid.eos_logit"], 2e-4), 2e-4


SPELLING = {"start": "<|vision_start|>", "latent": "<|vision_pad|>", "end": "<|vision_end|>"}
SWITCHES: dict[SwitchName, int] = {"start": -1, "latent": -2, "end": -3}
SPECIAL_TOKENS = ("audio_token(speech_diffusion)", "audio_eos(speech_end)", "audio_bos(speech_start)", "eos")

KINDS: dict[str, Check] = {
    "prompt assembly + voice-prompt loudness normalisation": check_prompt,
    "end-to-end tiny VibeVoice generation, batch 1": check_generation,
    "VibeVoice-Realtime (streaming 0.5B architecture) tiny generation from a voice preset": check_realtime,
}
