"""Names of VibeVoice weights: every one of the two public schemes leads to a weight of ours with the same shape."""

from __future__ import annotations

import pytest
import torch

from latent.models.keymaps import codec_weights, head_weights, transformers_name, vibevoice_weights
from latent.models.latent_lm import HeadSection, LatentLM
from latent.nn.codec import AudioDecoder, AudioEncoder, CodecSizes
from latent.nn.diffusion_head import DiffusionHead
from s2s.errors import InputError

A, S, H = "model.acoustic_tokenizer.", "model.semantic_tokenizer.encoder.", "model.prediction_head."
NEW_A, NEW_S, NEW_H = "model.audio_tower.", "model.semantic_tokenizer_encoder.", "model.diffusion_head."

EXAMPLES = [
    (f"{A}decoder.upsample_layers.0.0.conv.conv.weight", f"{NEW_A}decoder.stem.conv.conv.weight"),
    (f"{A}encoder.downsample_layers.3.0.conv.conv.bias", f"{NEW_A}encoder.conv_layers.2.conv.conv.bias"),
    (f"{A}decoder.upsample_layers.1.0.convtr.convtr.weight", f"{NEW_A}decoder.conv_layers.0.convtr.convtr.weight"),
    (f"{A}encoder.stages.0.2.gamma", f"{NEW_A}encoder.stem.stage.2.gamma"),
    (f"{A}encoder.stages.1.0.mixer.conv.conv.conv.bias", f"{NEW_A}encoder.conv_layers.0.stage.0.mixer.conv.bias"),
    (f"{S}stages.6.7.ffn.linear1.weight", f"{NEW_S}conv_layers.5.stage.7.ffn.linear1.weight"),
    (f"{S}head.conv.conv.weight", f"{NEW_S}head.conv.weight"),
    ("model.acoustic_connector.norm.weight", "model.multi_modal_projector.act.weight"),
    ("model.semantic_connector.fc2.bias", "model.semantic_connector.linear_2.bias"),
    (f"{H}t_embedder.mlp.2.weight", f"{NEW_H}timestep_proj.fc2.weight"),
    (f"{H}layers.3.adaLN_modulation.1.weight", f"{NEW_H}layers.3.linear.weight"),
    (f"{H}layers.0.ffn.up_proj.weight", f"{NEW_H}layers.0.ffn.up_proj.weight"),
    (f"{H}final_layer.adaLN_modulation.1.weight", f"{NEW_H}final_layer.linear_1.weight"),
    (f"{H}final_layer.linear.weight", f"{NEW_H}final_layer.linear_2.weight"),
    ("model.speech_bias_factor", "model.latent_bias_factor"),
    ("model.language_model.layers.0.mlp.up_proj.weight", "model.language_model.layers.0.mlp.up_proj.weight"),
]


@pytest.mark.parametrize(("repository", "transformers"), EXAMPLES)
def test_names_of_the_repository_become_those_of_transformers(repository: str, transformers: str) -> None:
    assert transformers_name(repository) == transformers
    assert transformers_name(transformers) == transformers


def test_all_weights_of_a_codec_are_found() -> None:
    sizes = CodecSizes(ratios=(2, 3), depths=(1, 2, 1), widths=(3, 5, 4), latent_size=6, kernel_size=5)

    def block(width: int) -> dict[str, tuple[int, ...]]:
        shapes: dict[str, tuple[int, ...]] = dict.fromkeys(
            ("gamma", "ffn_gamma", "norm.weight", "ffn_norm.weight"), (width,)
        )
        shapes |= {"mixer.conv.weight": (width, 1, 5), "mixer.conv.bias": (width,)}
        shapes |= {"ffn.linear1.weight": (4 * width, width), "ffn.linear1.bias": (4 * width,)}
        return shapes | {"ffn.linear2.weight": (width, 4 * width), "ffn.linear2.bias": (width,)}

    def half(
        kind: str, convs: list[tuple[int, ...]], head: tuple[int, ...], widths: tuple[int, ...]
    ) -> dict[str, object]:
        found: dict[str, object] = {"head.conv.weight": head, "head.conv.bias": (head[0],)}
        for stage, (shape, width, depth) in enumerate(zip(convs, widths, (1, 2, 1), strict=True)):
            name = "stem" if stage == 0 else f"conv_layers.{stage - 1}"
            conv = "conv.conv" if stage == 0 else kind
            found |= {f"{name}.{conv}.weight": shape, f"{name}.{conv}.bias": (width,)}
            found |= {f"{name}.stage.{j}.{key}": value for j in range(depth) for key, value in block(width).items()}
        return found

    encoder = half("conv.conv", [(3, 1, 5), (5, 3, 4), (4, 5, 6)], (6, 4, 5), (3, 5, 4))
    decoder = half("convtr.convtr", [(4, 6, 5), (4, 5, 6), (5, 3, 4)], (1, 3, 5), (4, 5, 3))
    for module, shapes in ((AudioEncoder(sizes), encoder), (AudioDecoder(sizes), decoder)):
        weights = {name: torch.zeros(shape) for name, shape in shapes.items()}
        module.load_state_dict(codec_weights(weights, sizes.depths))
    with pytest.raises(InputError, match=r"no weight of an audio tokenizer is called 'stem\.norm\.weight'"):
        codec_weights({"stem.norm.weight": torch.zeros(3)}, sizes.depths)


def vibevoice_shapes() -> dict[str, tuple[int, ...]]:
    """A VibeVoice with hidden size 8, four heads, two of them for keys, two layers, latents of 3."""
    shapes: dict[str, tuple[int, ...]] = {
        "model.language_model.embed_tokens.weight": (11, 8),
        "lm_head.weight": (11, 8),
    }
    shapes |= {"model.language_model.norm.weight": (8,)}
    for layer in range(2):
        start = f"model.language_model.layers.{layer}."
        shapes |= {
            f"{start}self_attn.{name}_proj.weight": (rows, 8) for name, rows in zip("qkvo", (8, 4, 4, 8), strict=True)
        }
        shapes |= {f"{start}self_attn.{name}_proj.bias": (rows,) for name, rows in zip("qkv", (8, 4, 4), strict=True)}
        shapes |= {f"{start}mlp.gate_proj.weight": (6, 8), f"{start}mlp.up_proj.weight": (6, 8)}
        shapes |= {f"{start}mlp.down_proj.weight": (8, 6)}
        shapes |= {f"{start}input_layernorm.weight": (8,), f"{start}post_attention_layernorm.weight": (8,)}
    shapes |= {f"model.multi_modal_projector.{name}.bias": (8,) for name in ("linear_1", "linear_2")}
    shapes |= {"model.multi_modal_projector.linear_1.weight": (8, 3), "model.multi_modal_projector.act.weight": (8,)}
    shapes |= {"model.multi_modal_projector.linear_2.weight": (8, 8), "model.semantic_connector.act.weight": (8,)}
    head = {"noisy_images_proj": (8, 3), "cond_proj": (8, 8), "timestep_proj.fc1": (8, 6), "timestep_proj.fc2": (8, 8)}
    head |= {"layers.0.linear": (24, 8), "layers.0.norm": (8,), "layers.0.ffn.gate_proj": (24, 8)}
    head |= {"layers.0.ffn.up_proj": (24, 8), "layers.0.ffn.down_proj": (8, 24)}
    head |= {"final_layer.linear_1": (16, 8), "final_layer.linear_2": (3, 8)}
    shapes |= {f"model.diffusion_head.{name}.weight": shape for name, shape in head.items()}
    return shapes | {"model.latent_scaling_factor": (), "model.latent_bias_factor": ()}


def test_a_whole_vibevoice_checkpoint_loads_into_latent_lm() -> None:
    weights = {name: torch.randn(shape) for name, shape in vibevoice_shapes().items()}
    sizes = {"vocab_size": 11, "latent_size": 3, "hidden_size": 8, "num_layers": 2, "num_heads": 4, "num_kv_heads": 2}
    config = LatentLM.Config(
        **sizes,
        intermediate_size=6,
        qkv_bias=True,
        tie_embeddings=False,
        connector="mlp",
        head=HeadSection(num_layers=1, timestep_size=6),
    )
    model = LatentLM(config)
    model.load_state_dict(vibevoice_weights(weights))
    assert model.latent_scale == weights["model.latent_scaling_factor"]
    keys = weights["model.language_model.layers.1.self_attn.k_proj.weight"]
    assert torch.equal(model.state_dict()["layers.1.qkv.weight"][8:12], keys)


def test_gate_stands_before_up_in_the_head() -> None:
    head = DiffusionHead(
        latent_size=3, condition_size=8, hidden_size=8, intermediate_size=24, num_layers=1, timestep_size=6
    )
    weights = {
        name.removeprefix("model.diffusion_head."): torch.randn(shape)
        for name, shape in vibevoice_shapes().items()
        if name.startswith("model.diffusion_head.")
    }
    head.load_state_dict(head_weights(weights))
    assert torch.equal(head.state_dict()["blocks.0.gate_up.weight"][:24], weights["layers.0.ffn.gate_proj.weight"])
