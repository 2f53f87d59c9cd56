"""The verb `evaluate` as a user meets it."""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from s2s.errors import InputError
from unilatent.commands.evaluate import app

GOLDEN = Path(__file__).parents[2] / "golden/data/s2s/case_pub_postprocess.json"
ROWS = [
    {"id": f"p{n}", "src": f"Tool {n} edits text files. It is fast.", "tgt": f"text editor number {n} for files"}
    for n in range(12)
]


def write(path: Path, records: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return str(path)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    good = [{"id": row["id"], "tgt": str(row["tgt"]).replace("for", "of")} for row in ROWS]
    bad = [{"id": row["id"], "tgt": "a game"} for row in ROWS]
    return {
        "ref": write(tmp_path / "x.jsonl", ROWS),
        "good": write(tmp_path / "good.jsonl", good),
        "bad": write(tmp_path / "bad.jsonl", bad),
    }


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, [*arguments], catch_exceptions=False)


def run_json(*arguments: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run(*arguments, "--resamples", "50", "--json", "-").stdout)
    return found


def test_systems_and_lead_stand_side_by_side(files: dict[str, str]) -> None:
    shown = run(
        *("--task", "generic", "--ref", files["ref"], "--hyp", f"ours={files['good']}", "--hyp", files["bad"]),
        *("--with-lead", "--baseline", "lead", "--resamples", "200"),
    ).stdout
    lines = shown.splitlines()
    assert lines[0] == "generic, 12 examples, ± half a 95 % interval (200 resamples)"
    assert lines[2].split() == ["ours", "bad", "lead"]
    assert lines[3].startswith("ROUGE-1")
    assert lines[3].count("±") == 3
    assert "difference to lead [95 % interval], p of no difference" in lines
    assert any(line.startswith("BLEU") and "p = 0.005" in line for line in lines)


def test_json_has_all_that_is_needed_to_repeat_it(files: dict[str, str], tmp_path: Path) -> None:
    output = tmp_path / "scores.json"
    shown = run("text", "--task", "generic", "--ref", files["ref"], "--hyp", files["good"], "--json", str(output))
    assert "ROUGE-L" in shown.stdout
    report = json.loads(output.read_text())
    assert report["settings"] == {
        "task": "generic",
        "benchmark": {"trunc_len": 0, "duplicate_rate": 1.0, "lead_sentences": 1, "lead_words": 12},
        "raw": False,
        "scorer": "rouge-score",
        "stem": True,
        "tokenize": "auto",
        "with_lead": False,
        "baseline": None,
        "resamples": 1000,
        "seed": 0,
        "by": None,
        "source_field": "src",
        "target_field": "tgt",
    }
    system = report["systems"][0]
    assert system["name"] == "good"
    assert system["quality"]["ROUGE-1"]["low"] <= system["quality"]["ROUGE-1"]["value"] == pytest.approx(100 * 5 / 6)
    assert set(report["signatures"]) == {*system["quality"], *system["form"]}
    assert report["versions"]["sacrebleu"]


def test_the_order_of_lines_does_not_change_a_score(files: dict[str, str], tmp_path: Path) -> None:
    rows = [json.loads(line) for line in Path(files["good"]).read_text().splitlines()]
    random.Random(1).shuffle(rows)
    mixed = write(tmp_path / "good2.jsonl", rows)
    report = run_json("--task", "generic", "--ref", files["ref"], "--hyp", f"a={files['good']}", "--hyp", f"b={mixed}")
    assert report["systems"][0]["quality"] == report["systems"][1]["quality"]
    assert report["systems"][0]["form"] == report["systems"][1]["form"]


@pytest.mark.parametrize("corpus", ["xsum", "cnndm", "gigaword"])
def test_py_rouge_gives_the_scores_of_the_original_scripts(corpus: str, tmp_path: Path) -> None:
    case = json.loads(GOLDEN.read_text())
    (tmp_path / "y.txt").write_text("\n".join(case["predictions"]) + "\n")
    (tmp_path / "x.txt").write_text("\n".join(case["golds"]) + "\n")
    for run_of_case in case["results"][corpus]["eval"]:
        given = run_of_case["settings"]
        options = [part for name in given for part in (f"--{name.replace('_', '-')}", str(given[name]))]
        report = run_json(
            *("--task", corpus, "--scorer", "py-rouge", *options),
            *("--hyp", str(tmp_path / "y.txt"), "--ref", str(tmp_path / "x.txt")),
        )
        for name, score in run_of_case["scores"].items():
            assert report["systems"][0]["quality"][name.upper()]["value"] == pytest.approx(100 * score["f"], abs=1e-9)


def test_lead_3_of_cnndm_keeps_its_sentences(tmp_path: Path) -> None:
    sentences = [f"sentence number {n} of this story ." for n in ("one", "two", "three", "four")]
    row = {"src": " ".join(sentences), "tgt": " <S_SEP> ".join(sentences[:3])}
    path = write(tmp_path / "x.jsonl", [row])
    hyp = write(tmp_path / "y.jsonl", [{"tgt": "nothing"}])
    lead = run_json("--task", "cnndm", "--hyp", hyp, "--ref", path, "--with-lead", "--duplicate-rate", "1")["systems"][
        1
    ]
    assert lead["quality"]["ROUGE-Lsum"]["value"] == pytest.approx(100)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--seed", "-1"),
        ("--resamples", "0"),
        ("--resamples", "1000001"),
        ("--lead-words", "-1"),
        ("--trunc-len", "-1"),
        ("--duplicate-rate", "1.5"),
        ("--duplicate-rate", "-0.1"),
        ("--task", "rouge"),
        ("--tokenize", "spm"),
    ],
)
def test_options_out_of_bounds_are_refused_by_name(option: str, value: str) -> None:
    result = CliRunner().invoke(app, ["--task", "cnndm", "--hyp", "h", "--ref", "r", option, value])
    assert result.exit_code == 2
    assert f"Invalid value for '{option}'" in result.output


def test_questions_with_one_source_are_scored_once(tmp_path: Path) -> None:
    source = "the tower is in Paris [SEP] Paris"
    ref = write(tmp_path / "x.jsonl", [{"src": source, "tgt": "where is it ?"}, {"src": source, "tgt": "what city ?"}])
    hyp = write(tmp_path / "y.jsonl", [{"tgt": "nonsense"}, {"tgt": "Where is it ?"}])
    report = run_json("--task", "qg", "--hyp", hyp, "--ref", ref)
    assert report["systems"][0]["quality"]["BLEU-4"]["value"] == pytest.approx(100, abs=1e-4)
    assert report["examples"] == 2


def test_raw_questions_are_tokenized_on_both_sides(tmp_path: Path) -> None:
    ref = write(tmp_path / "x.jsonl", [{"src": "s", "tgt": "Why doesn't 1,000 work?"}])
    hyp = write(tmp_path / "y.jsonl", [{"tgt": "why doesn ' t 1 , 000 work ?"}])
    assert (
        run_json("--task", "qg", "--raw", "--hyp", hyp, "--ref", ref)["systems"][0]["quality"]["BLEU-4"]["value"] > 99.9
    )
    assert run_json("--task", "qg", "--hyp", hyp, "--ref", ref)["systems"][0]["quality"]["BLEU-4"]["value"] < 50


def test_failed_lines_are_told_and_count_as_empty(files: dict[str, str], tmp_path: Path) -> None:
    rows = [{"id": row["id"], "tgt": None, "error": "too long"} if n < 3 else row for n, row in enumerate(ROWS)]
    report = run_json("--task", "generic", "--ref", files["ref"], "--hyp", write(tmp_path / "y.jsonl", rows))
    assert report["notes"][0].startswith("y: 3 of 12 have no hypothesis and count as empty, first ")
    assert report["systems"][0]["form"]["empty %"]["value"] == 25


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--hyp", "ours="], r"^--hyp: expected PATH or NAME=PATH, found 'ours='$"),
        (["--hyp", "{good}", "--hyp", "good={bad}"], r"^--hyp: two are called 'good'; give them names with NAME=PATH$"),
        (["--hyp", "{good}", "--baseline", "other"], r"^--baseline: no system is called 'other'; there is good$"),
        (["--hyp", "lead={good}", "--with-lead"], r"^--with-lead: a system is called 'lead' already"),
        (
            ["--hyp", "{good}", "--trunc-len", "9"],
            r"^--trunc-len changes nothing here; it is for xsum, cnndm and gigaword,",
        ),
        (["--hyp", "{good}", "--duplicate-rate", "0.5"], r"^--duplicate-rate changes nothing here; it is for cnndm,"),
        (["--hyp", "{good}", "--lead-words", "5"], r"^--lead-words changes nothing here; it is for --with-lead$"),
        (["--hyp", "{good}", "--raw"], r"^--raw changes nothing here; it is for the benchmarks; generic takes"),
        (["--hyp", "missing.jsonl"], r"^missing.jsonl: cannot be read: No such file"),
        (["--hyp", "{good}", "--json", "/nowhere/s.json"], r"^--json: cannot write /nowhere/s.json: No such file"),
    ],
)
def test_wrong_options_are_named(files: dict[str, str], options: list[str], message: str) -> None:
    filled = [option.format(**files) for option in options]
    with pytest.raises(InputError, match=message) as failure:
        run("--task", "generic", "--ref", files["ref"], "--resamples", "5", *filled)
    assert "\n" not in str(failure.value)


def test_py_rouge_does_not_know_questions(files: dict[str, str]) -> None:
    with pytest.raises(InputError, match=r"^--scorer py-rouge changes nothing here; it is for every task but qg$"):
        run("--task", "qg", "--scorer", "py-rouge", "--hyp", files["good"], "--ref", files["ref"])


def test_no_stem_compares_whole_words(tmp_path: Path) -> None:
    ref = write(tmp_path / "x.jsonl", [{"tgt": "connections"}])
    hyp = write(tmp_path / "y.jsonl", [{"tgt": "connected"}])
    for options, expected in ([], 100), (["--no-stem"], 0):
        report = run_json("--task", "generic", "--hyp", hyp, "--ref", ref, *options)
        assert report["systems"][0]["quality"]["ROUGE-1"]["value"] == pytest.approx(expected)


def test_lead_needs_sources(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("a\n")
    with pytest.raises(InputError, match=r"^--with-lead: .*x.txt has no 'src'; the lead baseline is made from"):
        run("--task", "xsum", "--hyp", str(tmp_path / "x.txt"), "--ref", str(tmp_path / "x.txt"), "--with-lead")


def test_marks_between_sentences_are_no_words(tmp_path: Path) -> None:
    ref = write(tmp_path / "x.jsonl", [{"src": "a b\nc", "tgt": "a b <S_SEP> c d"}])
    hyp = write(tmp_path / "y.jsonl", [{"tgt": "a b [X_SEP] c d"}])
    system = run_json("--task", "generic", "--hyp", hyp, "--ref", ref)["systems"][0]
    assert system["form"]["words"]["value"] == 4
    assert [score["value"] for score in system["quality"].values()] == [pytest.approx(100)] * 6


def test_unknown_task_and_missing_options_are_usage_errors(files: dict[str, str]) -> None:
    assert run("--task", "squad", "--hyp", files["good"], "--ref", files["ref"]).exit_code == 2
    assert run("--task", "qg").exit_code == 2


def test_help_names_the_sub_commands() -> None:
    shown = run("--help").stdout
    assert "text" in shown
    assert "curve" in shown


@pytest.mark.parametrize("package", ["rouge_score", "sacrebleu"])
def test_a_missing_package_names_the_extra(
    files: dict[str, str], package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)

    class Hidden:
        def find_spec(self, name: str, path: object = None, target: object = None) -> None:
            if name.split(".")[0] == package:
                raise ModuleNotFoundError(f"No module named {package!r}", name=package)

    monkeypatch.setattr(sys, "meta_path", [Hidden(), *sys.meta_path])
    with pytest.raises(
        InputError, match=rf'^{package} is not installed; it comes with pip install "unilatent\[eval\]"$'
    ):
        run("--task", "generic", "--hyp", files["good"], "--ref", files["ref"])


def test_a_report_may_not_replace_what_is_scored(files: dict[str, str]) -> None:
    for target in (files["ref"], files["good"]):
        before = Path(target).read_bytes()
        with pytest.raises(InputError, match="is also an input; choose another output"):
            run("--task", "generic", "--ref", files["ref"], "--hyp", f"x={files['good']}", "--json", target)
        with pytest.raises(InputError, match="is also an input; choose another output"):
            run("speech", "--manifest", target, "--transcripts", target)
        assert Path(target).read_bytes() == before
