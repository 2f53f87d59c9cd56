"""Checks of the golden cases of distillation, one per kind, for check_golden.py."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from golden_figures import Check, Figure, Taps, difference, exact, part
from torch import Tensor

from s2s.data.batch import Feeding, SourceBatch
from s2s.decoding.beam import BeamSearch
from s2s.decoding.wide import WideBeamSearch
from s2s.models import bart
from s2s.models.bart import from_bart_names
from s2s.models.encoder_decoder import EncoderDecoder
from s2s.models.families import SIZES
from s2s.models.unilm import UniLM
from s2s.nn.attention import Attention, attend
from s2s.nn.crossing import crossing
from s2s.nn.masks import additive
from s2s.nn.packing import Packing
from s2s.nn.relations import Vectors, log_relation, relation_divergence, split_heads
from s2s.nn.temperature import AttentionTemperature, Factors, scaled


def check_minilm(case: dict[str, Any], tensors: Taps) -> Iterator[Figure]:
    """Relations, losses and gradients of each recipe and visibility, in both precisions and by chunks of heads."""
    yield from part(relations(case, tensors))
    for name, wanted in case["expected"].items():
        for dtype in (torch.float64, torch.float32):
            for chunk in (1, wanted["relation_heads"]):
                yield from part(losses(case, tensors, name, dtype, chunk))
    teacher = {kind: tensors[f"teacher.{kind}"] for kind in "qkv"}
    for name in case["expected"]:
        loss = sum(divergences(case, tensors, name, teacher, teacher, 2).values())
        yield Figure(f"{name} of a student that is the teacher", abs(float(loss)), 1e-12)


def relations(case: dict[str, Any], tensors: Taps) -> Iterator[Figure]:
    """The relations themselves, at real rows."""
    real, tolerance = tensors["in.rows"].bool(), case["suggested_tol"]["loss_rel_float64"]
    parts = (("teacher_qk", case["attention_heads"]), ("student_vv", case["relation_heads"]))
    for mask in ("bidirectional", "seq2seq"):
        bias = additive(tensors[f"in.visible.{mask}"].bool(), torch.float64).unsqueeze(1)
        for name, heads in parts:
            who, pair = name.split("_")
            left, right = (split_heads(tensors[f"{who}.{kind}"], heads) for kind in pair)
            ours, theirs = log_relation(left, right, bias).exp(), tensors[f"mid.{name}.{mask}"]
            rows = real[:, None].expand(-1, heads, -1)
            yield Figure(f"{name} {mask}", difference(ours[rows], theirs[rows]), tolerance)


def losses(case: dict[str, Any], tensors: Taps, name: str, dtype: torch.dtype, chunk: int) -> Iterator[Figure]:
    """The loss of each relation, their sum, and its gradients."""
    kind, tolerance, wanted = str(dtype).removeprefix("torch."), case["suggested_tol"], case["expected"][name]
    teacher = {key: tensors[f"teacher.{key}"].to(dtype) for key in "qkv"}
    student = {key: tensors[f"student.{key}"].to(dtype, copy=True).requires_grad_() for key in "qkv"}
    parts = divergences(case, tensors, name, teacher, student, chunk)
    loss = sum(weight * parts[pair] for pair, weight in wanted["pairs"])
    assert isinstance(loss, Tensor)
    loss.backward()  # type: ignore[no-untyped-call]
    where = f"{name} {kind} by {chunk}"
    for pair, value in [*wanted["parts"].items(), ("loss", wanted["loss"])]:
        error = abs({**parts, "loss": loss}[pair].item() - value) / value
        yield Figure(f"{where} {pair}", error, tolerance[f"loss_rel_{kind}"])
    for key, vectors in student.items():
        if vectors.grad is not None:
            golden = tensors[f"grad.{name}.{key}"]
            yield Figure(f"{where} gradient of {key}", difference(vectors.grad, golden), tolerance[f"grad_abs_{kind}"])


def divergences(
    case: dict[str, Any], tensors: Taps, name: str, teacher: dict[str, Tensor], student: dict[str, Tensor], chunk: int
) -> dict[str, Tensor]:
    """The mean divergence of each relation of a recipe, NAME.VISIBILITY."""
    wanted, real = case["expected"][name], tensors["in.rows"].bool()
    seen, means = tensors[f"in.visible.{name.partition('.')[2]}"].bool(), {}
    for pair, _ in wanted["pairs"]:
        sides = (Vectors(*(vectors[kind] for kind in pair)) for vectors in (teacher, student))
        means[pair] = relation_divergence(*sides, wanted["relation_heads"], seen, real, chunk) / real.sum()
    return means


def check_temperature(case: dict[str, Any], tensors: Taps) -> Iterator[Figure]:
    """Attention alone, all rows at once, step by step from a cache, and greedy search, at each setting."""
    yield from part(attention_alone(case, tensors))
    sizes = case["config"]
    model = UniLM(UniLM.Config(**{name: sizes[key] for name, key in SIZES.items() if key in sizes}))
    model.load_bert_state({name: value for name, value in tensors.items() if name.startswith(("bert.", "cls."))})
    model.eval()
    for name, setting in case["settings"].items():
        knobs = zip(("source", "target", "cross"), ("source_rows", "target_to_target", "target_to_source"), strict=True)
        temperature = AttentionTemperature(form="width", **{knob: setting["T"][key] for knob, key in knobs})
        yield from part(all_rows(case, tensors, model, name, temperature.factors(case["head_width"])))
        yield from part(step_by_step(case, tensors, model, name, temperature))
        yield from part(greedy(case, model, name, temperature))


def attention_alone(case: dict[str, Any], tensors: Taps) -> Iterator[Figure]:
    """Outputs and mean entropy of one attention in float64; its weights are its outputs for values that are one-hot."""
    queries, keys, values = (tensors[f"attention.{kind}"] for kind in "qkv")
    one_hot = torch.eye(keys.shape[1], dtype=keys.dtype).expand(len(keys), -1, -1)
    for name, entropy in case["attention_mean_entropy_by_T"].items():
        temperature = AttentionTemperature.model_validate({"all": float(name), "form": "width"})
        factor, allowed = (
            temperature.factors(case["head_width"]).source,
            case["suggested_tol"]["attention_atol_float64"],
        )

        def of(wanted: Tensor, factor: float = factor) -> Tensor:
            plain: Attention = lambda asked, _, dropout: attend(asked[None], keys[None], wanted[None])[0]  # noqa: E731
            return scaled(plain, factor)(queries, keys, 0.0)

        yield Figure(f"attention at {name}", difference(of(values), tensors[f"attention.T{name}.out"]), allowed)
        weights = of(one_hot)
        yield Figure(f"entropy at {name}", abs(float(-(weights * weights.log()).sum(-1).mean()) - entropy), allowed)


def all_rows(case: dict[str, Any], tensors: Taps, model: UniLM, name: str, factors: Factors) -> Iterator[Figure]:
    """Hidden states and scores of source and target read in one go, where each score gets its own factor."""
    of_source, packing = tensors["in.token_type_ids"] == 0, packed(tensors)
    x = model.embeddings(
        model.embeddings.tokens(tensors["in.input_ids"]), packing.positions, tensors["in.token_type_ids"]
    )
    plain, across = packing.attention(), factors.cross / factors.target
    by_query = torch.where(of_source, factors.source / across, factors.target)[:, None, None]
    by_key = torch.where(of_source, across, 1.0)[:, None, None]

    entropies = []

    def attention(queries: Tensor, keys_values: Tensor, dropout: float) -> Tensor:
        keys, values = keys_values.unbind(1)
        queries, keys = queries * by_query, keys * by_key
        width = keys.shape[-1]  # weights are outputs for one-hot values, of which so many fit at a time
        parts = torch.eye(len(keys) + -len(keys) % width)[: len(keys)].split(width, 1)
        one_hot = [part[:, None].expand_as(keys) for part in parts]
        weights = torch.cat([plain(queries, torch.stack([keys, part], 1), dropout) for part in one_hot], -1)
        entropies.append(-torch.xlogy(weights, weights).sum(-1).mean())
        return plain(queries, torch.stack([keys, values], 1), dropout)

    for layer in model.layers:
        x = layer(x, attention)
    allowed = case["suggested_tol"]
    golden = torch.tensor(case["settings"][name]["mean_entropy_by_layer"])
    yield Figure(f"{name} entropies", difference(torch.stack(entropies), golden), allowed["hidden_atol"])
    yield Figure(f"{name} hidden", difference(x, tensors[f"out.{name}.hidden"]), allowed["hidden_atol"])
    yield Figure(f"{name} logits", difference(model.logits(x), tensors[f"out.{name}.logits"]), allowed["logits_atol"])


def packed(tensors: Taps) -> Packing:
    """The rows of source and target, which must see one another as the case says."""
    kinds = tensors["in.token_type_ids"]
    steps = kinds * kinds.cumsum(0)  # 0 for the source, then 1, 2, ...
    packing = Packing(steps[None], tensors["in.position_ids"][None], (steps >= 0)[None], int((kinds == 0).sum()))
    assert torch.equal(steps[None] <= steps[:, None], tensors["in.visible"].bool()), "the mask of UniLM"
    return packing


def sources(case: dict[str, Any], start: int | None = None) -> SourceBatch:
    """The source of a case, to write from; its tokens are fed from `start` on, or before a mask."""
    ids, special = torch.tensor([case["source_tokens"]]), case["special_ids"]
    feeding = Feeding(end=special["sep"], start=start, mask=special["mask"] if start is None else None)
    return SourceBatch(["source"], ids, torch.tensor([ids.shape[1]]), feeding, [[]])


def step_by_step(
    case: dict[str, Any], tensors: Taps, model: UniLM, name: str, temperature: AttentionTemperature
) -> Iterator[Figure]:
    """Scores of the target, whose tokens are fed one by one over the cached source."""
    first, *others = case["target_tokens"]
    made = by_steps(model, sources(case, start=first), others, temperature)
    golden = tensors[f"out.{name}.logits"][len(case["source_tokens"]) :]
    yield Figure(f"{name} cached logits", difference(made, golden), case["suggested_tol"]["logits_atol"])


def by_steps(
    model: UniLM | EncoderDecoder, batch: SourceBatch, target: list[int], temperature: AttentionTemperature
) -> Tensor:
    """Scores after the start and after each token of a target, `(1 + tokens, V)`."""
    state: Any = model.start_tempered(batch, 1 + len(target), temperature)
    made = []
    for token in [None, *target]:
        made.append(model.step(state, None if token is None else torch.tensor([[token]]))[0, 0])
        state.select(None, torch.zeros(1, 1, dtype=torch.int64))
    return torch.stack(made)


def greedy(case: dict[str, Any], model: UniLM, name: str, temperature: AttentionTemperature) -> Iterator[Figure]:
    """What greedy search writes, fed with masks, and the sum of its log-probabilities."""
    wanted = case["settings"][name]["greedy"]
    options = {"beam_size": 1, "min_length": 0, "max_length": len(wanted["ids"])}
    search = BeamSearch(BeamSearch.Config(attention_temperature=temperature, **options))
    ((found,),) = search(model, sources(case))
    yield Figure(f"{name} greedy ids", exact(found.tokens, wanted["ids"]), 0)
    error = abs(found.log_prob - wanted["sum_log_probability"])
    yield Figure(f"{name} greedy score", error, case["suggested_tol"]["logits_atol"])


def check_bart(case: dict[str, Any], tensors: Taps) -> Iterator[Figure]:
    """A BART with three temperatures: scores of a target, entropies of attention, and beam search."""
    sizes = {name: case["config"][theirs] for name, theirs in bart.SIZES.items() if theirs in case["config"]}
    model = EncoderDecoder(EncoderDecoder.Config(**sizes)).eval()
    names = ("model.", "final_logits_bias")
    model.load_state_dict(from_bart_names({name: value for name, value in tensors.items() if name.startswith(names)}))
    target, allowed = tensors["in.target"][0].tolist(), case["suggested_tol"]["logits_atol"]
    batch = SourceBatch(
        ids=["source"],
        tokens=tensors["in.source"],
        lengths=torch.tensor([tensors["in.source"].shape[1]]),
        feeding=Feeding(end=case["config"]["eos_token_id"], start=case["config"]["decoder_start_token_id"]),
        prefixes=[[]],
    )
    for name, setting in case["settings"].items():
        knobs = zip(("source", "target", "cross"), ("encoder", "decoder_self", "cross"), strict=True)
        temperature = AttentionTemperature(form="width", **{knob: setting["T"][key] for knob, key in knobs})
        made, golden = by_steps(model, batch, target[1:], temperature), tensors[f"out.{name}.logits"]
        yield Figure(f"{name} logits", difference(made, golden), allowed)
        entropies = bart_entropies(model, batch, target, temperature.factors(case["head_width"]))
        for key, entropy in setting["entropy"].items():
            yield Figure(f"{name} entropy of {key}", abs(entropies[key] - entropy), allowed)
        options = {"beam_size": 4, "min_length": 3, "max_length": 10, "no_repeat_ngram_size": 3, "stop": "likely"}
        options |= {"length_penalty": 2.0, "length_penalty_form": "power"}
        search = WideBeamSearch(WideBeamSearch.Config(attention_temperature=temperature, **options))
        ((found,),) = search(model, batch)
        start = case["config"]["decoder_start_token_id"]
        yield Figure(f"{name} beam", exact([start, *found.tokens], setting["beam4"]), 0)


def bart_entropies(model: EncoderDecoder, batch: SourceBatch, target: list[int], factors: Factors) -> dict[str, float]:
    """Mean entropy of the attention of each kind over layers, heads and rows."""
    length, written = batch.tokens.shape[1], len(target)
    source = Packing(torch.zeros(1, length), torch.arange(length)[None], torch.ones(1, length).bool(), length)
    steps = torch.arange(written)[None]
    output = Packing(steps + 1, steps, torch.ones(1, written).bool(), 0)
    found: dict[str, list[float]] = {"encoder": [], "decoder_self": [], "cross": []}

    def noting(kind: str, attention: Attention, hidden: Tensor | None) -> Attention:
        def attend(queries: Tensor, keys_values: Tensor, dropout: float) -> Tensor:
            scores = torch.einsum("qhd,khd->hqk", queries, keys_values[:, 0]) / queries.shape[-1] ** 0.5
            weights = (scores if hidden is None else scores.masked_fill(hidden, -torch.inf)).softmax(-1)
            found[kind].append(float(-torch.xlogy(weights, weights).sum(-1).mean()))
            return attention(queries, keys_values, dropout)

        return attend

    reading = scaled(noting("encoder", source.attention(), None), factors.source)
    own = noting("decoder_self", output.attention(), torch.ones(written, written).triu(1).bool())
    across = scaled(noting("cross", crossing(output, source), None), factors.cross)
    with torch.no_grad():
        memory = model.encoder(model.tokens(batch.tokens[0]), source.positions, reading)
        words, own = model.tokens(torch.tensor(target)), scaled(own, factors.target)
        model.decoder(words, output.positions, memory, lambda _: own, lambda _: across)
    return {kind: sum(values) / len(values) for kind, values in found.items()}


KINDS: dict[str, Check] = {
    "minilm_loss": check_minilm,
    "attention_temperature": check_temperature,
    "attention_temperature_bart": check_bart,
}
