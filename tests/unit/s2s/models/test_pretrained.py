"""Checkpoints in every form they come in, and one clear line for those that are wrong."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file
from tiny_models import tiny_unilm
from torch import Tensor

from s2s.errors import InputError
from s2s.models.export import save_bert_folder
from s2s.models.pretrained import locate, read_sizes, read_weights, resize_positions, resize_segments
from s2s.models.sizes import resolve_sizes
from s2s.models.unilm import UniLM

CONFIG = {
    "model_type": "bert",
    "vocab_size": 17,
    "hidden_size": 12,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 20,
    "max_position_embeddings": 9,
    "type_vocab_size": 2,
}


def tiny(**options: Any) -> UniLM:
    sizes = {"vocab_size": 17, "num_layers": 2, "num_heads": 3, "max_positions": 9, "initializer_range": 0.02}
    return tiny_unilm(**(sizes | options))


def write_folder(folder: Path, weights: dict[str, Tensor], **config: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps({**CONFIG, **config}))
    save_file(weights, folder / "model.safetensors")
    return folder


def weights_of(model: UniLM) -> dict[str, Tensor]:
    return {name: value.contiguous() for name, value in model.bert_state().items()}


def init(path: Path, **options: Any) -> UniLM:
    model = UniLM(UniLM.resolve(UniLM.Config(init=str(path), **options), {}))
    model.initialize()
    return model


def assert_same_weights(one: UniLM, other: UniLM) -> None:
    for name, value in one.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name


# Tables


@given(st.integers(1, 12), st.integers(1, 40))
def test_positions_repeat_when_they_grow_and_are_cut_when_they_shrink(old: int, rows: int) -> None:
    table = torch.arange(float(old)).unsqueeze(1)
    assert resize_positions(table, rows).flatten().tolist() == [row % old for row in range(rows)]


def test_segments_grow_to_those_of_unilm() -> None:
    table = torch.tensor([[10.0], [11.0]])
    assert resize_segments(table, 7).flatten().tolist() == [10, 11, 10, 10, 10, 11, 11]
    assert resize_segments(table[:1], 3).flatten().tolist() == [10, 10, 10]
    assert torch.equal(resize_segments(table, 2), table)


# Forms


def test_folders_files_and_runs_hold_the_same_model(tmp_path: Path) -> None:
    model = tiny()
    folder = write_folder(tmp_path / "folder", weights_of(model))
    assert_same_weights(init(folder), model)

    pickled = tmp_path / "pickled"
    pickled.mkdir()
    (pickled / "config.json").write_text(json.dumps(CONFIG))
    torch.save(model.bert_state(), pickled / "pytorch_model.bin")
    assert_same_weights(init(pickled), model)

    torch.save(model.bert_state(), tmp_path / "unilm1.2-base.bin")
    (tmp_path / "unilm1.2-base-config.json").write_text(json.dumps(CONFIG))
    assert_same_weights(init(tmp_path / "unilm1.2-base.bin"), model)

    run = tmp_path / "run"
    run.mkdir()
    tree = {"model": {"name": "unilm", **UniLM.resolve(model.config, {}).model_dump()}}
    (run / "config.yaml").write_text(yaml.safe_dump(tree))
    save_file(dict(model.state_dict()), run / "model.safetensors")
    assert_same_weights(init(run), model)


def test_configurations_of_unilm_name_their_segments(tmp_path: Path) -> None:
    config = {**CONFIG, "type_vocab_size": 6, "source_type_id": 4, "target_type_id": 5}
    del config["model_type"]
    folder = write_folder(tmp_path, weights_of(tiny(num_segments=6)))
    (folder / "config.json").write_text(json.dumps(config))
    model = init(folder)
    assert (model.config.num_segments, model.config.source_segment, model.config.target_segment) == (6, 4, 5)


def test_unilm2_layout_with_relative_bias_loads(tmp_path: Path) -> None:
    model = tiny(relative_buckets=8, max_relative_distance=40)
    torch.nn.init.normal_(model.relative_bias.weight)
    weights = weights_of(model)
    for layer in range(2):
        stem = f"bert.encoder.layer.{layer}.attention.self"
        weights[f"{stem}.qkv_linear.weight"] = torch.cat(
            [weights.pop(f"{stem}.{part}.weight") for part in ("query", "key", "value")]
        )
        weights[f"{stem}.q_bias"] = weights.pop(f"{stem}.query.bias").view(1, 1, -1)
        weights[f"{stem}.v_bias"] = weights.pop(f"{stem}.value.bias").view(1, 1, -1)
        del weights[f"{stem}.key.bias"]
    weights["bert.encoder.rel_pos_bias.weight"] = weights.pop("bert.rel_pos_bias.weight")
    folder = write_folder(tmp_path, weights, rel_pos_bins=8, max_rel_pos=40)
    assert_same_weights(init(folder), model)


def test_tables_grow_to_what_is_asked(tmp_path: Path) -> None:
    model = tiny()
    folder = write_folder(tmp_path, weights_of(model))
    config = UniLM.resolve(
        UniLM.Config(init=str(folder), num_segments=6, source_segment=4, target_segment=5),
        {"vocab_size": 19, "added_tokens": 2, "num_positions": 20},
    )
    grown = UniLM(config)
    grown.initialize()
    old, new = model.embeddings, grown.embeddings
    assert torch.equal(new.tokens.weight[:17], old.tokens.weight)
    assert new.tokens.weight[17:].abs().sum() > 0
    assert torch.equal(new.positions.weight, old.positions.weight[torch.arange(20) % 9])
    segments = model.state_dict()["embeddings.segments.weight"]
    assert torch.equal(grown.state_dict()["embeddings.segments.weight"], segments[[0, 1, 0, 0, 0, 1]])
    assert grown.head.bias[17:].tolist() == [0.0, 0.0]


def test_what_is_not_the_models_is_passed_over(tmp_path: Path) -> None:
    model = tiny()
    others = {
        "bert.pooler.dense.weight": torch.ones(12, 12),
        "cls.seq_relationship.bias": torch.ones(2),
        "bert.embeddings.position_ids": torch.arange(9),
        "classifier.weight": torch.ones(3, 12),
        "crit_mask_lm_smoothed.one_hot": torch.ones(1, 17),
        "cls.predictions.decoder_weight": model.embeddings.tokens.weight.detach().clone(),
        "cls.predictions.decoder.bias": torch.ones(17),
    }
    assert_same_weights(init(write_folder(tmp_path, weights_of(model) | others)), model)


@pytest.mark.parametrize("kept", ["model.safetensors", "pytorch_model.bin"])
@pytest.mark.parametrize("options", [{}, {"relative_buckets": 8, "max_relative_distance": 20}], ids=["bert", "unilm"])
def test_an_exported_model_comes_back_to_the_bit(options: dict[str, Any], kept: str, tmp_path: Path) -> None:
    model = tiny(**options, num_segments=3, source_segment=1, target_segment=2, activation="gelu_tanh")
    if model.relative_bias is not None:
        torch.nn.init.normal_(model.relative_bias.weight)
    save_bert_folder(model, tmp_path)
    for name in {"model.safetensors", "pytorch_model.bin"} - {kept}:
        (tmp_path / name).unlink()
    again = init(tmp_path)
    assert_same_weights(again, model)
    sizes = model.config.model_dump(exclude={"init", "embedding_size"})
    assert again.config.model_dump(exclude={"init", "embedding_size"}) == sizes
    names = json.loads((tmp_path / "config.json").read_text())
    assert names["model_type"] == ("unilm" if options else "bert")
    assert (names.get("rel_pos_bins"), names.get("max_rel_pos")) == ((8, 20) if options else (None, None))


def test_export_refuses_what_bert_cannot_hold(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"embedding_size=8 is not a BERT"):
        save_bert_folder(tiny(embedding_size=8), tmp_path)


# Mistakes


def change(name: str, value: Tensor | None) -> dict[str, Tensor]:
    weights = weights_of(tiny())
    if value is None:
        del weights[name]
    else:
        weights[name] = value
    return weights


NORM = "bert.encoder.layer.1.output.LayerNorm.weight"
BEYOND = "bert.encoder.layer.2.output.dense.bias"
WRONG_WEIGHTS = {
    f"lacks {NORM}": change(NORM, None),
    "lacks cls.predictions.bias": change("cls.predictions.bias", None),
    r"LayerNorm.weight has shape \(13,\), not \(12,\)": change(NORM, torch.ones(13)),
    f"also holds {BEYOND}": change(BEYOND, torch.ones(12)),
    "decoder.weight must equal the word embeddings": change("cls.predictions.decoder.weight", torch.ones(17, 12)),
}


@pytest.mark.parametrize("message", WRONG_WEIGHTS)
def test_weights_that_do_not_fit_are_refused(message: str, tmp_path: Path) -> None:
    folder = write_folder(tmp_path, WRONG_WEIGHTS[message])
    with pytest.raises(InputError, match=f"{tmp_path.name}.*{message}") as caught:
        init(folder)
    assert "\n" not in str(caught.value)


def test_weights_of_another_architecture_are_refused(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "gpt2", {"h.0.attn.weight": torch.ones(2)})
    with pytest.raises(InputError, match=r"gpt2: does not fit this model: lacks .* and .* more"):
        init(folder)
    with pytest.raises(InputError, match=r"config.json: model_type must be one of bert, .*, found 'gpt2'"):
        read_sizes(str(write_folder(tmp_path / "named", {}, model_type="gpt2")))
    with pytest.raises(InputError, match=r"position_embedding_type must be absolute, found 'relative_key'"):
        read_sizes(str(write_folder(tmp_path / "relative", {}, position_embedding_type="relative_key")))
    with pytest.raises(InputError, match=r"activation must be one of gelu, .*, found 'mish'"):
        read_sizes(str(write_folder(tmp_path / "mish", {}, hidden_act="mish")))


@pytest.mark.parametrize(
    ("family", "nearest"),
    [
        ("albert", "bert"),
        ("xlnet", "mpnet"),
        ("bart", "roberta, or task.method=encoder_decoder for all of it"),
        ("t5", "roberta"),
        ("deberta", "deberta-v2"),
    ],
)
def test_a_family_that_is_not_supported_is_refused_with_the_nearest_one(
    family: str, nearest: str, tmp_path: Path
) -> None:
    folder = write_folder(tmp_path, {}, model_type=family)
    with pytest.raises(
        InputError, match=rf"config.json: model_type .*, found '{family}'; the nearest to it is {nearest}$"
    ):
        UniLM.resolve(UniLM.Config(init=str(folder)), {})


class Malicious:
    def __reduce__(self) -> Any:
        return (print, ("this code must not run",))


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_pickles_of_other_things_are_refused_unread(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    file = tmp_path / "pytorch_model.bin"
    file.write_bytes(pickle.dumps({"weights": Malicious()}))
    with pytest.raises(InputError, match=r"pytorch_model.bin: must be a pickle of plain tensors"):
        read_weights(str(tmp_path))
    assert capsys.readouterr().out == ""
    torch.save({"model": {"a": torch.ones(1)}, "epoch": 3}, file)
    with pytest.raises(InputError, match=r"pytorch_model.bin: must hold tensors by name and nothing else"):
        read_weights(str(tmp_path))


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_truncated_files_are_named(name: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    file = tmp_path / name
    weights = weights_of(tiny())
    torch.save(weights, file) if name.endswith(".bin") else save_file(weights, file)
    whole = file.read_bytes()
    for size in (0, 5, 60, len(whole) // 2, len(whole) - 1):
        file.write_bytes(whole[:size])
        with pytest.raises(InputError, match=name) as caught:
            read_weights(str(tmp_path))
        assert "\n" not in str(caught.value)


def test_missing_parts_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no such file or folder; expected a checkpoint"):
        locate(str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match=r"no configuration; expected config.json with it"):
        read_sizes(str(tmp_path))
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(InputError, match=r"config.json: broken JSON"):
        read_sizes(str(tmp_path))
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    with pytest.raises(InputError, match=r"no weights; expected model.safetensors or pytorch_model.bin in it"):
        read_weights(str(tmp_path))
    (tmp_path / "model.safetensors.index.json").write_text(
        json.dumps({"weight_map": {"a": "part.safetensors", "b": "part.safetensors"}})
    )
    save_file({"a": torch.ones(1)}, tmp_path / "part.safetensors")
    with pytest.raises(InputError, match=r"part.safetensors: lacks 1 tensors that the index puts there, 'b' first"):
        read_weights(str(tmp_path))


def test_a_run_of_another_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("model: {name: sigma_vae}")
    with pytest.raises(InputError, match=r"model.name must be unilm, found 'sigma_vae'"):
        read_sizes(str(tmp_path))


def test_a_hub_that_cannot_be_reached_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: object, **__: object) -> str:
        raise ConnectionError("cannot connect\nand much more")

    monkeypatch.setattr("huggingface_hub.snapshot_download", unreachable)
    with pytest.raises(InputError, match=r"some/model: no such folder, and .* from the hub: cannot connect$"):
        locate("some/model")


def test_weights_come_with_the_files_that_hold_or_name_a_text_tokenizer(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[list[str]] = []
    monkeypatch.setattr("s2s.models.pretrained.fetch", lambda name, patterns: asked.append(patterns) or tmp_path)
    assert locate("some/model") == tmp_path
    for patterns in asked:
        assert {"config.json", "preprocessor_config.json", "tokenizer.json", "tokenizer_config.json"} < set(patterns)
    assert [patterns[-1] for patterns in asked] == ["model*.safetensors*", "pytorch_model*.bin*"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden_act": ["gelu"]}, r"the activation must be one of gelu, .*, found \['gelu'\]"),
        ({"hidden_act": 5}, "the activation must be one of"),
        ({"model_type": ["bert"]}, r"model_type must be one of .*, found \['bert'\]"),
        ({"model_type": {"a": 1}}, "model_type must be one of"),
        ({"model_type": 3}, "model_type must be one of"),
        ({"position_embedding_type": ["x" * 10_000]}, r"must be absolute, found \['xxx"),
        ({"hidden_size": "wide"}, "model.hidden_size: must be a valid integer, .* found 'wide'"),
        ({"hidden_size": 7.5}, "model.hidden_size: must be a valid integer, .* found 7.5"),
        ({"hidden_size": [16]}, r"model.hidden_size: must be a valid integer, found \[16\]"),
        ({"num_attention_heads": -1}, "model.num_heads: must be greater than"),
        ({"num_hidden_layers": 10**9}, "model.num_layers: must be less than or equal to"),
        ({"max_position_embeddings": "512", "model_type": "roberta"}, "max_position_embeddings must be an integer"),
        ({"max_position_embeddings": {"a": 1}}, "model.max_positions: must be a valid"),
        ({"layer_norm_eps": "tiny"}, "model.layer_norm_eps: must be a valid number"),
    ],
)
def test_values_of_odd_types_are_one_line(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({**CONFIG, **changes}))
    with pytest.raises(InputError, match=message) as caught:
        resolve_sizes(UniLM.Config(like=str(tmp_path)), {})
    assert str(caught.value).startswith(str(tmp_path)[:50])
