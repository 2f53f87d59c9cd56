"""Checks of the golden cases of the LatentLM image repository, one per kind, for check_golden.py: models of pictures.

Its weights get our names here, since no others are published.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from golden_figures import Check, Figure, Taps, exact, excess, part
from torch import Tensor

from latent.data.batch import MixedSequences
from latent.diffusion.sampler import GuidedSampler
from latent.diffusion.solver import make_solver
from latent.models.dit import DiT
from latent.models.image_sigma_vae import PatchImageTokenizer
from latent.models.keymaps import Weights, joined_parts, renamed_start
from latent.models.latent_lm import HeadSection, LatentLM
from latent.models.sigma_vae import SigmaVAE, perturb
from latent.nn.patches import as_grid, in_raster_order

_LATENT_LM = {
    "x_embedder.proj.": "connector.",
    "x_embedder.weight": "connector.weight",
    "y_embedder.embedding_table.": "embeddings.",
    "condition_layer.linear.": "head.condition.",
    "noisy_x_embedder.proj.": "head.noisy.",
    "noisy_x_embedder.weight": "head.noisy.weight",
    "t_embedder.mlp.0.": "head.time_in.",
    "t_embedder.mlp.2.": "head.time_out.",
    "final_layer.adaLN_modulation.1.": "head.adaptation.",
    "final_layer.linear.": "head.out.",
}
_DIT = {**_LATENT_LM, "x_embedder.proj.": "head.noisy."}


def latentlm_image_weights(weights: Mapping[str, Tensor], head_dim: int) -> Weights:
    """Weights of a `LatentLM` from those of an autoregressive model of the LatentLM image repository.

    Its norms have no weights. Its rotary embedding rotates neighboring pairs of dimensions, ours the two halves of a
    head of width `head_dim`, so rows of queries and keys are reordered. `image_rope_theta` converts its rotary base.
    """
    renamed: Weights = {}
    for name, weight in joined_parts(weights, ("mlp.fc1.", "mlp.gate."), "gate_up."):
        if name.endswith("attn.qkv.weight"):
            weight = _halves_from_pairs(weight, num_kept=_value_rows(weights, name), head_dim=head_dim)
        name = name.replace(".attn.qkv.", ".qkv.").replace(".attn.proj.", ".out.").replace(".mlp.fc2.", ".down.")
        name = re.sub(r"^blocks\.", "layers.", name)
        name = re.sub(r"diffusion_blocks\.(\d+)\.(adaLN_modulation\.1\.)?", _image_head_block, name)
        renamed[renamed_start(name, _LATENT_LM)] = weight.flatten(1) if weight.dim() == 4 else weight
    hidden = renamed["embeddings.weight"].shape[1]
    blocks = {name.split(".gate_up")[0] for name in renamed if name.endswith("gate_up.weight")}
    for block in blocks:
        norms = ["norm"] if block.startswith("head.") else ["attention_norm", "ffn_norm"]
        renamed |= {f"{block}.{norm}.weight": torch.ones(hidden) for norm in norms}
    without_bias = {"connector.bias": torch.zeros(hidden)}  # of latents that are a row
    return without_bias | renamed | {"norm.weight": torch.ones(hidden)}


def image_rope_theta(head_dim: int, theta: float = 10_000) -> float:
    """The rotary base that reproduces the frequencies of the LatentLM image repository, which end at 1 / theta."""
    half = head_dim // 2
    return float(theta ** (half / (half - 1)))


def _image_head_block(found: re.Match[str]) -> str:
    return f"head.blocks.{found[1]}." + ("adaptation." if found[2] else "")


def _value_rows(weights: Mapping[str, Tensor], name: str) -> int:
    """Rows of `qkv` that are values: as many as keys; queries have as many rows as `qkv` has columns."""
    rows, columns = weights[name].shape
    return (rows - columns) // 2


def _halves_from_pairs(qkv: Tensor, num_kept: int, head_dim: int) -> Tensor:
    rotated, kept = qkv[: len(qkv) - num_kept], qkv[len(qkv) - num_kept :]
    pairs = rotated.reshape(-1, head_dim // 2, 2, qkv.shape[1])  # (heads, pairs, 2, H)
    return torch.cat([pairs.transpose(1, 2).flatten(0, 2), kept])


def dit_weights(weights: Mapping[str, Tensor], patch_size: int) -> Weights:
    """Weights of a `DiT` from those of the LatentLM image repository; without its table of places, which is fixed.

    One of its blocks is two of ours, attention and feed-forward. Patches enter it as (channel, row, column), as they do
    ours, and leave it with the channel last.
    """
    renamed: Weights = {}
    for name, weight in joined_parts(weights, ("mlp.fc1.", "mlp.gate."), "gate_up."):
        found = re.match(r"blocks\.(\d+)\.(?:attn|mlp)?\.?(.*)", name)
        attention, network = (f"head.blocks.{2 * int(found[1]) + place}." if found else "" for place in (0, 1))
        if name.endswith("x_embedder.proj.weight"):
            weight = weight.flatten(1)
        if found is None:
            renamed[renamed_start(name, _DIT)] = weight
        elif found[2].startswith("adaLN"):
            renamed[f"{attention}adaptation.weight"], renamed[f"{network}adaptation.weight"] = weight.chunk(2)
            renamed |= {f"{block}norm.weight": torch.ones(weight.shape[1]) for block in (attention, network)}
        elif found[2].startswith(("qkv", "proj")):
            renamed[attention + found[2].replace("proj", "out")] = weight
        else:
            renamed[network + found[2].replace("fc2", "down")] = weight
    del renamed["pos_embed"]
    channel_last = renamed["head.out.weight"].unflatten(0, (patch_size, patch_size, -1))
    renamed["head.out.weight"] = channel_last.permute(2, 0, 1, 3).flatten(0, 2)
    return renamed


@torch.no_grad()
def check_latentlm(case: dict[str, Any], tensors: Taps) -> Iterator[Figure]:
    """Conditions, head and guided generation of an image model: a class token, then latents in raster order."""
    sizes = case["config"]
    width = int(sizes["hidden_size"] * sizes["mlp_ratio"] * 2 / 3 / 64) * 64
    head_dim, flat = sizes["hidden_size"] // sizes["num_heads"], sizes.get("flatten_input", False)
    config = LatentLM.Config(
        vocab_size=sizes["num_classes"] + 1,
        latent_size=sizes["in_channels"],
        latent_mean=0,
        latent_std=1,
        hidden_size=sizes["hidden_size"],
        num_layers=sizes["depth"],
        num_heads=sizes["num_heads"],
        num_kv_heads=sizes["num_kv_heads"],
        intermediate_size=width,
        rope_theta=image_rope_theta(head_dim),
        norm_eps=1e-6,
        head=HeadSection(
            intermediate_size=width, num_layers=sizes["diffusion_depth"], norm_eps=1e-6, input_bias=not flat
        ),
    )
    model = LatentLM(config).eval()
    missing, unknown = model.load_state_dict(latentlm_image_weights(tensors.under("model."), head_dim), strict=False)
    names = exact([unknown, sorted(missing)], [[], ["latent_bias", "latent_scale"]])
    yield Figure("weights that are missing or unknown", names, 0)
    allowed = case["suggested_tol"]["rtol"], case["suggested_tol"]["atol"]
    yield from part(latentlm_forward(model, case, tensors, *allowed))
    yield from part(latentlm_generation(model, case, tensors, *allowed))
    if "sigma_std_config" in case:
        yield from part(latentlm_sampling(case, tensors.under("sigma."), *allowed))


def as_rows(latents: Any) -> Any:
    """Latents of a grid `(B, C, S, S)`, or in raster order already, `(B, S², C)`, as the latter."""
    return in_raster_order(latents) if latents.dim() == 4 else latents


def latentlm_forward(
    model: LatentLM, case: dict[str, Any], tensors: Taps, rtol: float, atol: float
) -> Iterator[Figure]:
    latents, labels = as_rows(tensors["in.latents"]), tensors["in.labels"]
    batch, frames = latents.shape[:2]
    slots = torch.arange(batch * frames).view(batch, frames)[:, 1:]
    sequences = MixedSequences(
        ids=[str(row) for row in range(batch)],
        tokens=labels.unsqueeze(1).expand(-1, frames),
        lengths=torch.full((batch,), frames),
        latents=latents[:, :-1].flatten(0, 1),
        latent_slots=slots.flatten(),
    )
    hidden = model.hidden(sequences)
    yield Figure("conditions", excess(model.head.condition(hidden), tensors["mid.condition"], rtol), atol)
    repeated = hidden.repeat_interleave(case["batch_mul"], 0)
    output = model.head(as_rows(tensors["in.x_noisy"]), tensors["in.t"], repeated)
    yield Figure("head", excess(output, as_rows(tensors["out.v"]), rtol), atol)


def latentlm_generation(
    model: LatentLM, case: dict[str, Any], tensors: Taps, rtol: float, atol: float
) -> Iterator[Figure]:
    """Conditional and unconditional stream in one batch: rows with the label, then rows with the null class."""
    latents, labels = as_rows(tensors["in.latents"]), tensors["in.labels"]
    batch, frames = latents.shape[:2]
    prompts = MixedSequences(
        ids=[str(row) for row in range(2 * batch)],
        tokens=torch.cat([labels, torch.full_like(labels, case["config"]["num_classes"])]).unsqueeze(1),
        lengths=torch.ones(2 * batch, dtype=torch.int64),
        latents=latents[:0, 0],
        latent_slots=labels[:0],
    )
    sampler = GuidedSampler(model.head, make_solver("dpm", model.schedule, case["ar_steps"], "v"), case["ar_cfg"])
    state, drawn = model.prefill(prompts, capacity=frames + 1), []
    for noise in tensors["rng.ar_noise"]:
        drawn.append(sampler.sample(state.hidden.chunk(2), noise[:batch].flatten(1)))
        model.append(state, model.embed_latents(torch.cat([drawn[-1], drawn[-1]])))
    golden = as_rows(tensors["out.ar_latents"])
    yield Figure("generated", excess(torch.stack(drawn, 1), golden, rtol), atol)


def latentlm_sampling(case: dict[str, Any], given: Taps, rtol: float, atol: float) -> Iterator[Figure]:
    config = SigmaVAE.Config(std=case["sigma_std_config"])
    sampled = perturb(config, given["mean"], given["std_unit"], given["eps"])
    yield Figure("sampled latents", excess(sampled, given["z"], rtol), atol)
    yield Figure("KL term", excess(given["mean"].square().mean(), given["kl"], rtol), atol)


@torch.no_grad()
def check_dit(case: dict[str, Any], tensors: Taps) -> Iterator[Figure]:
    """Patches, output and guided sampling of the diffusion baseline."""
    sizes = case["config"]
    config = DiT.Config(
        vocab_size=sizes["num_classes"] + 1,
        latent_size=sizes["in_channels"],
        latent_mean=0,
        latent_std=1,
        grid_size=sizes["input_size"],
        patch_size=sizes["patch_size"],
        hidden_size=sizes["hidden_size"],
        num_layers=sizes["depth"],
        num_heads=sizes["num_heads"],
        intermediate_size=int(sizes["hidden_size"] * sizes["mlp_ratio"] * 2 / 3 / 64) * 64,
    )
    model, weights = DiT(config).eval(), tensors.under("model.")
    missing, unknown = model.load_state_dict(dit_weights(weights, sizes["patch_size"]), strict=False)
    names = exact([unknown, sorted(missing)], [[], ["latent_bias", "latent_scale"]])
    yield Figure("weights that are missing or unknown", names, 0)
    rtol, atol = case["suggested_tol"]["rtol"], case["suggested_tol"]["atol"]
    yield Figure("table of places", excess(model.head.places, weights["pos_embed"][0], rtol), atol)
    yield from part(dit_outputs(model, tensors, rtol, atol))
    yield from part(dit_sampling(model, case, tensors, rtol, atol))


def dit_outputs(model: DiT, tensors: Taps, rtol: float, atol: float) -> Iterator[Figure]:
    noisy = in_raster_order(tensors["in.x"]).flatten(1)
    patches = model.head.embed_patches(noisy)
    yield Figure("patches", excess(patches, tensors["mid.patches"], rtol), atol)
    output = model.head(noisy, tensors["in.t"], model.conditions(classes(tensors["in.labels"])))
    yield Figure("output", excess(as_picture(output, tensors["in.x"]), tensors["out.model"], rtol), atol)


def dit_sampling(model: DiT, case: dict[str, Any], tensors: Taps, rtol: float, atol: float) -> Iterator[Figure]:
    conditions = model.conditions(classes(torch.tensor(case["sampling_labels"]))).chunk(2)
    noise = tensors["in.noise"][: len(conditions[0])]
    sampler = GuidedSampler(model.head, make_solver("dpm", model.schedule, case["steps"], "v"), case["cfg"])
    drawn = sampler.sample(conditions, in_raster_order(noise).flatten(1))
    yield Figure("sampled", excess(as_picture(drawn, noise), tensors["out.sample_v_prediction"], rtol), atol)


def classes(labels: Tensor) -> MixedSequences:
    """Prompts of one token, the class."""
    ids, none = [str(row) for row in range(len(labels))], labels[:0]
    return MixedSequences(ids, labels.unsqueeze(1), torch.ones_like(labels), torch.empty(0, 1), none)


def as_picture(rows: Tensor, like: Tensor) -> Tensor:
    """Rows `(B, S² · C)` as pictures `(B, C, S, S)` of the shape of others."""
    return as_grid(rows.unflatten(1, (-1, like.shape[1])))


@torch.no_grad()
def check_image_heads(case: dict[str, Any], tensors: Taps) -> Iterator[Figure]:
    """The two ends of the image tokenizer, and its sampling."""
    config = PatchImageTokenizer.Config(
        image_size=case["grid"] * case["patch"],
        channels=case["channels"],
        patch_size=case["patch"],
        latent_size=case["latent_size"],
        hidden_size=case["width"],
        num_layers=1,
        num_heads=1,
        std=case["std"],
    )
    vae = PatchImageTokenizer(config).eval()
    vae.encoder.dense.load_state_dict(tensors.under("encoder.dense."))
    vae.decoder.fc1.load_state_dict(tensors.under("decoder.fc1."))
    vae.decoder.fc2.load_state_dict(tensors.under("decoder.fc2."))
    rtol, atol = case["suggested_tol"]["rtol"], case["suggested_tol"]["atol"]
    mean = vae.encoder.dense(tensors["in.features"])
    yield Figure("means", excess(as_grid(mean), tensors["out.mean"], rtol), atol)
    sampled = vae.perturb(mean, tensors["rng.std_unit"], in_raster_order(tensors["rng.eps"]))
    yield Figure("sampled latents", excess(as_grid(sampled), tensors["out.z"], rtol), atol)
    yield Figure("KL term", abs(float(mean.square().mean()) - case["kl"]), atol + rtol * case["kl"])
    pixels = vae.decoder.pixels(tensors["in.decoder_features"])
    yield Figure("pixels", excess(pixels, tensors["out.pixels"], rtol), atol)


KINDS: dict[str, Check] = {
    "LatentLM (image repository) AR transformer + diffusion head + sigma-VAE sampling": check_latentlm,
    "latentlm_flat": check_latentlm,
    "latentlm_dit": check_dit,
    "latentlm_image_heads": check_image_heads,
}
