"""Checks of the golden cases of VibeVoice-ASR, offline and streaming, one per kind, for check_golden.py."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from golden_figures import Check, Figure, Taps, exact, excess, part
from torch import Tensor
from torch.nn import functional as F

from latent.models.checkpoints import asr_config, asr_state
from latent.models.keymaps import listening_name
from latent.models.latent_lm import LatentLM
from latent.models.text_writer import TextWriter
from latent.models.vibevoice_asr import EncodedAudio, VibeVoiceASR
from latent.nn.transformer import causal_attention


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


KINDS: dict[str, Check] = {"vibevoice_asr": check_asr}
