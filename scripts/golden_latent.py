"""Checks of the golden cases of VibeVoice components, one per kind, for check_golden.py.

`KINDS` maps the `kind` of a case to a function of its JSON and tensors that yields a figure for each
comparison. An error is the largest absolute difference beyond the relative tolerance.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from golden_figures import Check, Figure, Taps, exact, excess, part
from torch import Tensor, nn

from latent.diffusion.sampler import GuidedSampler
from latent.diffusion.schedule import NoiseSchedule, add_noise, target
from latent.diffusion.solver import ddpm_timesteps, dpm_timesteps, make_solver, noise_ratios
from latent.models.keymaps import codec_weights, head_weights
from latent.models.sigma_vae import SigmaVAE
from latent.nn.codec import AudioEncoder
from latent.nn.diffusion_head import DiffusionHead, step_waves


def codec_config(sizes: dict[str, Any]) -> Any:
    """The options of a σ-VAE with the sizes of a case."""
    stages = len(sizes["depths"])
    return SigmaVAE.Config(
        ratios=sizes["downsampling_ratios"],
        depths=sizes["depths"],
        widths=[sizes["num_filters"] * 2**stage for stage in range(stages)],
        latent_size=sizes["hidden_size"],
        kernel_size=sizes["kernel_size"],
        expansion=sizes["ffn_expansion"],
        norm_eps=sizes["rms_norm_eps"],
        std=sizes["vae_std"] * 0.8,
    )


def in_chunks(run: Callable[..., tuple[Tensor, Any]], whole: Tensor, sizes: list[int], dim: int) -> Tensor:
    """The joined outputs of a streaming function for a signal split into chunks."""
    history, outputs = None, []
    for chunk in whole.split(sizes, dim=dim):
        output, history = run(chunk, history)
        outputs.append(output)
    return torch.cat(outputs, dim=1 if dim == 2 else 2)


def tap(stack: nn.Module, layer: int, run: Callable[[], Any]) -> Tensor:
    """The output `(B, C, T)` of one layer while `run` is called."""
    seen: list[Tensor] = []
    hook = stack.layers[layer].register_forward_hook(lambda _module, _inputs, output: seen.append(output[0]))
    run()
    hook.remove()
    return seen[0]


@torch.no_grad()
def check_acoustic(case: dict[str, Any], tensors: Taps) -> Iterator[Figure]:
    """Means, samples and audio of the acoustic tokenizer, whole and in chunks, and the outputs of its layers."""
    config = codec_config(case["config"])
    vae = SigmaVAE(config).eval()
    weights = tensors.under("model.audio_tower.")
    vae.encoder.load_state_dict(codec_weights(weights.under("encoder."), config.depths))
    vae.decoder.load_state_dict(codec_weights(weights.under("decoder."), config.depths[::-1]))
    yield Figure("hop length", exact(vae.hop_length, case["hop_length"]), 0)
    yield from part(acoustic_whole(vae, tensors, case["suggested_tol"]))
    yield from part(acoustic_chunks(vae, case, tensors))
    yield from part(acoustic_odd_length(vae, case, tensors))
    yield from part(acoustic_layers(vae, tensors, case["suggested_tol"]))


def acoustic_whole(vae: SigmaVAE, tensors: Taps, allowed: dict[str, float]) -> Iterator[Figure]:
    rtol, mean_tol, audio_tol = (allowed[name] for name in ("rtol", "atol_mu", "atol_audio"))
    mean, sampled = tensors["out.mu"], tensors["out.z_sampled"]
    yield Figure("means", excess(vae.encode(tensors["in.audio"]), mean, rtol), mean_tol)
    yield Figure("audio from means", excess(vae.decode(mean), tensors["out.audio_from_mu"], rtol), audio_tol)
    ours = vae.perturb(mean, tensors["rng.std_unit"], tensors["rng.eps"])
    yield Figure("sampled latents", excess(ours, sampled, rtol), mean_tol)
    yield Figure("audio from samples", excess(vae.decode(sampled), tensors["out.audio_from_z"], rtol), audio_tol)


def acoustic_chunks(vae: SigmaVAE, case: dict[str, Any], tensors: Taps) -> Iterator[Figure]:
    rtol, mean_tol, audio_tol = (case["suggested_tol"][name] for name in ("rtol", "atol_mu", "atol_audio"))
    chunks = [case["hop_length"] * frames for frames in case["stream_chunks_encode_frames"]]
    streamed = in_chunks(vae.encode_chunk, tensors["in.audio"], chunks, dim=2)
    yield Figure("means in chunks", excess(streamed, tensors["out.mu_streamed"], rtol), mean_tol)
    streamed = in_chunks(vae.decode_chunk, tensors["out.mu"], case["stream_chunks_decode_frames"], dim=1)
    yield Figure("audio in chunks", excess(streamed, tensors["out.audio_streamed"], rtol), audio_tol)


def acoustic_odd_length(vae: SigmaVAE, case: dict[str, Any], tensors: Taps) -> Iterator[Figure]:
    """The reference drops an incomplete last frame, ours pads it; earlier frames agree, since all layers are causal."""
    odd = vae.encode(tensors["in.audio_odd"])
    yield Figure("frames of an odd length", exact(odd.shape[1], case["measured"]["odd_frames_original_code"]), 0)
    odd = odd[:, : case["measured"]["odd_frames_hf"]]
    means = excess(odd, tensors["out.mu_odd"], case["suggested_tol"]["rtol"])
    yield Figure("means of an odd length", means, case["suggested_tol"]["atol_mu"])


def acoustic_layers(vae: SigmaVAE, tensors: Taps, allowed: dict[str, float]) -> Iterator[Figure]:
    config, rtol, audio, mean = vae.config, allowed["rtol"], tensors["in.audio"], tensors["out.mu"]
    stem = config.depths[0]
    encoder_taps = {
        "enc_stem_conv": 0,
        "enc_stem_out": stem,
        "enc_layer0_out": stem + 1 + config.depths[1],
        "enc_prehead": len(vae.encoder.layers) - 2,
    }
    for name, layer in encoder_taps.items():
        ours = tap(vae.encoder, layer, lambda: vae.encode(audio))
        yield Figure(name, excess(ours, tensors[f"mid.{name}"], rtol), allowed["atol_mu"])
    for name, layer in {"dec_stem_out": config.depths[-1], "dec_layer0_convtr": config.depths[-1] + 1}.items():
        ours = tap(vae.decoder, layer, lambda: vae.decode(mean))
        yield Figure(name, excess(ours, tensors[f"mid.{name}"], rtol), allowed["atol_audio"])


@torch.no_grad()
def check_semantic(case: dict[str, Any], tensors: Taps) -> Iterator[Figure]:
    """Features of the semantic tokenizer, whole and in chunks."""
    config = codec_config(case["config"])
    encoder = AudioEncoder(config.sizes(config.depths)).eval()
    prefix = next(name for name in tensors if name.endswith("stem.conv.conv.weight")).removesuffix(
        "stem.conv.conv.weight"
    )
    encoder.load_state_dict(codec_weights(tensors.under(prefix), config.depths))
    rtol, atol = case["suggested_tol"]["rtol"], case["suggested_tol"]["atol"]
    audio = tensors["in.audio"]
    yield Figure("features", excess(encoder(audio)[0], tensors["out.features"], rtol), atol)
    chunks = [case["hop_length"] * frames for frames in case["stream_chunks_frames"]]
    streamed = in_chunks(encoder, audio, chunks, dim=2)
    yield Figure("features in chunks", excess(streamed, tensors["out.features_streamed"], rtol), atol)


@torch.no_grad()
def check_head(case: dict[str, Any], tensors: Taps) -> Iterator[Figure]:
    """The diffusion head, its training loss, and guided trajectories."""
    sizes = case["config"]
    head = DiffusionHead(
        latent_size=sizes["latent_size"],
        condition_size=sizes["hidden_size"],
        hidden_size=sizes["hidden_size"],
        intermediate_size=sizes["intermediate_size"],
        num_layers=sizes["num_hidden_layers"],
        norm_eps=sizes["rms_norm_eps"],
        timestep_size=sizes["frequency_embedding_size"],
        timestep_max_period=sizes["diffusion_max_period"],
    ).eval()
    head.load_state_dict(head_weights(tensors.under("model.diffusion_head.")))
    rtol, atol = case["suggested_tol"]["rtol"], case["suggested_tol"]["atol"]

    steps = tensors["in.t"]
    waves = step_waves(steps, sizes["frequency_embedding_size"], sizes["diffusion_max_period"])
    yield Figure("waves", excess(waves, tensors["mid.sinusoid"], rtol), atol)
    yield Figure("step embeddings", excess(head.embed_steps(steps), tensors["mid.timestep_proj"], rtol), atol)
    yield Figure("output", excess(head(tensors["in.x"], steps, tensors["in.cond"]), tensors["out.v"], rtol), atol)

    schedule = NoiseSchedule.named("cosine")
    yield from part(training_loss(head, schedule, case, tensors.under("train.")))
    for name in sorted({key.rpartition(".")[0] for key in tensors if key.startswith("traj_")}):
        yield from part(trajectory(head, schedule, name, case, tensors))


def training_loss(head: DiffusionHead, schedule: NoiseSchedule, case: dict[str, Any], given: Taps) -> Iterator[Figure]:
    rtol, atol = case["suggested_tol"]["rtol"], case["suggested_tol"]["atol"]
    draws = case["ddpm_batch_mul"]
    latents, conditions = (given[name].repeat_interleave(draws, 0) for name in ("latents", "cond"))
    alpha, sigma = schedule.at(given["t"].long())
    noisy = add_noise(latents, given["noise"], alpha, sigma)
    wanted = target("v", latents, given["noise"], alpha, sigma)
    predicted = head(noisy, given["t"], conditions)
    yield Figure("noisy latents", excess(noisy, given["x_t"], rtol), atol)
    yield Figure("velocities", excess(wanted, given["v_target"], rtol), atol)
    yield Figure("predicted velocities", excess(predicted, given["v_pred"], rtol), atol)
    yield Figure("loss", excess((predicted - wanted).square().mean(), given["loss_mean"], rtol), atol)


def trajectory(
    head: DiffusionHead, schedule: NoiseSchedule, name: str, case: dict[str, Any], tensors: Taps
) -> Iterator[Figure]:
    """Guided sampling; the name gives steps and guidance, as in `traj_s10_w1.3`."""
    rtol, atol = case["suggested_tol"]["rtol"], case["suggested_tol"]["atol"]
    golden, (steps, guidance) = tensors.under(f"{name}."), name.removeprefix("traj_s").split("_w")
    solver = make_solver("dpm", schedule, int(steps), "v")
    sampler = GuidedSampler(head, solver, float(guidance))
    yield Figure(f"{name} timesteps", exact([step.timestep for step in solver], golden["timesteps"]), 0)
    conditions = [tensors["in.pos_cond"], tensors["in.neg_cond"]][: len(sampler.streams)]
    ours = torch.stack([tensors["in.noise"], *sampler.trajectory(conditions, tensors["in.noise"])])
    yield Figure(f"{name} trajectory", excess(ours, golden["x"], rtol), atol)
    final = sampler.sample(conditions, tensors["in.noise"])
    yield Figure(f"{name} final", excess(final, golden["final"], rtol), atol)
    clean = [step.clean(x, v) for step, x, v in zip(solver, golden["x"][:-1], golden["v_guided"], strict=True)]
    yield Figure(f"{name} clean", excess(torch.stack(clean), golden["x0_pred"], rtol), atol)


def check_schedule(case: dict[str, Any], tensors: Taps) -> Iterator[Figure]:
    """Noise schedules, solvers fed with fixed model outputs, single ancestral steps, and the forward process."""
    allowed = case["suggested_tol"]["rtol"], case["suggested_tol"]["atol"]
    for name in ("cosine", "linear", "cauchy", "laplace"):
        yield from part(schedule_tables(name, tensors.under(f"{name}."), *allowed))
    for key in sorted({key.split(".")[1] for key in tensors if key.startswith("dpm.")}):
        yield from part(solver_paths(key, tensors.under(f"dpm.{key}."), *allowed))
    for key in [key.removesuffix(".prev") for key in tensors if key.startswith("ddpm.") and key.endswith(".prev")]:
        yield from part(ancestral_step(key, tensors.under(f"{key}."), *allowed))
    yield from part(forward_process(tensors.under("fwd."), *allowed))


def schedule_tables(name: str, golden: Taps, rtol: float, atol: float) -> Iterator[Figure]:
    schedule = NoiseSchedule.named(name)
    tables = {"betas": schedule.betas, "alphas_cumprod": schedule.alphas_cumprod}
    tables |= {"alpha_t": schedule.alpha, "sigma_t": schedule.sigma, "lambda_t": -noise_ratios(schedule).log()}
    for table in tables.keys() & golden.keys():
        yield Figure(f"{name} {table}", excess(tables[table], golden[table], rtol), atol)
    for key in sorted({key.split(".")[0] for key in golden if key[0] == "n"}):
        steps = int(key[1:])
        timesteps = dpm_timesteps(steps)
        yield Figure(f"{name} {steps} timesteps", exact(timesteps, golden[f"{key}.timesteps"]), 0)
        ratios = torch.cat([noise_ratios(schedule)[timesteps], torch.zeros(1)])
        yield Figure(f"{name} {steps} ratios", excess(ratios, golden[f"{key}.sigmas"], rtol), atol)
        leading = golden[f"{key}.ddpm_timesteps_leading"]
        yield Figure(f"{name} {steps} ddpm timesteps", exact(ddpm_timesteps(steps), leading), 0)


PREDICTIONS = {"v_prediction": "v", "epsilon": "epsilon", "sample": "clean"}
SOLVERS = {"order1": "ddim", "heun": "dpm_heun", "sde": "dpm_sde"}


def solver_paths(key: str, given: Taps, rtol: float, atol: float) -> Iterator[Figure]:
    """Solvers fed with fixed model outputs."""
    for name in [name.removesuffix(".x") for name in given if name.endswith(".x")]:
        prediction, _, variant = name.partition(".")
        schedule = NoiseSchedule.named("linear" if variant == "linear" else "cosine")
        solver = make_solver(SOLVERS.get(variant, "dpm"), schedule, int(key[1:]), PREDICTIONS[prediction])
        x, previous, path = given["x_init"], None, [given["x_init"]]
        for step, output, noise in zip(solver, given["model_out"], given["sde_noise"], strict=True):
            clean = step.clean(x, output)
            x, previous = step.next(x, clean, previous, noise), clean
            path.append(x)
        yield Figure(f"{key} {name}", excess(torch.stack(path), given[f"{name}.x"], rtol), atol)


def ancestral_step(key: str, golden: Taps, rtol: float, atol: float) -> Iterator[Figure]:
    _, prediction, steps, timestep = key.split(".")
    solver = make_solver("ddpm", NoiseSchedule.named("cosine"), int(steps[1:]), PREDICTIONS[prediction])
    step = next(step for step in solver if step.timestep == int(timestep[1:]))
    clean = step.clean(golden["x"], golden["model_out"])
    yield Figure(f"{key} clean", excess(clean, golden["x0"], rtol), atol)
    following = step.next(golden["x"], clean, None, golden["noise"])
    yield Figure(f"{key} next", excess(following, golden["prev"], rtol), atol)


def forward_process(given: Taps, rtol: float, atol: float) -> Iterator[Figure]:
    alpha, sigma = NoiseSchedule.named("cosine").at(given["t"])
    noisy = add_noise(given["x0"], given["noise"], alpha, sigma)
    velocity = target("v", given["x0"], given["noise"], alpha, sigma)
    for prefix in ("", "ddpm_"):
        yield Figure(f"{prefix}noisy", excess(noisy, given[f"{prefix}x_t"], rtol), atol)
        yield Figure(f"{prefix}velocity", excess(velocity, given[f"{prefix}velocity"], rtol), atol)


KINDS: dict[str, Check] = {
    "acoustic tokenizer (encode mu, decode, sigma-VAE sampling, streaming)": check_acoustic,
    "semantic tokenizer encoder (deterministic, no sampling)": check_semantic,
    "diffusion head forward + DPM-Solver++(2M) trajectories with CFG + v-prediction loss": check_head,
    "noise schedules + solver single/multi steps": check_schedule,
}
