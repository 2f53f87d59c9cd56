"""A tiny checkpoint of VibeVoice-Realtime: the golden case's weights, with a tokenizer of bytes and its presets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

CASE = Path(__file__).parent / "golden/data/latent/case_pub_realtime"


def write_byte_tokenizer(folder: Path, special: tuple[str, ...] = ()) -> None:
    """A tokenizer whose tokens are bytes, and some special ones after them."""
    import transformers
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    letters = Tokenizer(models.BPE(vocab={letter: index for index, letter in enumerate(alphabet)}, merges=[]))
    letters.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    letters.decoder = decoders.ByteLevel()
    letters.add_special_tokens(list(special))
    transformers.PreTrainedTokenizerFast(tokenizer_object=letters).save_pretrained(folder)


def write_realtime(folder: Path, max_positions: int = 20_000) -> Path:
    """The checkpoint, with voice.safetensors and voice.pt, in a new folder."""
    tensors = load_file(CASE.with_suffix(".safetensors"))
    folder.mkdir(parents=True)
    write_byte_tokenizer(folder, ("<|image_pad|>",))
    config = json.loads(CASE.with_suffix(".json").read_text(encoding="utf-8"))["config"]
    config["decoder_config"]["max_position_embeddings"] = max_positions
    config["decoder_config"]["vocab_size"] = 300
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    weights = {name: tensor for name, tensor in tensors.items() if name.startswith(("model.", "tts_"))}
    name = "model.language_model.embed_tokens.weight"
    more = torch.randn(300 - len(weights[name]), weights[name].shape[1], generator=torch.Generator().manual_seed(0))
    weights[name] = torch.cat([weights[name], more])
    save_file(weights, folder / "model.safetensors")
    preset = {name.removeprefix("preset."): tensor for name, tensor in tensors.items() if name.startswith("preset.")}
    save_file(preset, folder / "voice.safetensors")
    torch.save(pickled(preset), folder / "voice.pt")
    return folder


def pickled(preset: dict[str, torch.Tensor], output: Any = None) -> dict[str, Any]:
    """A preset as the objects that the released code saves; `output` is a class for those of the speech layers."""
    import transformers
    from transformers.modeling_outputs import BaseModelOutputWithPast

    parts = {}
    for part in ("lm", "tts_lm", "neg_lm", "neg_tts_lm"):
        source = "neg_tts_lm" if part == "neg_lm" else part
        cache = transformers.DynamicCache()
        for layer in range(sum(name.startswith(f"{source}.k") for name in preset)):
            cache.update(preset[f"{source}.k{layer}"], preset[f"{source}.v{layer}"], layer)
        kind = output if output is not None and "tts" in part else BaseModelOutputWithPast
        parts[part] = kind(last_hidden_state=preset[f"{source}.last_hidden_state"], past_key_values=cache)
    return parts
