"""Checks of the golden cases of VibeVoice-ASR, offline and streaming, one per kind, for check_golden.py."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from golden_figures import Check, Figure, Taps, exact, excess, part
from torch import Tensor
from torch.nn import functional as F

from latent.audio.levels import Loudness
from latent.data.recognition_prompt import FRAME, after_audio, before_audio, spelled
from latent.decoding.live_transcription import LiveDecoder, Windows, WindowSizes
from latent.decoding.text_writer import ReadPrompts, TextWriter
from latent.decoding.transcription import TranscriptionDecoder
from latent.models.checkpoints import asr_config, asr_state
from latent.models.keymaps import listening_name
from latent.models.latent_lm import LatentLM
from latent.models.vibevoice_asr import EncodedAudio, VibeVoiceASR
from latent.nn.transformer import causal_attention
from latent.recognition.answers import read_answer, written_answer
from latent.recognition.chunk_texts import segments_of
from latent.recognition.transcript import Segment


def model_of(case: dict[str, Any], tensors: Taps) -> VibeVoiceASR:
    """The model of a case, in evaluation mode."""
    config = asr_config(case["config"], "config")
    model = VibeVoiceASR(config).eval()
    named = {listening_name(n): t for n, t in tensors.items() if n.startswith(("model.", "lm_"))}
    model.load_state_dict(asr_state(named, config))
    return model


def in_chunks(model: VibeVoiceASR, audio: Tensor, size: int) -> EncodedAudio:
    """Recordings `(B, S)`, encoded in chunks with carried history."""
    history, parts = None, []
    for chunk in audio.unsqueeze(1).split(size, dim=2):
        encoded, history = model.encode(chunk, history)
        parts.append(encoded)
    return EncodedAudio(*(torch.cat(values, dim=1) for values in zip(*parts, strict=True)))


def check_asr(case: dict[str, Any], tensors: Taps) -> Iterator[Figure]:
    """Features in chunks and at once, logits, the greedy continuation, alone and together, loss and gradients."""
    model, tolerance = model_of(case, tensors), (case["suggested_tol"]["rtol"], case["suggested_tol"]["atol"])
    yield Figure("hop length", exact(model.hop_length, case["hop_length"]), 0)
    with torch.inference_mode():
        yield from part(asr_features(model, case, tensors, tolerance))
        yield from part(asr_logits(model, case, tensors, tolerance))
        yield from part(asr_continuation(model, case, tensors, tolerance))
    yield from part(asr_training(model, case, tensors, tolerance))


def asr_features(
    model: VibeVoiceASR, case: dict[str, Any], tensors: Taps, tolerance: tuple[float, float]
) -> Iterator[Figure]:
    """What the encoders hear, and what becomes of it."""
    rtol, atol = tolerance
    whole = in_chunks(model, tensors["in.audio"], tensors["in.audio"].shape[1])
    chunked = in_chunks(model, tensors["in.audio"], case["config"]["acoustic_tokenizer_chunk_size"])
    yield Figure("means in one piece", excess(whole.means, tensors["mid.acoustic_mu_whole"], rtol), atol)
    yield Figure("means", excess(chunked.means, tensors["mid.acoustic_mu"], rtol), atol)
    yield Figure("semantic features", excess(chunked.semantic, tensors["mid.semantic"], rtol), atol)
    drawn = model.draw(chunked.means, tensors["rng.vae_std_unit"], tensors["rng.vae_eps"])
    yield Figure("latents", excess(drawn, tensors["mid.acoustic_z"], rtol), atol)
    for name, latents in (("audio_features", drawn), ("audio_features_without_noise", chunked.means)):
        rows = model.embed(latents, chunked.semantic)
        real = torch.cat([row[:frames] for row, frames in zip(rows, case["audio_frames"], strict=True)])
        yield Figure(name.replace("_", " "), excess(real, tensors[f"mid.{name}"], rtol), atol)


def asr_prompts(model: VibeVoiceASR, case: dict[str, Any], tensors: Taps) -> list[Tensor]:
    """The inputs of the language model for each row `(1, P, D)`, without its padding."""
    encoded = in_chunks(model, tensors["in.audio"], case["config"]["acoustic_tokenizer_chunk_size"])
    drawn = model.draw(encoded.means, tensors["rng.vae_std_unit"], tensors["rng.vae_eps"])
    features, prompts = model.embed(drawn, encoded.semantic), []
    for row, frames in enumerate(case["audio_frames"]):
        ids = tensors["in.input_ids"][row][tensors["in.attention_mask"][row].bool()]
        prompts.append(with_audio(model, ids, features[row, :frames]).unsqueeze(0))
    return prompts


def with_audio(model: VibeVoiceASR, ids: Tensor, features: Tensor) -> Tensor:
    """Embeddings of tokens `(T,)` with features in the places of audio."""
    embedded = model.language.embeddings(ids)
    places = (ids == model.config.tokens.audio).nonzero().squeeze(1)
    return embedded.index_copy(0, places, features)


def asr_logits(
    model: VibeVoiceASR, case: dict[str, Any], tensors: Taps, tolerance: tuple[float, float]
) -> Iterator[Figure]:
    """Logits of the prompts, read at once and in pieces."""
    rtol, atol = tolerance
    writer = TextWriter(model.language, [case["eos_token_id"]])
    for row, prompt in enumerate(asr_prompts(model, case, tensors)):
        real = tensors["in.attention_mask"][row].bool()
        yield Figure(f"{row} inputs", excess(prompt[0], tensors["mid.prompt_embeds"][row][real], rtol), atol)
        for size in (prompt.shape[1], 4):
            state = writer.empty(prompt.shape[1])
            hidden = torch.cat([writer.read(state, piece) for piece in prompt.split(size, dim=1)], dim=1)
            logits = writer.logits(hidden)[0]
            yield Figure(f"{row} logits by {size}", excess(logits, tensors["out.logits"][row][real], rtol), atol)


def asr_continuation(
    model: VibeVoiceASR, case: dict[str, Any], tensors: Taps, tolerance: tuple[float, float]
) -> Iterator[Figure]:
    """The greedy continuation of each row: its ids, and the logits when the golden ids are fed."""
    rtol, atol = tolerance
    writer = TextWriter(model.language, [case["eos_token_id"]])
    for row, prompt in enumerate(asr_prompts(model, case, tensors)):
        golden, state = case["generated"][row], writer.empty(0)
        rows = [writer.logits(writer.read(state, prompt)[:, -1])]
        rows += [writer.step(state, torch.tensor([[token]]))[0] for token in golden[:-1]]
        logits = torch.cat(rows)
        yield Figure(f"{row} steps", excess(logits, tensors["out.step_logits"][row, : len(golden)], rtol), atol)
        yield Figure(f"{row} ids", exact(logits.argmax(-1).tolist(), golden), 0)
    decoder, prompts = TranscriptionDecoder(TranscriptionDecoder.Config()), asr_prompts(model, case, tensors)
    whole = [ids[:-1] if ended else ids for ids, ended in zip(case["generated"], case["ended"], strict=True)]
    for name, rows in (("0 alone", [0]), ("1 alone", [1]), ("both", [0, 1])):
        ids, states = list(map(str, rows)), [writer.empty(0) for _ in rows]
        for state, row in zip(states, rows, strict=True):
            writer.read(state, prompts[row])
        limits = [len(case["generated"][row]) for row in rows]
        texts = [text for (text,) in decoder(writer, ReadPrompts.of(ids, states, limits, case["eos_token_id"]))]
        yield Figure(f"greedy search, {name}", exact([text.tokens for text in texts], [whole[row] for row in rows]), 0)


def asr_training(
    model: VibeVoiceASR, case: dict[str, Any], tensors: Taps, tolerance: tuple[float, float]
) -> Iterator[Figure]:
    """Logits, loss and gradients of prompts with answers, padded on the right."""
    rtol, atol = tolerance
    with torch.no_grad():
        encoded = in_chunks(model, tensors["in.audio"], case["config"]["acoustic_tokenizer_chunk_size"])
        drawn = model.draw(encoded.means, tensors["rng.vae_std_unit"], tensors["rng.vae_eps"])
    features, ids, labels = model.embed(drawn, encoded.semantic), tensors["train.input_ids"], tensors["train.labels"]
    frames = case["audio_frames"]
    embedded = torch.stack([with_audio(model, row, features[i, : frames[i]]) for i, row in enumerate(ids)])
    positions = torch.arange(ids.shape[1]).unsqueeze(0)
    language: LatentLM = model.language
    logits = language.logits(language.read(embedded, positions, lambda layer: causal_attention))
    real = torch.arange(ids.shape[1]) < torch.tensor(
        [length + len(answer) for length, answer in zip(case["prompt_lengths"], case["labels"], strict=True)]
    ).unsqueeze(1)
    yield Figure("training logits", excess(logits[real], tensors["train.logits"][real], rtol), atol)
    loss = F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), ignore_index=-100)
    yield Figure("loss", abs(loss.item() - case["loss"]), case["suggested_tol"]["loss_atol"])
    loss.backward()
    wanted = case["gradient_norms"]
    gradients = asr_gradients(model)
    yield Figure("which have gradients", exact(sorted(gradients), sorted(map(listening_name, wanted))), 0)
    for name, norm in wanted.items():
        error = abs(gradients.get(listening_name(name), float("inf")) - norm) / norm
        yield Figure(f"gradient of {name}", error, case["suggested_tol"]["gradient_rtol"])


def asr_gradients(model: VibeVoiceASR) -> dict[str, float]:
    """Norms of the gradients by the golden name: joined matrices are parted, as they were when they were loaded."""
    config = model.config.language
    width, found = config.hidden_size // config.num_heads, {}
    rows = [config.num_heads * width, *[config.num_kv_heads * width] * 2]
    for name, parameter in model.named_parameters():
        if parameter.grad is None:
            continue
        for theirs, gradient in zip(*golden_parts(name, parameter.grad, rows), strict=True):
            found[theirs] = float(gradient.norm())
    return found


_GOLDEN = {
    "language.embeddings.": "model.language_model.embed_tokens.",
    "language.norm.": "model.language_model.norm.",
    "language.scores.": "lm_head.",
    "language.connector.": "model.multi_modal_projector.",
    "semantic_connector.": "model.semantic_connector.",
    "language.layers.": "model.language_model.layers.",
}
_PARTS = {
    ".qkv.": [".self_attn.q_proj.", ".self_attn.k_proj.", ".self_attn.v_proj."],
    ".gate_up.": [".mlp.gate_proj.", ".mlp.up_proj."],
    ".attention_norm.": [".input_layernorm."],
    ".ffn_norm.": [".post_attention_layernorm."],
}


def golden_parts(name: str, gradient: Tensor, rows: Sequence[int]) -> tuple[list[str], Sequence[Tensor]]:
    """The golden names of what a parameter of ours joins, and their parts of its gradient."""
    start = next(ours for ours in _GOLDEN if name.startswith(ours))
    golden = _GOLDEN[start] + name.removeprefix(start)
    if "layers." not in golden:
        for ours, theirs in ((".up.", ".linear_1."), (".norm.", ".act."), (".out.", ".linear_2.")):
            golden = golden if golden.startswith("model.language_model.") else golden.replace(ours, theirs)
        return [golden], [gradient]
    golden = golden.replace(".out.", ".self_attn.o_proj.").replace(".down.", ".mlp.down_proj.")
    joined = next((part for part in _PARTS if part in golden), None)
    if joined is None:
        return [golden], [gradient]
    names = [golden.replace(joined, part) for part in _PARTS[joined]]
    return names, gradient.split(rows) if joined == ".qkv." else gradient.chunk(len(names))


def check_prompt(case: dict[str, Any], tensors: Taps) -> Iterator[Figure]:
    """Prompts, loudness, and answers of the model: whatever one of the two published parsers reads must be read."""
    for number, item in enumerate(case["items"]):
        seconds = item["samples"] / case["sample_rate"]
        frames = f"{FRAME}x{-(-item['samples'] // case['hop_length'])}"
        prompt = spelled([*before_audio(), frames, *after_audio(seconds, item["context"] or "")])
        yield Figure(f"{number} prompt", exact(prompt, item["prompt_text_with_run_length"]), 0)
        yield from part(asr_loudness(number, tensors, case["suggested_tol"]["speech_atol"]))
    for number, answer in enumerate(case["parsing"]):
        found = read_answer(answer["raw"])
        wanted = wanted_segments(answer)
        yield Figure(f"{number} segments", exact(found.segments[: len(wanted)], wanted), 0)
        lost = "" if found.segments or answer["raw"] == "[]" else answer["raw"]
        yield Figure(f"{number} rest", exact(found.rest, lost), 0)
    target = case["training_target"]
    yield Figure("answer to train on", exact(written_answer(map(segment_of, target["segments"])), target["text"]), 0)


def asr_loudness(number: int, tensors: Taps, atol: float) -> Iterator[Figure]:
    """A recording at the level of the released code, heard in pieces."""
    raw, loudness = tensors[f"item{number}.raw"].numpy(), Loudness()
    for piece in np.array_split(raw, 3):
        loudness.hear(piece)
    ours = torch.from_numpy(raw * np.float32(loudness.factor()))
    yield Figure(f"{number} loudness", excess(ours, tensors[f"item{number}.speech"], 0), atol)


def wanted_segments(answer: dict[str, Any]) -> list[Segment]:
    """The segments that `transformers` reads, else those of the released code."""
    read = answer["transformers"] if isinstance(answer["transformers"], list) else answer["microsoft"]
    return [segment_of(item) for item in read]


def segment_of(item: dict[str, Any]) -> Segment:
    """A segment from a golden object, under the names of either parser."""
    either = [item.get(one, item.get(other)) for one, other in (("text", "Content"), ("speaker_id", "Speaker"))]
    text, speaker = either[0], item.get("speaker", either[1])
    times = [item.get(f"{edge}_time", item.get(edge.title(), item.get(edge))) for edge in ("start", "end")]
    start, end = [_number(time) for time in times]
    return Segment(text or "", start, end, None if speaker is None else str(speaker))


def _number(time: Any) -> float | None:
    if isinstance(time, str):
        return float(time) if time.replace(".", "").isdigit() else None
    return time


@torch.inference_mode()
def check_stream(case: dict[str, Any], tensors: Taps) -> Iterator[Figure]:
    """Windows, features, every logit, and the whole stream with and without noise, cut at random."""
    model, tolerance = model_of(case | {"config": stream_config(case)}, tensors), case["suggested_tol"]
    windows = list(stream_windows(case, tensors["in.audio"], [len(tensors["in.audio"])]))
    cut = list(stream_windows(case, tensors["in.audio"], [1, 79, 81, 5, 160, 15]))
    yield Figure("windows", exact(torch.stack(cut), torch.stack(windows)), 0)
    yield Figure("number of windows", exact(len(windows), len(case["windows"])), 0)
    yield from part(stream_features(model, windows, tensors, tolerance))
    yield from part(stream_logits(model, case, tensors, tolerance))
    draws = list(zip(tensors["rng.vae_std_unit"].split(1), tensors["rng.vae_eps"].split(1), strict=True))
    yield from part(stream_texts(model, case, cut, draws, ""))
    yield from part(stream_texts(model, case, cut, [(torch.zeros(1), draw * 0) for _, draw in draws], "_without_noise"))


def stream_config(case: dict[str, Any]) -> dict[str, Any]:
    """The configuration of a streaming case with its tokens, which are beside it."""
    names = {"audio_bos": "speech_start", "audio": "speech_pad", "audio_eos": "speech_end"}
    return case["config"] | {f"{ours}_token_id": case[f"{theirs}_id"] for ours, theirs in names.items()}


def stream_windows(case: dict[str, Any], audio: Tensor, sizes: Sequence[int]) -> Iterator[Tensor]:
    """The windows of a recording that comes in pieces of these sizes, again and again."""
    sizes = itertools.cycle(sizes)
    windows = Windows(case["hop_length"], WindowSizes(case["chunk_frames"], case["lookahead_frames"]))
    left = audio.numpy()
    while len(left):
        size = next(sizes)
        yield from map(torch.from_numpy, windows.push(left[:size]))
        left = left[size:]
    yield from map(torch.from_numpy, windows.close())


def stream_features(
    model: VibeVoiceASR, windows: list[Tensor], tensors: Taps, tolerance: dict[str, float]
) -> Iterator[Figure]:
    """What the encoders hear in each window alone."""
    rtol, atol = tolerance["rtol"], tolerance["atol"]
    encoded = [model.encode(window.view(1, 1, -1))[0] for window in windows]
    means, semantic = (torch.cat(values) for values in zip(*encoded, strict=True))
    yield Figure("means", excess(means, tensors["mid.acoustic_mu"], rtol), atol)
    yield Figure("semantic features", excess(semantic, tensors["mid.semantic"], rtol), atol)
    drawn = model.draw(means, tensors["rng.vae_std_unit"], tensors["rng.vae_eps"])
    yield Figure("latents", excess(drawn, tensors["mid.acoustic_z"], rtol), atol)
    for name, latents in (("audio_features", drawn), ("audio_features_without_noise", means)):
        yield Figure(name.replace("_", " "), excess(model.embed(latents, semantic), tensors[f"mid.{name}"], rtol), atol)


def stream_logits(
    model: VibeVoiceASR, case: dict[str, Any], tensors: Taps, tolerance: dict[str, float]
) -> Iterator[Figure]:
    """The logits of every position, with the golden features and ids."""
    rtol, atol = tolerance["rtol"], tolerance["atol"]
    writer = TextWriter(model.language, [case["text_chunk_end_id"]])
    state = writer.empty(0)

    def fed(embedded: Tensor) -> Tensor:
        return writer.logits(writer.read(state, embedded))[0]

    def tokens(*ids: int) -> Tensor:
        return model.language.embeddings(torch.tensor([ids]))

    yield Figure("prompt", excess(fed(tokens(*case["prompt_ids"])), tensors["out.prompt_logits"], rtol), atol)
    for chunk, ids in enumerate(case["generated"]):
        features = tensors["mid.audio_features"][chunk].unsqueeze(0)
        block = torch.cat([tokens(case["speech_start_id"]), features, tokens(case["speech_end_id"])], dim=1)
        logits = fed(block)
        yield Figure(f"{chunk} block", excess(logits, tensors["out.block_logits"][chunk], rtol), atol)
        steps = torch.cat([logits[-1:], *(fed(tokens(token)) for token in ids)])
        yield Figure(f"{chunk} steps", excess(steps, tensors["out.step_logits"][chunk, : len(steps)], rtol), atol)
        end = fed(tokens(case["text_chunk_end_id"]))[0]
        yield Figure(f"{chunk} end", excess(end, tensors["out.chunk_end_logits"][chunk], rtol), atol)


def stream_texts(
    model: VibeVoiceASR, case: dict[str, Any], windows: list[Tensor], draws: list[tuple[Tensor, Tensor]], kind: str
) -> Iterator[Figure]:
    """The ids of the whole stream, what ended each chunk, and how the cache grew."""
    decoder = LiveDecoder(LiveDecoder.Config(max_tokens=case["max_new_tokens_per_chunk"]))
    sizes = WindowSizes(case["chunk_frames"], case["lookahead_frames"])
    marks, stops = (case["speech_start_id"], case["speech_end_id"]), (case["text_chunk_end_id"], case["eos_token_id"])
    live = decoder.follow(model, case["prompt_ids"], marks, stops, sizes)
    lengths, texts = [live.num_positions], []
    for window, draw in zip(windows, draws, strict=True):
        texts.append(live.hear(window, draw))
        lengths.append(live.num_positions)
    endings = [{"chunk": "chunk_end", "text": "eos"}.get(text.ending, text.ending) for text in texts]
    yield Figure(f"ids{kind}", exact([text.tokens for text in texts], case[f"generated{kind}"]), 0)
    yield Figure(f"stops{kind}", exact(endings, case[f"stopped_by{kind}"]), 0)
    if not kind:
        yield Figure("lengths of the cache", exact(lengths, case["cache_lengths"]), 0)


def check_stream_rules(case: dict[str, Any], tensors: Taps) -> Iterator[Figure]:
    """Windows of recordings of many lengths, and segments from the texts of chunks."""
    hop = case["frame_samples"]
    for item in case["windows"]:
        windows = Windows(hop, WindowSizes(item["chunk_frames"], item["lookahead_frames"]))
        audio = np.arange(1, item["samples"] + 1, dtype=np.float32)
        found = [*windows.push(audio), *windows.close()]
        places = [[int(window[0]) - 1, int((window > 0).sum())] for window in found]
        name = f"{item['chunk_frames']} + {item['lookahead_frames']} frames, {item['samples']} samples"
        yield Figure(name, exact(places, item["starts_and_valid_samples"]), 0)
        yield Figure(f"frames of {name}", exact([len(window) // hop for window in found], item["frames"]), 0)
    for number, item in enumerate(case["segments"]):
        segments = segments_of(item["chunk_texts"], item["advance_seconds"], item["duration"])
        found = [{"Start": s.start, "End": s.end, "Speaker": s.speaker, "Content": s.text} for s in segments]
        yield Figure(f"segments {number}", exact(found, item["segments"]), 0)


KINDS: dict[str, Check] = {
    "vibevoice_asr": check_asr,
    "vibevoice_asr_prompt": check_prompt,
    "vibevoice_asr_stream": check_stream,
    "vibevoice_asr_stream_rules": check_stream_rules,
}
