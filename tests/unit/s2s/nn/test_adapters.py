"""Low-rank adapters: what they compute, what they refuse, and the files of `peft`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from tiny_models import tiny_unilm
from torch import nn

from s2s.checkpoint import named_tensors
from s2s.errors import ConfigError, InputError
from s2s.models.export import save_bert_folder
from s2s.models.peft_files import read_adapters, write_adapters
from s2s.models.unilm import UniLM
from s2s.nn.adapters import AdapterSection, adapt, adapters_of, merge, relative_changes

TOKENS = torch.tensor([[5, 9, 3, 22, 7], [8, 30, 1, 0, 0]])
LENGTHS = torch.tensor([5, 3])


def adapted(seed: int = 0, drawn: bool = True, **options: Any) -> UniLM:
    """A tiny model whose adapters, if `drawn`, are those of a trained one."""
    model = tiny_unilm()
    adapt(model, model.matrices(), AdapterSection(**options))
    torch.manual_seed(seed)
    for adapter in adapters_of(model).values() if drawn else ():
        nn.init.normal_(adapter.down)
        nn.init.normal_(adapter.up)
    return model


@torch.no_grad()
def outputs(model: UniLM) -> torch.Tensor:
    return model.encode(TOKENS, LENGTHS)


def test_fresh_adapters_change_nothing_and_train_nothing_else() -> None:
    model = adapted(drawn=False, rank=3)
    assert torch.equal(outputs(model), outputs(tiny_unilm()))
    model.encode(TOKENS, LENGTHS).square().sum().backward()
    reached = {name for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert reached == set(named_tensors(model))
    assert all(name.endswith((".up", ".down")) for name in reached)
    assert len(reached) == 2 * 3 * 6, "two matrices for each of six in three layers"


@settings(max_examples=10, deadline=None)
@given(
    rank=st.integers(1, 5),
    alpha=st.floats(0.5, 8),
    targets=st.sets(st.sampled_from(["query", "key", "value", "intermediate.dense"]), min_size=1),
)
def test_base_and_adapters_compute_what_merged_weights_compute(rank: int, alpha: float, targets: set[str]) -> None:
    model = adapted(rank=rank, alpha=alpha, targets=sorted(targets)).double()
    before = outputs(model)
    assert (before - outputs(tiny_unilm())).abs().max() > 1e-3
    merge(model)
    assert named_tensors(model).keys() == named_tensors(tiny_unilm()).keys()
    assert torch.allclose(outputs(model), before, atol=1e-9)


def test_merged_weights_are_those_of_the_formula_and_others_stay() -> None:
    model, base = adapted(rank=2, alpha=6, targets=["value"]), tiny_unilm()
    adapter = adapters_of(model)["bert.encoder.layer.1.attention.self.value"]
    wanted = base.layers[1].attention.key_value.weight[12:] + 6 / 2 * adapter.up @ adapter.down
    merge(model)
    found = model.layers[1].attention.key_value.weight
    assert torch.allclose(found[12:], wanted, atol=1e-6)
    assert torch.equal(found[:12], base.layers[1].attention.key_value.weight[:12]), "keys have no adapter"
    assert torch.equal(model.layers[1].up.weight, base.layers[1].up.weight)


def test_gradients_equal_finite_differences() -> None:
    model = adapted(rank=2, targets=["key", "output.dense"]).double()
    wanted = torch.randn(2, 5, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(1))

    def loss() -> torch.Tensor:
        return (model.encode(TOKENS, LENGTHS) * wanted).sum()

    loss().backward()
    for name, tensor in named_tensors(model).items():
        generator = torch.Generator().manual_seed(len(name))
        direction = torch.randn(tensor.shape, dtype=torch.float64, generator=generator)
        values = []
        for step in (1e-6, -1e-6):
            with torch.no_grad():
                tensor += step * direction
                values.append(loss())
                tensor -= step * direction
        assert tensor.grad is not None
        slope = (values[0] - values[1]) / 2e-6
        assert slope == pytest.approx(float((tensor.grad * direction).sum()), rel=1e-5, abs=1e-7)


def test_the_relative_change_of_a_matrix_is_that_of_its_norm() -> None:
    model = adapted(rank=1, alpha=1, targets=["layer.0.attention.self.query"])
    (adapter,) = adapters_of(model).values()
    weight = tiny_unilm().layers[0].attention.query.weight
    change = torch.outer(adapter.up[:, 0], adapter.down[0])
    assert list(relative_changes(model).values()) == [
        pytest.approx(float((change.norm() / weight.norm()).detach()), rel=1e-5)
    ]


def test_adapters_without_effect_are_refused_by_name() -> None:
    model = adapted(targets=["query"])
    nn.init.zeros_(adapters_of(model)["bert.encoder.layer.2.attention.self.query"].up)
    with pytest.raises(InputError, match=r"1 of 3 change nothing: bert\.encoder\.layer\.2\.attention\.self\.query"):
        merge(model)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"targets": ["q_proj"]}, r"targets: 'q_proj' matches nothing; there are dense, key, query, value$"),
        ({"full": ["diffusion"]}, r"full: 'diffusion' matches nothing; there are embeddings, .*head"),
    ],
)
def test_a_name_that_matches_nothing_is_told_with_those_that_there_are(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        adapted(**options)


def test_parts_in_full_are_trained_and_saved_whole() -> None:
    model = adapted(targets=["query"], full=["head"])
    trained = set(named_tensors(model))
    assert {"head.dense.weight", "head.bias"} < trained
    assert "embeddings.tokens.weight" not in trained


def test_dropout_of_adapters_is_for_training_alone() -> None:
    model = adapted(dropout=0.5)
    assert torch.equal(outputs(model), outputs(model))
    model.train()
    assert not torch.equal(outputs(model), outputs(model))


def test_files_are_read_as_written(tmp_path: Path) -> None:
    section = AdapterSection(rank=4, alpha=2.5, targets=["query", "dense"], base="a" * 64)
    written, read = adapted(1, **dict(section)), adapted(2, **dict(section))
    write_adapters(written, tmp_path, section, "some/base@main")
    assert not torch.equal(outputs(read), outputs(written))
    read_adapters(read, tmp_path, section)
    assert torch.equal(outputs(read), outputs(written))
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    assert (config["base_model_name_or_path"], config["revision"]) == ("some/base", "main")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"base": "b" * 64}, "another base: of weights aaaaaaaaaaaa, not bbbbbbbbbbbb"),
        ({"rank": 3}, r"r must be 3 as model\.adapters\.rank, found 4"),
        ({"alpha": 8.0}, r"lora_alpha must be 8 as model\.adapters\.alpha, found 16"),
        ({"targets": ["key"]}, r"has no adapter of bert\.encoder\.layer\.0\.attention\.self\.key"),
        ({"targets": ["layer.0.attention.self.query"]}, r"also has adapters of bert\.encoder\.layer\.1"),
    ],
)
def test_files_of_other_adapters_are_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    section = AdapterSection(rank=4, targets=["query"], base="a" * 64)
    write_adapters(adapted(**dict(section)), tmp_path, section, "base")
    other = section.model_copy(update=changes)
    with pytest.raises(InputError, match=message):
        read_adapters(adapted(**dict(other)), tmp_path, other)


@pytest.mark.parametrize(
    ("option", "value"), [("peft_type", "LOHA"), ("use_dora", True), ("rank_pattern", {"query": 2})]
)
def test_other_kinds_of_adapters_are_refused(tmp_path: Path, option: str, value: object) -> None:
    section = AdapterSection(targets=["query"])
    write_adapters(adapted(targets=["query"]), tmp_path, section, "base")
    path = tmp_path / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {option: value}))
    with pytest.raises(InputError, match=option):
        read_adapters(adapted(targets=["query"]), tmp_path, section)


def test_adapters_of_a_model_of_other_sizes_are_of_another_base(tmp_path: Path) -> None:
    section = AdapterSection(targets=["query"])
    write_adapters(adapted(targets=["query"]), tmp_path, section, "base")
    other = tiny_unilm(hidden_size=14)
    adapt(other, other.matrices(), section)
    with pytest.raises(InputError, match=r"another base: lora_A of .* has shape \(8, 12\), not \(8, 14\)"):
        read_adapters(other, tmp_path, section)


def test_peft_computes_with_our_files_what_we_compute_and_we_with_its(tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    transformers = pytest.importorskip("transformers")
    section = AdapterSection(rank=3, alpha=5, targets=["query", "value", "output.dense"])
    ours = adapted(**dict(section))
    save_bert_folder(tiny_unilm(), tmp_path / "base")
    write_adapters(ours, tmp_path / "adapters", section, str(tmp_path / "base"))

    def base() -> Any:
        return transformers.BertForMaskedLM.from_pretrained(tmp_path / "base", attn_implementation="eager").eval()

    mask = (torch.arange(5) < LENGTHS.unsqueeze(1)).long()

    def theirs(model: Any) -> torch.Tensor:
        with torch.no_grad():
            return model(TOKENS, attention_mask=mask, output_hidden_states=True).hidden_states[-1] * mask.unsqueeze(2)

    loaded = peft.PeftModel.from_pretrained(base(), tmp_path / "adapters").eval()
    assert (theirs(base()) - outputs(ours)).abs().max() > 1e-3
    assert torch.allclose(theirs(loaded), outputs(ours), atol=2e-6)

    loaded.save_pretrained(tmp_path / "again")
    mine, its = (load_file(tmp_path / folder / "adapter_model.safetensors") for folder in ("adapters", "again"))
    assert mine.keys() == its.keys(), "keys as peft writes them"
    save_file({name: 2 * tensor for name, tensor in its.items()}, tmp_path / "again/adapter_model.safetensors")
    read_adapters(ours, tmp_path / "again", section)
    again = peft.PeftModel.from_pretrained(base(), tmp_path / "again").eval()
    assert torch.allclose(theirs(again), outputs(ours), atol=2e-6)
