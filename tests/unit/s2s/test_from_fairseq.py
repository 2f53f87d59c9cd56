"""Checkpoints of fairseq as runs. data/fairseq/checkpoint.pt was trained by fairseq-fixed 0.12.3.1 with our plugin, and
generated.jsonl is what its fairseq-generate wrote with it: --beam 4, and the score of the best hypothesis.
"""

import io
import json
import re
import shutil
import zipfile
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest
import torch

from s2s.checkpoint import read_tensors
from s2s.errors import InputError
from s2s.from_fairseq import convert_checkpoint, looks_like_fairseq
from s2s.run import load_run

FOLDER = Path(__file__).parent / "data/fairseq"
CHECKPOINT = FOLDER / "checkpoint.pt"


def stored() -> Any:
    return torch.load(CHECKPOINT, weights_only=True)


def convert(content: Any, folder: Path) -> Path:
    torch.save(content, folder / "changed.pt")
    convert_checkpoint(folder / "changed.pt", folder / "run", str(FOLDER))
    return folder / "run"


def test_a_run_made_of_a_checkpoint_writes_what_fairseq_wrote(tmp_path: Path) -> None:
    convert_checkpoint(CHECKPOINT, tmp_path / "run", str(FOLDER))
    as_fairseq = ["length_penalty=1", "length_penalty_form=power", "stop=full", "name=wide_beam", "beam_size=4"]
    _, task, model, search = load_run(tmp_path / "run", [f"decoder.{option}" for option in as_fairseq])
    rows = [json.loads(line) for line in (FOLDER / "generated.jsonl").read_text().splitlines()]
    found = search(model, task.collate_sources([task.source(row, row["id"]) for row in rows]))
    assert [task.text(hypotheses[0].tokens) for hypotheses in found] == [row["output"] for row in rows]
    scores = torch.tensor([hypotheses[0].score for hypotheses in found])
    torch.testing.assert_close(scores, torch.tensor([row["score"] for row in rows]), atol=1e-5, rtol=0)


def test_the_run_holds_the_weights_and_the_options_of_the_checkpoint(tmp_path: Path) -> None:
    run = convert(stored(), tmp_path)
    weights = {name.removeprefix("unilm."): tensor for name, tensor in stored()["model"].items()}
    assert all(torch.equal(tensor, weights[name]) for name, tensor in read_tensors(run / "model.safetensors").items())
    config, *_ = load_run(run)
    assert (config.task.config.method, config.task.config.max_target) == ("pseudo_masked", 12)  # type: ignore[attr-defined]
    assert config.train.max_steps == stored()["optimizer_history"][-1]["num_updates"]


def test_options_of_older_classes_of_fairseq_do_not_stop_it(tmp_path: Path) -> None:
    content = stored()
    content["cfg"]["optimizer"] = Namespace(lr=[0.1])
    assert convert(content, tmp_path).is_dir()


@pytest.mark.parametrize(
    ("section", "value", "message"),
    [
        (
            "model",
            Namespace(arch="transformer"),
            r"expected model 'unilatent', which our plugin trains, found Namespace",
        ),
        ("task", {"_name": "translation"}, r"expected task 'unilatent', which our plugin trains, found 'translation'"),
        ("criterion", None, r"expected criterion 'unilatent', which our plugin trains, found None"),
        ("model", {"_name": "unilatent", "sizes": 3}, r"whose options are texts"),
        ("model", {"_name": "unilatent", "sizes": "{"}, r"sizes: broken JSON"),
        ("model", {"_name": "unilatent", "sizes": '{"hidden_size": 9}'}, r"vocab_size|does not fit|num_heads"),
        ("task", {"_name": "unilatent", "seq2seq": "method='"}, r"--seq2seq: No closing quotation"),
        (
            "task",
            {"_name": "unilatent", "seq2seq": "methd=masked"},
            r"changed\.pt: task\.methd: no such option\. Did you mean 'method'",
        ),
    ],
)
def test_other_checkpoints_are_refused_in_a_line(tmp_path: Path, section: str, value: Any, message: str) -> None:
    content = stored()
    content["cfg"][section] = value
    with pytest.raises(InputError, match=message):
        convert(content, tmp_path)
    assert not (tmp_path / "run").exists()


def test_missing_and_infinite_weights_are_refused(tmp_path: Path) -> None:
    name = "unilm.head.bias"
    content = stored()
    content["model"][name][0] = torch.inf
    with pytest.raises(InputError, match=re.escape("holds NaN or infinity")):
        convert(content, tmp_path)
    del content["model"][name]
    with pytest.raises(InputError, match=re.escape("lacks head.bias")):
        convert(content, tmp_path)


class Attack:
    """Pickles to a call of code that leaves a file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self._path,)


def test_code_in_a_checkpoint_is_not_run(tmp_path: Path) -> None:
    content = stored()
    content["extra_state"] = Attack(tmp_path / "attacked")
    with pytest.raises(
        InputError, match=r"changed\.pt: expected a checkpoint of fairseq, found code: .*, which was not run"
    ):
        convert(content, tmp_path)
    assert not (tmp_path / "attacked").exists()


def test_a_truncated_checkpoint_is_refused(tmp_path: Path) -> None:
    content = CHECKPOINT.read_bytes()
    for length in (0, 10, len(content) // 2, len(content) - 1):
        (tmp_path / "short.pt").write_bytes(content[:length])
        with pytest.raises(InputError, match=r"short\.pt: expected a checkpoint of fairseq"):
            convert_checkpoint(tmp_path / "short.pt", tmp_path / "run", str(FOLDER))


def test_checkpoints_of_fairseq_are_told_from_other_files(tmp_path: Path) -> None:
    assert looks_like_fairseq(CHECKPOINT)
    torch.save({"model": torch.zeros(2)}, tmp_path / "other.pt")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("text.txt", "optimizer_history")
    (tmp_path / "archive.zip").write_bytes(buffer.getvalue())
    (tmp_path / "text").write_text("optimizer_history")
    others = [tmp_path / name for name in ("other.pt", "archive.zip", "text", "missing")]
    assert not any(looks_like_fairseq(path) for path in [*others, tmp_path])


def test_a_run_folder_is_not_written_over(tmp_path: Path) -> None:
    run = convert(stored(), tmp_path)
    shutil.copy(run / "model.safetensors", tmp_path / "before")
    with pytest.raises(InputError, match="is a run folder"):
        convert(stored(), tmp_path)
