"""The run folder: whole or not at all, tied weights once, clear words for broken files."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import shutil
import stat
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import nn

from s2s import checkpoint
from s2s.errors import InputError


class Tied(nn.Module):
    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.embedding = nn.Embedding(5, width)
        self.head = nn.Linear(width, 5)
        self.head.weight = self.embedding.weight


def save(module: nn.Module, path: Path) -> Path:
    checkpoint.write_weights(checkpoint.named_tensors(module), path)
    return path


def test_tied_weights_are_stored_once_and_stay_tied(tmp_path: Path) -> None:
    saved, loaded = Tied(), Tied()
    path = save(saved, tmp_path / "model.safetensors")
    assert set(load_file(path)) == {"embedding.weight", "head.bias"}
    checkpoint.load_weights(loaded, path)
    assert torch.equal(loaded.head.weight, saved.embedding.weight)
    assert loaded.head.weight is loaded.embedding.weight


def test_weights_of_another_architecture_are_refused_by_name_and_shape(tmp_path: Path) -> None:
    path = save(Tied(), tmp_path / "model.safetensors")
    with pytest.raises(InputError, match=r"does not fit this model: embedding.weight has shape \(5, 4\), not \(5, 3\)"):
        checkpoint.load_weights(Tied(3), path)
    with pytest.raises(InputError, match=r"lacks bias, weight; also holds embedding.weight, head.bias"):
        checkpoint.load_weights(nn.Linear(4, 5), path)


def test_files_that_are_no_weights_are_one_clear_line(tmp_path: Path) -> None:
    whole = save(Tied(), tmp_path / "model.safetensors").read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(whole[:-7])
    (tmp_path / "pickle.safetensors").write_bytes(pickle.dumps({"weight": [1.0]}))
    (tmp_path / "empty.safetensors").write_bytes(b"")
    for name in ("cut", "pickle", "empty"):
        with pytest.raises(InputError, match=rf"{name}.safetensors: truncated, or not a safetensors file") as raised:
            checkpoint.read_tensors(tmp_path / f"{name}.safetensors")
        assert "\n" not in str(raised.value)
    with pytest.raises(InputError, match=r"none.safetensors: there is no such file"):
        checkpoint.read_tensors(tmp_path / "none.safetensors")


def test_average_is_the_mean_of_the_weights(tmp_path: Path) -> None:
    modules = [Tied() for _ in range(3)]
    paths = [save(module, tmp_path / f"{index}.safetensors") for index, module in enumerate(modules)]
    checkpoint.average_checkpoints(paths, tmp_path / "mean.safetensors")
    mean = load_file(tmp_path / "mean.safetensors")
    expected = torch.stack([module.head.bias.double() for module in modules]).mean(0).float()
    assert torch.equal(mean["head.bias"], expected)
    assert mean["embedding.weight"].dtype == torch.float32


def test_average_keeps_integers_and_half_precision(tmp_path: Path) -> None:
    for index in range(2):
        tensors = {"count": torch.tensor([7]), "half": torch.tensor([1.0 + 2 * index], dtype=torch.bfloat16)}
        save_file(tensors, tmp_path / f"{index}.safetensors")
    checkpoint.average_checkpoints([tmp_path / "0.safetensors", tmp_path / "1.safetensors"], tmp_path / "mean.st")
    mean = load_file(tmp_path / "mean.st")
    assert mean["count"].tolist() == [7]
    assert mean["half"].dtype == torch.bfloat16
    assert mean["half"].tolist() == [2.0]


def test_checkpoints_that_differ_cannot_be_averaged(tmp_path: Path) -> None:
    paths = [save(Tied(width), tmp_path / f"{width}.safetensors") for width in (3, 4)]
    with pytest.raises(InputError, match=r"4.safetensors: cannot be averaged with .*: they differ in embedding.weight"):
        checkpoint.average_checkpoints(paths, tmp_path / "mean.safetensors")
    with pytest.raises(InputError, match="no checkpoint to average was given"):
        checkpoint.average_checkpoints([], tmp_path / "mean.safetensors")
    assert not (tmp_path / "mean.safetensors").exists()


def test_full_disk_keeps_the_file_that_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(Tied(), tmp_path / "model.safetensors")
    before = path.read_bytes()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(InputError, match=r"model.safetensors: the weights cannot be written: No space left on device"):
        save(Tied(), path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["model.safetensors"]


def test_weights_of_a_step_are_found_and_others_named(tmp_path: Path) -> None:
    weights = checkpoint.named_tensors(Tied())
    for step in (5, 1_234_567):
        checkpoint.write_checkpoint(tmp_path, step, weights, {}, {"step": step})
    assert [checkpoint.step_of(path) for path in checkpoint.checkpoints(tmp_path)] == [5, 1_234_567]
    for name in ("5", "step-000005", tmp_path / "checkpoints" / "step-000005"):
        assert checkpoint.weights_path(tmp_path, name) == tmp_path / "checkpoints/step-000005/model.safetensors"
    with pytest.raises(InputError, match=r"7: there is no such checkpoint; .* has step-000005, step-1234567"):
        checkpoint.weights_path(tmp_path, "7")
    with pytest.raises(InputError, match=r"holds no model.safetensors, .* checkpoints: step-000005, step-1234567"):
        checkpoint.weights_path(tmp_path)


def test_a_checkpoint_whose_removal_is_cut_short_is_no_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for step in (5, 6):
        checkpoint.write_checkpoint(tmp_path, step, checkpoint.named_tensors(Tied()), {}, {"step": step})
    rmtree = shutil.rmtree

    def killed(folder: Path, ignore_errors: bool = False) -> None:
        if folder.exists():
            (folder / "training.safetensors").unlink()
            raise KeyboardInterrupt

    monkeypatch.setattr(shutil, "rmtree", killed)
    with pytest.raises(KeyboardInterrupt):
        checkpoint.remove_checkpoints(tmp_path, keep=[6])
    monkeypatch.setattr(shutil, "rmtree", rmtree)
    assert [path.name for path in checkpoint.checkpoints(tmp_path)] == ["step-000006"]
    checkpoint.remove_leftovers(tmp_path)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-000006"]


def test_what_a_killed_process_left_is_no_checkpoint_and_is_removed(tmp_path: Path) -> None:
    checkpoint.write_checkpoint(tmp_path, 5, checkpoint.named_tensors(Tied()), {}, {"step": 5})
    (tmp_path / "checkpoints" / "step-000009.unfinished").mkdir()
    (tmp_path / "model.safetensors.unfinished").mkdir()
    (tmp_path / "checkpoints" / "step-000002.removed").mkdir()
    assert [path.name for path in checkpoint.checkpoints(tmp_path)] == ["step-000005"]
    checkpoint.remove_leftovers(tmp_path)
    assert sorted(path.name for path in tmp_path.rglob("*")) == [
        "checkpoints",
        "model.safetensors",
        "progress.json",
        "step-000005",
        "training.safetensors",
    ]


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16, torch.float8_e5m2])
def test_weights_that_are_not_finite_are_refused(number: float, dtype: torch.dtype, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file({"a": torch.zeros(3), "b": torch.tensor([[1.0, number]]).to(dtype)}, path)
    for read in (checkpoint.read_tensors, lambda path: checkpoint.average_checkpoints([path], tmp_path / "mean")):
        with pytest.raises(InputError, match=r"model.safetensors: damaged, 'b' holds NaN or infinity"):
            read(path)


def test_empty_and_integer_tensors_are_finite(tmp_path: Path) -> None:
    tensors = {"empty": torch.zeros(0, 4), "ids": torch.tensor([2**62]), "flag": torch.tensor(True)}
    save_file(tensors, tmp_path / "a.safetensors")
    assert checkpoint.read_tensors(tmp_path / "a.safetensors").keys() == tensors.keys()


def test_weights_of_another_kind_of_number_are_refused(tmp_path: Path) -> None:
    linear = nn.Linear(2, 2)
    save_file({"weight": torch.ones(2, 2, dtype=torch.int32), "bias": torch.ones(2)}, tmp_path / "a.safetensors")
    with pytest.raises(InputError, match=r"weight has the type torch.int32, not torch.float32"):
        checkpoint.load_weights(linear, tmp_path / "a.safetensors")


HEADER = b'{"a":{"dtype":"%b","shape":%b,"data_offsets":%b}}'


@pytest.mark.parametrize(
    "header",
    [
        HEADER % (b"F7", b"[1]", b"[0,4]"),
        HEADER % (b"F32", b"[2]", b"[0,4]"),
        HEADER % (b"F32", b"[-1]", b"[0,4]"),
        HEADER % (b"F32", b"[1]", b"[4,0]"),
        HEADER % (b"F32", b"[1000000000000]", b"[0,4000000000000]"),
        b"[" * 100_000,
        b"{}",
        b"\xff\xfe",
    ],
)
def test_headers_that_lie_are_one_line(header: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + b"\0\0\0\0")
    with pytest.raises(InputError, match=r"a.safetensors: truncated, or not a safetensors file"):
        checkpoint.read_tensors(path)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_file_that_is_cut_or_changed_is_read_or_one_line(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "a.safetensors"
    save_file({"a": torch.ones(3), "b": torch.ones(2, 2)}, path)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(0, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    with contextlib.suppress(InputError):
        checkpoint.read_tensors(path)


@pytest.mark.parametrize(
    ("index", "message"),
    [
        (
            {"weight_map": ["a.safetensors"]},
            r"expected a 'weight_map' .*, found \['a.safetensors'\]",
        ),
        ({"weight_map": {}}, "expected a 'weight_map'"),
        ({"weight_map": "a.safetensors"}, "expected a 'weight_map'"),
        ({}, "expected a 'weight_map' from weights to files, found None"),
        ({"weight_map": {"a": "../secret.safetensors"}}, r"a file inside .*, found '../secret.safetensors'"),
        ({"weight_map": {"a": "x/../../secret"}}, r"a file inside .*, found 'x/../../secret'"),
        ({"weight_map": {"a": "/etc/passwd"}}, r"a file inside .*, found '/etc/passwd'"),
        ({"weight_map": {"a": 5}}, "expected the name of a file, found 5"),
        ({"weight_map": {"a": ""}}, "expected the name of a file, found ''"),
        ({"weight_map": {"a": "a\0b"}}, "expected the name of a file, found 'a"),
        ({"weight_map": {"a": ["x"]}}, r"expected the name of a file, found \['x'\]"),
        (["weight_map"], "expected a JSON object, found a list"),
    ],
)
@pytest.mark.parametrize("name", ["model.safetensors.index.json", "pytorch_model.bin.index.json"])
def test_an_index_that_is_broken_or_leads_out_is_one_line(
    index: object, message: str, name: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(json.dumps(index))
    with pytest.raises(InputError, match=message) as caught:
        checkpoint.weight_files(tmp_path)
    assert name in str(caught.value)


def test_files_of_an_index_come_with_the_tensors_that_they_must_hold(tmp_path: Path) -> None:
    weight_map = {"a": "2.safetensors", "b": "1.safetensors", "c": "2.safetensors"}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    files = checkpoint.weight_files(tmp_path)
    assert files == {tmp_path / "1.safetensors": ["b"], tmp_path / "2.safetensors": ["a", "c"]}
    assert list(files) == sorted(files)


def test_weights_replace_only_regular_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = save(Tied(), tmp_path / "model.safetensors")
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    os.symlink("pipe", "link")
    for name in ("pipe", "link", "", ".", "..", str(tmp_path), "x" * 300, "x" * 250):
        with pytest.raises(InputError):
            checkpoint.average_checkpoints([source], name)
    assert stat.S_ISFIFO(os.stat("pipe").st_mode)
    assert sorted(os.listdir()) == ["link", "model.safetensors", "pipe"]
