"""Checks of the golden cases of BEiT-3's captioning, for check_golden.py; see golden_s2s.py."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from golden_figures import Check, Figure, Taps, difference, exact, part
from torch import Tensor

from latent.criteria.captioning import Captioning
from latent.data.batch import SeenBatch, SeenSources
from latent.data.captions import pack_captions
from latent.models.beit3 import from_beit3_names, into_beit3_names
from latent.models.image_unilm import ImageUniLM
from s2s.data.batch import Feeding
from s2s.data.layout import Layout
from s2s.decoding.caption_beam import CaptionBeamSearch

SIZES = {
    "hidden_size": "encoder_embed_dim",
    "num_heads": "encoder_attention_heads",
    "intermediate_size": "encoder_ffn_embed_dim",
    "num_layers": "encoder_layers",
    "vocab_size": "vocab_size",
    "image_size": "img_size",
    "patch_size": "patch_size",
    "channels": "in_chans",
    "layer_norm_eps": "layernorm_eps",
    "activation": "activation_fn",
}


@dataclass(frozen=True)
class Case:
    """A golden case: the content of its JSON file and its tensors."""

    data: dict[str, Any]
    tensors: Taps

    @property
    def special(self) -> dict[str, int]:
        return dict(self.data["special_ids"])

    @property
    def places(self) -> int:
        return int(self.data["image_tokens"])

    def tolerance(self, name: str) -> float:
        return float(self.data["suggested_tol"][name])


def check(data: dict[str, Any], tensors: Taps) -> Iterator[Figure]:
    """Logits, losses, gradients and captions of a tiny BEiT-3."""
    case = Case(data, tensors)
    model = load_model(case)
    yield from part(scores(case, model))
    yield from part(losses(case, model))
    yield from part(both_ways(case, model))
    yield from part(captions(case, model))


def load_model(case: Case) -> ImageUniLM:
    """The model of a case, with its weights."""
    state = from_beit3_names(case.tensors.under("param."))
    sizes: dict[str, Any] = {name: case.data["config"][theirs] for name, theirs in SIZES.items()}
    rows = len(state["embeddings.positions.weight"])
    without = {"num_segments": 0, "hidden_dropout": 0.0, "attention_dropout": 0.0}
    model = ImageUniLM(ImageUniLM.Config(multiway=True, max_positions=rows, **without, **sizes))
    model.load_beit3_state(state, "the golden case")
    return model.eval()


def batch_of(case: Case, predicted: Tensor) -> SeenBatch:
    """The masked captions; labels are the true tokens where `predicted` `(B, T)` holds, [CLS] left out."""
    fed, truth = (case.tensors[f"in.{name}_ids"].numpy() for name in ("masked", "text"))
    pictures, layouts = case.tensors["in.image"].numpy(), []
    source = np.array([case.special["pad"]] * case.places + [case.special["cls"]])
    for row, length in enumerate(case.data["text_lengths"]):
        slots = predicted[row, 1:length].nonzero().squeeze(1).numpy()
        caption = slice(1, length)
        layouts.append(Layout(source, fed[row, caption], np.empty(0, np.int64), slots, truth[row, 1 + slots]))
    return pack_captions(layouts, list(pictures), case.places, alone=True, pad_id=case.special["pad"])


def scores(case: Case, model: ImageUniLM) -> Iterator[Figure]:
    real = case.tensors["in.padding"] == 0
    batch = batch_of(case, real)
    starts = torch.arange(len(real)) * batch.tokens.shape[1] + case.places
    logits = model(replace(batch, slots=torch.cat([starts, batch.slots])))
    golden = case.tensors["out.logits"]
    theirs = torch.cat([golden[:, 0], golden[:, 1:][real[:, 1:]]])
    yield Figure("logits", difference(logits, theirs), case.tolerance("logits_atol"))
    masked = case.tensors["in.masked_positions"] == 1
    logits = model(batch_of(case, masked))
    yield Figure("masked logits", difference(logits, case.tensors["out.masked_logits"]), case.tolerance("logits_atol"))


def losses(case: Case, model: ImageUniLM) -> Iterator[Figure]:
    batch = batch_of(case, case.tensors["in.masked_positions"] == 1)
    smoothing, allowed = case.data["label_smoothing"], case.tolerance("loss_atol")
    for name, dropped in (("loss_without_worst", case.data["drop_worst_ratio"]), ("loss", 0.0)):
        config = Captioning.Config(label_smoothing=smoothing, smooth_padding=True, drop_worst=dropped)
        criterion = Captioning(config).train()
        loss = criterion(model, batch)["loss"] / criterion.weights(batch)["loss"]
        yield Figure(name, abs(loss.item() - case.data[name]), allowed)
    model.zero_grad()
    loss.backward()
    ours = {name: torch.zeros_like(p) if p.grad is None else p.grad for name, p in model.named_parameters()}
    norms = {name: float(value.norm()) for name, value in into_beit3_names(ours, case.places).items()}
    golden = case.data["gradient_norms"]
    yield Figure("weights with a gradient", exact(norms.keys(), golden.keys()), 0)
    error = max(abs(norms[name] - golden[name]) / max(golden[name], 1e-3) for name in golden)
    yield Figure("gradient norms, relative", error, case.tolerance("gradient_rtol"))


def both_ways(case: Case, model: ImageUniLM) -> Iterator[Figure]:
    """The encoder without a causal mask: a picture and a text that see each other."""
    real = case.tensors["in.padding"] == 0
    pictures, lengths = case.tensors["in.image"], real.sum(1) + case.places
    seen = torch.full((len(real), case.places), case.special["pad"])
    golden = case.tensors["out.hidden_fusion_bidirectional"]
    tokens = torch.cat([seen, case.tensors["in.masked_ids"]], dim=1)
    feeding = Feeding(case.special["sep"], mask=case.special["mask"])
    sources = SeenSources([], tokens, lengths, feeding, [], images=pictures, places=case.places, alone=False)
    steps = sources.steps()
    slots = (steps == 0).flatten().nonzero().squeeze(1)
    positions = torch.arange(tokens.shape[1]).expand_as(tokens)
    rest = {"images": pictures, "places": case.places, "pad_id": case.special["pad"], "labels": slots}
    batch = SeenBatch([], tokens, positions, torch.zeros_like(tokens), steps, tokens.shape[1], slots, **rest)
    error = difference(model.features(batch), golden.flatten(0, 1)[slots])
    yield Figure("hidden states, both ways", error, case.tolerance("logits_atol"))


def captions(case: Case, model: ImageUniLM) -> Iterator[Figure]:
    special, steps = case.special, case.data["max_length"] - 2
    for name, run in case.data["runs"].items():
        sizes = {"beam_size": run["num_beams"], "length_penalty": run["length_penalty"], "max_length": steps}
        found = CaptionBeamSearch(CaptionBeamSearch.Config(**sizes))(model, sources_of(case))
        ours = [[special["cls"], *row[0].tokens, special["mask"], special["sep"]] for row in found]
        yield Figure(f"captions, {name}", exact(ours, run["ids"]), 0)
    golden = case.tensors["out.step_logprobs"]
    state, words = model.start(sources_of(case), steps), case.data["runs"]["one"]["ids"][0][1:-2]
    fed = [None, *(torch.full((len(case.data["text_lengths"]), 1), word) for word in words)]
    ours = torch.stack([model.step(state, tokens)[0, 0].log_softmax(-1) for tokens in fed])
    yield Figure("log-probabilities of steps", difference(ours, golden), case.tolerance("logits_atol"))


def sources_of(case: Case) -> SeenSources:
    """The pictures of a case, to write about."""
    pictures, special = case.tensors["in.image"], case.special
    count = len(pictures)
    tokens = torch.tensor([[special["pad"]] * case.places + [special["cls"]]] * count)
    feeding, lengths = Feeding(special["sep"], mask=special["mask"]), torch.full((count,), case.places + 1)
    names, prefixes = [str(row) for row in range(count)], [[] for _ in range(count)]
    return SeenSources(names, tokens, lengths, feeding, prefixes, images=pictures, places=case.places, alone=True)


KINDS: dict[str, Check] = {"beit3_captioning": check}
