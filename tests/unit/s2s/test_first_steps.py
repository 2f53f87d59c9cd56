"""What one sees before a training: a first configuration from one's data, and a rehearsal that writes nothing."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import tiny_pairs

from s2s.config import write_tree
from s2s.errors import InputError
from s2s.first_config import first_config, survey, validation_of
from s2s.rehearsal import rehearse
from s2s.run import load_config, parse_config, train_run
from unilatent.commands.init import init


def as_csv(path: Path, columns: tuple[str, str] = ("article", "highlights")) -> None:
    rows = [json.loads(line) for line in path.with_suffix(".jsonl").read_text().splitlines()]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["id", *columns])
        writer.writerows([row["id"], row["article"], row["highlights"]] for row in rows)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with train.csv and valid.csv, and a tiny encoder that `model.init` can name."""
    tiny = tiny_pairs.tree(tmp_path, train={"max_steps": 1})
    train_run(parse_config(tiny), tmp_path / "encoder")
    for split in ("train", "valid"):
        as_csv(tmp_path / f"{split}.csv")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_first_configuration_of_a_table_trains_as_it_is(home: Path) -> None:
    pytest.importorskip("rouge_score")
    init("train.csv", model="encoder")
    text = (home / "my.yaml").read_text()
    config = load_config("my.yaml")
    task = config.task.config.model_dump()
    assert (task["train"], task["valid"]) == ("train.csv", "valid.csv")
    assert (task["source_field"], task["target_field"]) == ("article", "highlights")
    assert config.train.keep_best_by == "rouge_l"
    assert "# 40 records with these fields:" in text
    assert "#   article: str, " in text
    shorter = load_config("my.yaml", ["train.epochs=null", "train.max_steps=1", "train.device=cpu", "train.loggers=[]"])
    assert train_run(shorter, home / "run").best is not None


def test_folder_of_parquet_files_trains_by_one_command(home: Path) -> None:
    """Splits are chosen by the names of the files, fields by their known names."""
    datasets = pytest.importorskip("datasets")
    pytest.importorskip("rouge_score")
    for split in ("train", "valid"):
        datasets.Dataset.from_csv(f"{split}.csv").to_parquet(f"table/{split}.parquet")
    options = {"max_steps": 2, "keep_best_by": "rouge_l"}
    tree = tiny_pairs.tree(home, task={"train": "table", "valid": "table"}, train=options)
    assert train_run(parse_config(tree), home / "run").best is not None


def test_limits_follow_from_the_lengths_in_tokens(home: Path) -> None:
    found = survey("train.csv", None, None, "encoder")
    assert found.chosen == ("article", "highlights")
    assert found.rows == 40
    assert list(found.lengths[0]) == [5, 6, 6, 6], "sources of 4 to 6 words, each a token"
    assert list(found.lengths[1]) == [2, 2, 2, 2]
    assert found.limits == (8, 8)
    assert found.measured == "tokens of the encoder below, 40 records"


def test_existing_configuration_is_not_replaced(home: Path) -> None:
    (home / "my.yaml").write_text("mine")
    with pytest.raises(InputError, match=r"^my.yaml: exists, and may hold your changes; name another --output$"):
        init("train.csv", model="encoder")
    assert (home / "my.yaml").read_text() == "mine"


def test_without_validation_data_the_configuration_says_so(home: Path) -> None:
    (home / "valid.csv").unlink()
    assert validation_of("train.csv") is None
    text = first_config(survey("train.csv", None, None, "encoder"), "train.csv", None, by_rouge=True)
    assert "# valid: FILE  # none was found" in text
    assert "keep_best_by" not in text


def test_unknown_columns_name_the_options(home: Path) -> None:
    as_csv(home / "train.csv", ("question", "reply"))
    with pytest.raises(InputError, match=r"'src' is missing; found .*--source-field"):
        survey("train.csv", None, None, "encoder")
    assert survey("train.csv", "question", "reply", "encoder").chosen == ("question", "reply")


@pytest.mark.parametrize(
    ("target", "script", "model"),
    [
        ("the name of a file", "English", "MiniLM|bert-base-uncased"),
        ("読み書きする道具です", "without blanks", "multilingual"),
        ("文件的名称和大小", "Chinese", "bert-base-chinese"),
        ("der Name einer großen Datei", "another language", "multilingual"),
    ],
)
def test_language_suggests_the_encoder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str, script: str, model: str
) -> None:
    import re

    from s2s.data.tokenizer import Tokenizer

    def refuse(name: str) -> None:
        raise InputError(f"{name}: no network")

    monkeypatch.setattr(Tokenizer, "load", refuse)
    path = tmp_path / "pairs.jsonl"
    path.write_text(json.dumps({"document": target, "summary": target}) + "\n", encoding="utf-8")
    found = survey(str(path), None, None, None)
    assert found.script.startswith(script)
    assert re.search(model, found.model)
    assert found.measured.startswith("tokens, guessed from words")


def test_rehearsal_tells_sizes_and_writes_nothing(home: Path) -> None:
    options = {"max_steps": None, "epochs": 3, "keep_best_by": "loss"}
    tree = tiny_pairs.tree(home, task={"max_source": 6}, train=options)
    write_tree(tree, home / "my.yaml")
    before = sorted(home.rglob("*"))
    text = rehearse(load_config("my.yaml"), "runs/mine")
    assert sorted(home.rglob("*")) == before
    lines = {line[:11].strip(): line[12:] for line in text.splitlines()}
    assert list(lines) == ["model", "train", "valid", "an epoch", "an update", "time", "memory"]
    too_long = sum(
        len(json.loads(line)["article"].split()) > 5 for line in (home / "train.jsonl").read_text().splitlines()
    )
    assert lines["train"].startswith("40 examples; source 6 slots (median), 6 (95 %), 6 (longest), ")
    assert f"6 (longest), {100 * too_long / 40:.1f} % cut; target 3 slots" in lines["train"]
    assert "batches of at most 160 slots" in lines["an epoch"]
    assert "for all" in lines["time"]
    assert "measured with the largest batch" in lines["memory"]
