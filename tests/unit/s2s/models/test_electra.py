"""ELECTRA's two encoders: what they share, where they begin, what fine-tuning takes, and what is refused."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_models import tiny_electra, tiny_unilm

from s2s import checkpoint
from s2s.config import parse_section, write_tree
from s2s.errors import ConfigError, InputError
from s2s.models.electra import Electra
from s2s.models.export import save_bert_folder
from s2s.models.unilm import UniLM

SIZES = {"hidden_size": 16, "num_layers": 2, "num_heads": 8, "intermediate_size": 24}
DEFAULTS = {"vocab_size": 31, "num_positions": 20}
QUARTER = {"hidden_size": 4, "num_layers": 2, "num_heads": 2, "intermediate_size": 6}


def resolved(**options: Any) -> Any:
    return Electra.resolve(parse_section(Electra.Config, SIZES | options, "model"), DEFAULTS)


def begun(**options: Any) -> Electra:
    torch.manual_seed(0)
    model = Electra(resolved(**options))
    model.initialize()
    return model


def test_all_embeddings_but_the_projection_are_shared_and_stored_once(tmp_path: Path) -> None:
    model = begun()
    ours, theirs = model.discriminator.embeddings, model.generator.embeddings
    assert all(getattr(ours, name) is getattr(theirs, name) for name in ("tokens", "positions", "segments", "norm"))
    assert theirs.project is not None
    assert ours.project is None
    names = checkpoint.named_tensors(model)
    assert [name for name in names if name.startswith("generator.embeddings.")] == [
        "generator.embeddings.project.weight",
        "generator.embeddings.project.bias",
    ]
    checkpoint.write_weights(names, tmp_path / "model.safetensors")
    other = Electra(resolved())
    checkpoint.load_weights(other, tmp_path / "model.safetensors")
    assert all(torch.equal(value, other.state_dict()[name]) for name, value in model.state_dict().items())


def test_the_generator_is_a_quarter_of_the_discriminator_unless_asked() -> None:
    assert resolved().generator.model_dump(include=set(QUARTER)) == QUARTER
    asked = {"hidden_size": 9, "num_layers": 1, "num_heads": 3}
    assert resolved(generator=asked).generator.model_dump(include=set(QUARTER)) == asked | {"intermediate_size": 13}
    small = resolved(num_heads=2, hidden_size=6).generator
    assert (small.num_heads, small.hidden_size) == (1, 3)


def test_the_generator_first_predicts_the_loss_of_a_discriminator_that_knows_nothing() -> None:
    model = begun()
    predicted = torch.nn.functional.softplus(model.hardness(torch.randn(3, 4)))
    torch.testing.assert_close(predicted, torch.full((3, 31), math.log(2)))
    assert begun(generator={"hardness_rank": 0}).predicts_hardness is False


def test_a_run_is_the_start_of_a_unilm_with_the_discriminators_encoder(tmp_path: Path) -> None:
    electra = tiny_electra(relative_buckets=8)
    for weights in electra.parameters():
        torch.nn.init.normal_(weights)
    checkpoint.write_weights(checkpoint.named_tensors(electra), tmp_path / checkpoint.WEIGHTS)
    write_tree({"model": {"name": "electra", **electra.config.model_dump()}}, tmp_path / checkpoint.CONFIG)
    save_bert_folder(electra, tmp_path / "exported")
    tokens, lengths = torch.randint(5, 31, (2, 7)), torch.tensor([7, 4])
    wanted = electra.discriminator.encode(tokens, lengths)
    for init in (tmp_path, tmp_path / "exported"):
        section = parse_section(UniLM.Config, {"init": str(init)}, "model")
        model = UniLM(UniLM.resolve(section, DEFAULTS))
        model.initialize()
        assert torch.equal(model.eval().encode(tokens, lengths), wanted)


def test_each_of_the_two_may_begin_with_a_checkpoint(tmp_path: Path) -> None:
    large = tiny_unilm(1, **SIZES, max_positions=20)
    small = tiny_unilm(2, **QUARTER, embedding_size=16, max_positions=20)
    save_bert_folder(large, tmp_path / "large")
    run = tmp_path / "small"
    checkpoint.write_weights(checkpoint.named_tensors(small), run / checkpoint.WEIGHTS)
    write_tree({"model": {"name": "unilm", **small.config.model_dump()}}, run / checkpoint.CONFIG)

    both = begun(init=str(tmp_path / "large"), generator={"init": str(run)})
    assert torch.equal(both.discriminator.layers[1].up.weight, large.layers[1].up.weight)
    assert torch.equal(both.generator.head.dense.weight, small.head.dense.weight)
    assert torch.equal(both.generator.embeddings.tokens.weight, large.embeddings.tokens.weight), "those of model.init"
    alone = begun(generator={"init": str(run)})
    assert torch.equal(alone.discriminator.embeddings.tokens.weight, small.embeddings.tokens.weight)


@pytest.mark.parametrize(
    ("sizes", "options", "message"),
    [
        ({"vocab_size": 40}, {}, r"has a vocabulary of 40 items, the discriminator one of 31$"),
        ({"embedding_size": 8}, {}, r"has embedding_size 8, the discriminator 16; they must agree$"),
        ({"relative_buckets": 8}, {}, r"has relative_buckets 8, the discriminator 0; they must agree$"),
        ({}, {"num_layers": 5}, r"model\.generator\.num_layers: must be 2 as in .*, found 5$"),
    ],
)
def test_a_generator_that_does_not_fit_is_refused_in_one_line(
    tmp_path: Path, sizes: dict[str, Any], options: dict[str, Any], message: str
) -> None:
    config = tiny_unilm(2, **{**QUARTER, "embedding_size": 16, **sizes}).config
    write_tree({"model": {"name": "unilm", **config.model_dump()}}, tmp_path / checkpoint.CONFIG)
    with pytest.raises(ConfigError, match=message):
        resolved(generator={"init": str(tmp_path), **options})


def test_other_options_that_do_not_fit_are_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^model\.generator\.num_heads: must divide .*hidden_size \(4\), found 3$"):
        resolved(generator={"num_heads": 3})
    with pytest.raises(ConfigError, match=r"^model\.adapters: cannot pretrain an 'electra'"):
        resolved(init=str(tmp_path), adapters={"rank": 2})
    with pytest.raises(InputError, match="no such file or folder"):
        resolved(generator={"init": str(tmp_path / "gone")})
