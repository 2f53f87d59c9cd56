"""Scores by the value of a field: those of each group alone, in its own script, and their mean."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import error_of, unilatent

from eval.groups import mean_over
from eval.metric import left_out, mean
from eval.report import Scored

TEXTS = {
    "en": ["a fast editor of texts", "a small game of chess", "a server for mail and news", "a tool"],
    "ja": ["日本語のエディタです", "小さなゲームである"],
    "zh_CN": ["这是一个很好的编辑器", "邮件服务器和新闻"],
}
REFERENCES = [
    {"id": f"{lang}/{number}", "tgt": text, "lang": lang, "at": {"year": 2000 + number}}
    for lang, texts in TEXTS.items()
    for number, text in enumerate(texts)
]


def write(path: Path, records: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return str(path)


def report(folder: Path, references: list[dict[str, Any]], *options: str) -> dict[str, Any]:
    """Two systems: the references without their first word or character, and without their last one."""
    cut = {"late": slice(2, None), "early": slice(None, -2)}
    files = [
        f"{name}={write(folder / name, [{'id': r['id'], 'tgt': r['tgt'][part]} for r in references])}"
        for name, part in cut.items()
    ]
    given = [word for file in files for word in ("--hyp", file)]
    asked = ["--ref", write(folder / "ref.jsonl", references), "--resamples", "20", "--json", folder / "report.json"]
    unilatent("evaluate", "--task", "generic", *given, *asked, *options)
    found: dict[str, Any] = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    return found


def test_each_group_has_the_scores_that_it_has_alone(tmp_path: Path) -> None:
    together = report(tmp_path, REFERENCES, "--by", "lang", "--baseline", "early")
    assert [(group["value"], group["examples"]) for group in together["groups"]] == [("en", 4), ("ja", 2), ("zh_CN", 2)]
    for group in together["groups"]:
        alone = report(tmp_path, [r for r in REFERENCES if r["lang"] == group["value"]], "--baseline", "early")
        assert group["systems"] == alone["systems"]
        assert group["comparisons"] == alone["comparisons"]


def test_the_scores_of_a_system_are_means_in_which_groups_count_alike(tmp_path: Path) -> None:
    found = report(tmp_path, REFERENCES, "--by", "lang")
    assert found["examples"] == len(REFERENCES)
    for place, system in enumerate(found["systems"]):
        for name, score in system["quality"].items():
            values = [group["systems"][place]["quality"][name]["value"] for group in found["groups"]]
            assert score["value"] == pytest.approx(sum(values) / 3)
    assert all(f"tok:{name}|" in found["signatures"]["BLEU"] for name in ("13a", "char", "zh"))


def test_a_table_by_group_follows_that_of_the_means(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report(tmp_path, REFERENCES, "--by", "lang", "--baseline", "early")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "generic, 8 examples, mean over 3 values of lang, ± half a 95 % interval (20 resamples)"
    start = lines.index("by lang")
    assert lines[start + 2].split() == ["late", "early"]
    rows = [line for line in lines[start + 3 :] if line.startswith("ROUGE-L  ") and "(" in line]
    assert [row.split("  ")[1].strip() for row in rows[:3]] == ["en (4)", "ja (2)", "zh_CN (2)"]
    assert all(row.count("±") == 2 for row in rows[:3])
    assert all("p = " in row for row in rows[3:])
    assert len(rows) == 6


def test_a_mean_leaves_out_groups_without_the_metric() -> None:
    form = [mean("words", [1.0, 1.0], "")]
    has, lacks = Scored([mean("BLEU", [0.5, 0.3], "")], form), Scored([left_out("BLEU", 2, "too short")], form)
    found = mean_over({"a": has, "b": lacks}).quality[0]
    assert found.value() == pytest.approx(40)
    assert found.note == "b: too short"
    assert np.isnan(mean_over({"a": lacks, "b": lacks}).quality[0].value())


def test_mistakes(tmp_path: Path) -> None:
    hypotheses = write(tmp_path / "hyp.jsonl", [{"id": r["id"], "tgt": "x"} for r in REFERENCES])
    given = ["evaluate", "--task", "generic", "--hyp", hypotheses, "--ref"]
    reference = write(tmp_path / "ref.jsonl", REFERENCES)
    assert "ref.jsonl:1: 'language' is missing; found" in error_of(*given, reference, "--by", "language")
    assert "ref.jsonl:1: 'at' must be a text or a whole number to score by" in error_of(*given, reference, "--by", "at")
    (tmp_path / "ref.txt").write_text("plain\n")
    message = error_of(*given, tmp_path / "ref.txt", "--by", "lang")
    assert "--by lang: needs references with fields, found plain lines in " in message
    many = [{"id": str(number), "tgt": "x"} for number in range(101)]
    write(tmp_path / "hyp.jsonl", many)
    message = error_of(*given, write(tmp_path / "many.jsonl", many), "--by", "id")
    assert "--by id: must have at most 100 values, found 101" in message
    assert not list(tmp_path.glob("*.json"))


def test_a_path_names_the_field(tmp_path: Path) -> None:
    found = report(tmp_path, REFERENCES, "--by", "at.year")
    assert [group["examples"] for group in found["groups"]] == [3, 3, 1, 1]
