"""Checks of the golden cases of s2s-ft, one per kind, for check_golden.py.

`KINDS` maps the `kind` of a case to a function of its JSON and tensors that yields a figure for each
comparison.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from golden_figures import Check, Figure, Missing, Taps, difference, exact, part
from torch import Tensor

from eval.postprocess import fix_tokenization, one_line, postprocess
from eval.py_rouge import py_rouge
from s2s.criteria.cross_entropy import CrossEntropy
from s2s.data.batch import PADDING, Feeding, SourceBatch
from s2s.data.layout import Layout, Noise, layout, pack
from s2s.data.tokenizer import SpecialIds, wordpiece_join
from s2s.decoding import ranking
from s2s.decoding.beam import BeamSearch
from s2s.models.families import SIZES
from s2s.models.keymaps import into_bert_names, to_bert_names
from s2s.models.pretrained import resize_positions
from s2s.models.unilm import UniLM
from s2s.nn.masks import visible
from s2s.nn.positions import relative_bucket
from s2s.nn.token_loss import token_loss
from s2s.training.optim import OptimConfig, decays, make_optimizer, make_schedule, set_lr


@dataclass(frozen=True)
class Case:
    """A golden case: the content of its JSON file and its tensors."""

    data: dict[str, Any]
    tensors: Taps

    def under(self, prefix: str) -> Taps:
        """The tensors whose names start with a prefix; the prefix is removed."""
        return self.tensors.under(prefix)

    def tolerance(self, name: str) -> float:
        return float(self.data["tolerances"][name])


def load_model(case: Case) -> Any:
    """The UniLM of a case, with its weights."""
    sizes = case.data["config"]
    model = UniLM(UniLM.Config(**{name: sizes[key] for name, key in SIZES.items() if key in sizes}))
    model.load_bert_state(case.under("param/"))
    return model.eval()


def check_train_forward(case: Case) -> Iterator[Figure]:
    """Visibility, positions, hidden states, logits, losses and gradients of one training batch."""
    inputs = case.under("in/")
    model, batch, columns = load_model(case), pack(golden_layouts(inputs), pad_id=0), real_columns(inputs)
    yield from part(visibility(case, batch, columns))
    yield from part(hidden_states(case, model, batch, columns))
    yield from part(scores_and_losses(case, model, batch))
    yield from part(gradients(case, model, batch))


def visibility(case: Case, batch: Any, columns: list[Tensor]) -> Iterator[Figure]:
    expected = case.under("out/")
    seen, agrees = visible(batch.steps, batch.steps), True
    for row, theirs in enumerate(columns):
        ours = (batch.steps[row] != PADDING).nonzero().squeeze(1)
        positions = batch.positions[row, ours]
        agrees &= torch.equal(seen[row][ours][:, ours], expected["attention_mask"][row][theirs][:, theirs].bool())
        agrees &= torch.equal(positions, expected["position_ids"][row, theirs].long())
        if "rel_pos_bucket" in expected:
            bins, furthest = case.data["config"]["rel_pos_bins"], case.data["config"]["max_rel_pos"]
            found = relative_bucket(positions[None, :] - positions[:, None], bins, furthest)
            agrees &= torch.equal(found, expected["rel_pos_bucket"][row][theirs][:, theirs].long())
    yield Figure("visibility, positions, buckets", exact(agrees, True), 0)


def hidden_states(case: Case, model: Any, batch: Any, columns: list[Tensor]) -> Iterator[Figure]:
    everywhere, theirs = (batch.steps != PADDING).flatten().nonzero().squeeze(1), case.tensors["out/hidden"]
    ours = model.features(replace(batch, slots=everywhere))
    golden = torch.cat([theirs[row, kept] for row, kept in enumerate(columns)])
    yield Figure("hidden states", difference(ours, golden), case.tolerance("hidden_abs"))


def scores_and_losses(case: Case, model: Any, batch: Any) -> Iterator[Figure]:
    expected, compared = case.under("out/"), label_mask(case.under("in/"))
    logits = model.logits(model.features(batch))
    yield Figure("logits", difference(logits, expected["logits"][compared]), case.tolerance("logits_abs"))
    losses = token_loss(logits, batch.labels, case.data["config"]["label_smoothing"], batch.pad_id)
    error = difference(losses, expected["token_loss"][compared])
    yield Figure("token losses", error, case.tolerance("token_loss_abs"))


def gradients(case: Case, model: Any, batch: Any) -> Iterator[Figure]:
    criterion = CrossEntropy(CrossEntropy.Config(label_smoothing=case.data["config"]["label_smoothing"]))
    loss = criterion(model, batch)["loss"] / criterion.weights(batch)["loss"]
    loss.backward()
    error = abs(loss.item() / case.data["expected"]["loss"] - 1)
    yield Figure("loss, relative", error, case.tolerance("loss_rel"))
    ours = into_bert_names({name: value.grad for name, value in model.named_parameters()})
    error = 0.0
    for name, golden in case.under("grad/").items():
        # A gradient that is zero in exact arithmetic (of a key bias) is rounding noise in both.
        scale = max(float(golden.norm()), 1e-4 * case.data["expected"]["global_grad_norm"])
        error = max(error, float((ours[name] - golden).norm()) / scale)
    yield Figure("gradients, relative", error, case.tolerance("grad_rel_norm"))


def check_decode(case: Case) -> Iterator[Figure]:
    """Greedy and beam outputs, scores, traces, and the choices that follow from the traces."""
    model, special = load_model(case), case.data["special_ids"]
    sources = decode_sources(case)
    steps = case.data["max_target_len"]
    expected, scores = case.under("out/"), case.tolerance("score_abs")
    for run in case.data["runs"]:
        config = BeamSearch.Config(
            beam_size=run["beam"],
            length_penalty=run["length_penalty"],
            no_repeat_ngram_size=run["ngram"],
            no_repeat_ngram_ignore=[str(id) for id in run["ignore"] or []],
            # Greedy search of the reference ignores the minimum.
            min_length=run["min_len"] if run["beam"] > 1 else 0,
            max_length=steps,
        )
        search = BeamSearch(config, token_id=int)
        best = [hypotheses[0] for hypotheses in search(model, sources)]
        name, end = run["name"], [special["sep_id"]]
        outputs = [hypothesis.tokens + end * hypothesis.finished for hypothesis in best]
        yield Figure(f"{name} tokens", exact(outputs, run["expected_sequences"]), 0)
        if run["beam"] == 1:
            log_probs = torch.tensor([hypothesis.log_prob for hypothesis in best])
            golden = torch.tensor(run["expected_sum_logprob"])
            yield Figure(f"{name} scores", difference(log_probs, golden), scores)
            continue
        golden = torch.tensor([[item["normalised"], item["sum_logprob"]] for item in run["expected_best"]])
        ours = torch.tensor([[hypothesis.score, hypothesis.log_prob] for hypothesis in best])
        yield Figure(f"{name} scores", difference(ours, golden), scores)
        trace = search.trace(model, sources)
        yield Figure(f"{name} last frame", exact(trace.last.tolist(), run["last_frame"]), 0)
        if run["trace"] == name:
            yield from part(trace_figures(name, run, trace, expected, scores))
            first = model.step(model.start(sources, steps), None)[:, 0].log_softmax(-1)
            error = difference(first, expected[f"{name}/first_step_logprobs"])
            yield Figure(f"{name} first log-probabilities", error, case.tolerance("logprob_abs"))
        yield from check_reranking(name, run, trace, end)


def trace_figures(name: str, run: dict[str, Any], trace: Any, expected: Taps, allowed: float) -> Iterator[Figure]:
    """Inputs of the beam up to the frame that completed each sentence."""
    for row, last in enumerate(run["last_frame"]):
        frames = slice(0, last + 1)
        error = difference(trace.scores[row, frames], expected[f"{name}/scores"][row, frames])
        yield Figure(f"{name} trace scores", error, allowed)
        for kind, ours in (("wids", trace.tokens), ("ptrs", trace.parents)):
            golden = expected[f"{name}/{kind}"][row, frames]
            yield Figure(f"{name} trace {kind}", exact(ours[row, frames].tolist(), golden), 0)


def check_reranking(name: str, run: dict[str, Any], trace: Any, end: list[int]) -> Iterator[Figure]:

    for choice in run.get("rerank_from_trace", []):
        if "alpha" in choice:
            rank = ranking.gnmt(choice["alpha"])
        else:
            rank = ranking.length_reward(choice["length_penalty"], choice.get("expect"))
        best = [hypotheses[0] for hypotheses in trace.best(rank, 1)]
        outputs = [hypothesis.tokens + end * hypothesis.finished for hypothesis in best]
        settings = ", ".join(f"{key} {value}" for key, value in choice.items() if key != "expected_sequences")
        yield Figure(f"{name} re-ranked by {settings}", exact(outputs, choice["expected_sequences"]), 0)


def check_optimizer_steps(case: Case) -> Iterator[Figure]:
    """Updates with AdamW: losses, learning rates, gradient norms and final weights."""
    model, hyper = load_model(case), case.data["hyper"]
    config = OptimConfig(
        lr=hyper["lr"],
        eps=hyper["eps"],
        weight_decay=hyper["weight_decay"],
        clip_norm=hyper["max_grad_norm"],
        warmup_steps=hyper["warmup"],
    )
    spared = into_bert_names(
        {name: torch.full_like(value, not decays(name, value)) for name, value in model.named_parameters()}
    )
    ours = {name for name, value in spared.items() if value.all()}
    yield Figure("spared from decay", exact(ours, set(case.data["no_weight_decay"])), 0)

    published, alternative = case.data["expected"], case.data.get("alternative_torch_optim_AdamW")
    groups = make_optimizer(config, model.named_parameters()).param_groups
    yield from followed("AdamW of s2s-ft", case, config, model, PublishedAdamW(groups, config), published)
    weights = model.bert_state()
    for name, value in case.under("final/").items():
        yield Figure(f"AdamW of s2s-ft, final {name}", difference(weights[name], value), case.tolerance("final_abs"))
    if alternative is None:
        return
    model = load_model(case)
    ours = make_optimizer(config, model.named_parameters())
    rates = {"learning_rates": published["learning_rates"]}
    yield from followed("AdamW of torch", case, config, model, ours, rates | alternative)


class PublishedAdamW(torch.optim.Optimizer):
    """AdamW of transformers 2.10, as s2s-ft uses it: eps is outside the bias correction, weight decay comes last."""

    def __init__(self, groups: list[dict[str, Any]], config: OptimConfig) -> None:
        kept = [{key: group[key] for key in ("params", "weight_decay", "lr")} for group in groups]
        super().__init__(kept, {})
        self._config, self._steps = config, 0

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        self._steps += 1
        (first, second), eps = self._config.betas, self._config.eps
        correction = (1 - second**self._steps) ** 0.5 / (1 - first**self._steps)
        for group in self.param_groups:
            for parameter in group["params"]:
                state = self.state[parameter]
                mean = state.setdefault("mean", torch.zeros_like(parameter)).lerp_(parameter.grad, 1 - first)
                square = state.setdefault("square", torch.zeros_like(parameter))
                square.mul_(second).addcmul_(parameter.grad, parameter.grad, value=1 - second)
                parameter.sub_(group["lr"] * correction * mean / (square.sqrt() + eps))
                parameter.sub_(group["lr"] * group["weight_decay"] * parameter)


def followed(
    name: str, case: Case, config: OptimConfig, model: Any, optimizer: torch.optim.Optimizer, golden: dict[str, Any]
) -> Iterator[Figure]:
    """Losses, learning rates and gradient norms of a trajectory; lists that the case lacks are skipped."""
    steps = case.data["hyper"]["steps"]
    schedule = make_schedule(config, steps)
    criterion = CrossEntropy(CrossEntropy.Config(label_smoothing=case.data["config"]["label_smoothing"]))
    losses, rates, norms = [], [], []
    for step in range(steps):
        set_lr(optimizer, config.lr * schedule(step))
        batch = pack(golden_layouts(case.under(f"in/{step}/")), pad_id=0)
        optimizer.zero_grad()
        loss = criterion(model, batch)["loss"] / criterion.weights(batch)["loss"]
        loss.backward()
        norms.append(float(torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip_norm)))
        optimizer.step()
        losses.append(loss.item())
        rates.append(optimizer.param_groups[0]["lr"])
    for listed, ours, tolerance in (("losses", losses, "loss_abs"), ("learning_rates", rates, "lr_abs")):
        error = worst(ours, golden[listed]) if listed in golden else Missing(listed)
        yield Figure(f"{name}, {listed.replace('_', ' ')}", error, case.tolerance(tolerance))
    error = Missing("grad_norms_before_clip")
    if isinstance(listed := golden.get("grad_norms_before_clip"), list):
        error = max(abs(norm / value - 1) for norm, value in zip(norms, listed, strict=True))
    yield Figure(f"{name}, gradient norms, relative", error, case.tolerance("grad_norm_rel"))


def check_layout(case: Case) -> Iterator[Figure]:
    """Training instances with noise made deterministic, as padded arrays."""
    ids, limits = case.data["special_ids"], (case.data["max_source_len"], case.data["max_target_len"])
    special = SpecialIds(cls=ids["cls_id"], sep=ids["sep_id"], mask=ids["mask_id"], pad=ids["pad_id"])
    for output in case.data["outputs"]:
        method = "pseudo_masked" if output["method"] == "pseudo" else output["method"]
        noise = Noise(
            output["target_mask_prob"],
            output["source_mask_prob"],
            output["random_prob"],
            output["keep_prob"],
            None,
            np.arange(case.data["vocab_size"]),
        )
        ours = []
        for pair in case.data["examples"]:
            generator = np.random.default_rng(0)
            made = layout(pair["src"], pair["tgt"], method, special, limits, noise, generator)
            ours.append(padded_item(made, method, limits, special.pad))
        settings = f"target {output['target_mask_prob']:g}, source {output['source_mask_prob']:g}"
        yield Figure(f"{method}, noise {settings}", exact(ours, output["items"]), 0)


def check_convert(case: Case) -> Iterator[Figure]:
    """A foreign checkpoint under BERT's names, and its resized position table."""
    ours = to_bert_names(case.under("before/"), case.data["source_format"])
    golden = {
        name: value for name, value in case.under("after/").items() if name in ours or name in case.data["model_keys"]
    }
    missing = {name for name in golden if name not in ours} - {"cls.predictions.decoder.weight"}
    yield Figure("names missing", float(len(missing)), 0)
    common = [name for name in golden if name in ours]
    yield Figure("tensors", max(difference(ours[name], golden[name]) for name in common), 0)
    yield from part(resized_positions(case))


def resized_positions(case: Case) -> Iterator[Figure]:
    """The position table, extended by repetition and truncated."""
    table = case.tensors["after/bert.embeddings.position_embeddings.weight"]
    for key in ("after_grow/", "after_shrink/"):
        for name, value in case.under(key).items():
            yield Figure(f"{key}{name}", difference(resize_positions(table, len(value)), value), 0)


def check_bucket_table(case: Case) -> Iterator[Figure]:
    """The first distance of every relative-position bucket."""
    for key, table in case.data["tables"].items():
        bins, furthest = map(int, key.split(","))
        distances = torch.arange(2 * furthest)
        golden = torch.zeros_like(distances)
        for bucket, first in table["first_distance_of_bucket_nonpositive"].items():
            golden[first:] = int(bucket)
        behind = relative_bucket(-distances, bins, furthest)
        ahead = relative_bucket(distances[1:], bins, furthest)
        yield Figure(f"{key} behind", difference(behind, golden), 0)
        yield Figure(f"{key} ahead", difference(ahead, golden[1:] + table["offset_for_positive"]), 0)


def check_postprocess(case: Case) -> Iterator[Figure]:
    """Post-processing of outputs as in the published evaluations, their scores, and detokenized WordPieces."""
    for item in case.data["wordpiece_detokenize"]:
        yield Figure("join", exact(wordpiece_join(item["tokens"]), item["joined"]), 0)
    for corpus, result in case.data["results"].items():
        fixed = [fix_tokenization(text, corpus) for text in case.data["predictions"]]
        yield Figure(f"{corpus} tokenization", exact(fixed, result["fix_tokenization"]), 0)
        for evaluation in result["eval"]:
            settings = evaluation["settings"]
            cleaned = [postprocess(text, corpus, **settings) for text in case.data["predictions"]]
            name = f"{corpus} {settings}"
            lines = [one_line(text) for text in cleaned]
            yield Figure(f"{name} text", exact(lines, evaluation["postprocessed"]), 0)
            separator = " <S_SEP> " if corpus == "cnndm" else "\n"  # a line break ends a sentence in cnndm only
            golds = [text.replace(separator, "\n") for text in case.data["golds"]]
            scores = [py_rouge(*pair) for pair in zip(cleaned, golds, strict=True)]
            for metric, golden in evaluation["scores"].items():
                ours = [sum(score[metric][key] for score in scores) / len(scores) for key in ("f", "p", "r")]
                error = worst(ours, [golden[key] for key in ("f", "p", "r")])
                yield Figure(f"{name} {metric}", error, case.tolerance("score_abs"))


def worst(ours: list[float], theirs: list[float]) -> float:
    return difference(torch.tensor(ours, dtype=torch.float64), torch.tensor(theirs, dtype=torch.float64))


def golden_layouts(inputs: dict[str, Tensor]) -> list[Any]:
    """Training examples from padded arrays."""
    arrays = {name: value.numpy().astype(np.int64) for name, value in inputs.items()}
    layouts = []
    for row, (ns, nt) in enumerate(zip(arrays["num_source_tokens"], arrays["num_target_tokens"], strict=True)):
        pseudo, slots = np.empty(0, np.int64), np.arange(nt)
        if "pseudo_ids" in arrays:
            pseudo, labels = arrays["pseudo_ids"][row, :nt], arrays["label_ids"][row, :nt]
        else:
            used = arrays["masked_weight"][row] == 1
            slots, labels = arrays["masked_pos"][row][used], arrays["masked_ids"][row][used]
        source, target = arrays["source_ids"][row, :ns], arrays["target_ids"][row, :nt]
        layouts.append(Layout(source, target, pseudo, slots, labels, id=str(row)))
    return layouts


def padded_item(made: Any, method: str, limits: tuple[int, int], pad: int) -> dict[str, Any]:
    """A layout in the form of the golden file: padded to the limits, with a list of masked positions."""
    max_source, max_target = limits

    def padded(values: Any, width: int) -> list[int]:
        return [int(value) for value in values] + [pad] * (width - len(values))

    item = {
        "source_ids": padded(made.source, max_source),
        "target_ids": padded(made.target, max_target),
        "num_source_tokens": len(made.source),
        "num_target_tokens": len(made.target),
    }
    if method == "pseudo_masked":
        return item | {"label_ids": padded(made.labels, max_target), "pseudo_ids": padded(made.pseudo, max_target)}
    return item | {
        "masked_ids": padded(made.labels, max_target),
        "masked_pos": padded(made.slots, max_target),
        "masked_weight": padded([1] * len(made.slots), max_target),
    }


def real_columns(inputs: dict[str, Tensor]) -> list[Tensor]:
    """The columns of each row of the golden arrays that are not padding: source, target, pseudo."""
    source_width, target_width = inputs["source_ids"].shape[1], inputs["target_ids"].shape[1]
    rows = []
    for ns, nt in zip(inputs["num_source_tokens"].tolist(), inputs["num_target_tokens"].tolist(), strict=True):
        blocks = [torch.arange(ns), source_width + torch.arange(nt)]
        if "pseudo_ids" in inputs:
            blocks.append(source_width + target_width + torch.arange(nt))
        rows.append(torch.cat(blocks))
    return rows


def label_mask(inputs: dict[str, Tensor]) -> Tensor:
    """Which entries of the golden logits and token losses count, `(B, P)` bool."""
    if "masked_weight" in inputs:
        return inputs["masked_weight"] == 1
    return torch.arange(inputs["target_ids"].shape[1]) < inputs["num_target_tokens"][:, None]


def decode_sources(case: Case) -> Any:
    """The sources of a decoding case, with their special tokens."""
    special, shifted = case.data["special_ids"], case.data["pos_shift"]
    end = [] if shifted else [special["sep_id"]]
    rows = [[special["cls_id"], *tokens, *end] for tokens in case.data["source_tokens"]]
    width = max(len(row) for row in rows)
    return SourceBatch(
        ids=[str(row) for row in range(len(rows))],
        tokens=torch.tensor([row + [special["pad_id"]] * (width - len(row)) for row in rows]),
        lengths=torch.tensor([len(row) for row in rows]),
        feeding=Feeding(special["sep_id"], start=special["sep_id"])
        if shifted
        else Feeding(special["sep_id"], mask=special["mask_id"]),
        prefixes=[[] for _ in rows],
    )


_CHECKS: dict[str, Callable[[Case], Iterator[Figure]]] = {
    "train_forward": check_train_forward,
    "decode": check_decode,
    "optimizer_steps": check_optimizer_steps,
    "layout": check_layout,
    "convert": check_convert,
    "bucket_table": check_bucket_table,
    "postprocess": check_postprocess,
}

KINDS: dict[str, Check] = {
    kind: lambda data, tensors, check=check: check(Case(data, tensors)) for kind, check in _CHECKS.items()
}
