"""The best weights by a metric of generated texts."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from tiny_decoding import WordTask, alone, beam, model_of_words
from tiny_pairs import tree

from s2s import checkpoint
from s2s.config import write_tree
from s2s.data.text_metrics import TEXT_METRICS, score
from s2s.errors import ConfigError, InputError
from s2s.generation.generator import Generator
from s2s.run import TrainResult, parse_config, train_run
from s2s.tasks.base import Reference
from s2s.training.config import TrainConfig
from s2s.training.logging import TrainingLog
from s2s.training.metrics import cost
from s2s.training.state import Progress
from s2s.training.validation import GenerationMetric, spread

pytest.importorskip("rouge_score")
pytest.importorskip("sacrebleu")


def train(folder: Path, name: str = "run", **changes: Any) -> TrainResult:
    return train_run(parse_config(tree(folder, **changes)), folder / name)


def records(run: Path, split: str) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [record for record in found if record["split"] == split]


def of(run: Path, split: str, name: str) -> list[float]:
    return [record[name] for record in records(run, split)]


BY_ROUGE = {"keep_best_by": "rouge_l", "generate_examples": 9}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the same training by loss and by ROUGE-L, with a running mean and dropout."""
    folder = tmp_path_factory.mktemp("home")
    train(folder, "by_loss", train={"ema_decay": 0.9})
    train(folder, "by_rouge", train={"ema_decay": 0.9, **BY_ROUGE})
    return folder


def test_decoding_at_validation_does_not_touch_the_training(home: Path) -> None:
    for split in ("train", "valid"):
        assert of(home / "by_rouge", split, "loss") == of(home / "by_loss", split, "loss")
    last = [checkpoint.checkpoints(home / name)[-1] / "model.safetensors" for name in ("by_loss", "by_rouge")]
    assert last[0].read_bytes() == last[1].read_bytes()


def test_best_weights_are_those_of_the_best_metric(home: Path) -> None:
    values = of(home / "by_rouge", "valid", "rouge_l")
    best = 4 * (1 + values.index(max(values)))
    assert max(values) > values[0]
    saved = home / "by_rouge/checkpoints" / f"step-{best:06d}" / "model.safetensors"
    assert saved.read_bytes() == (home / "by_rouge/model.safetensors").read_bytes()
    progress = Progress.read(checkpoint.checkpoints(home / "by_rouge")[-1])
    assert progress.best == [(max(values), best)]


def test_value_is_what_decode_and_evaluate_give_for_the_running_mean(home: Path) -> None:
    """The last checkpoint decodes with the running mean."""
    from eval.rouge import rouge

    run = home / "by_rouge"
    valid = [json.loads(line) for line in (home / "valid.jsonl").read_text().splitlines()]
    made = Generator.load(run, checkpoint="24").generate([record["article"] for record in valid])
    outputs, targets = [one.text for one in made], [record["highlights"] for record in valid]
    chosen = spread(12, 9)
    found = rouge([outputs[i] for i in chosen], [targets[i] for i in chosen], any_script=True)[-1]
    assert found.name == "ROUGE-L"
    assert of(run, "valid", "rouge_l")[-1] == pytest.approx(found.value())


def test_three_outputs_are_in_the_log_beside_source_and_reference(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        train(tmp_path, train={**BY_ROUGE, "max_steps": 4})
    (record,) = records(tmp_path / "run", "samples")
    valid = [json.loads(line) for line in (tmp_path / "valid.jsonl").read_text().splitlines()]
    expected = [valid[spread(12, 9)[row]] for row in spread(9, 3)]
    assert [(one["source"], one["reference"]) for one in record["samples"]] == [
        (one["article"], one["highlights"]) for one in expected
    ]
    for sample in record["samples"]:
        for name, text in sample.items():
            assert f"    {name:9}  {text}" in caplog.text


def test_stopped_run_goes_on_to_the_same_bytes(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = TrainingLog.train

    def train_and_signal(self: TrainingLog, record: dict[str, Any], seconds_left: float) -> None:
        original(self, record, seconds_left)
        if record["step"] == 9:
            os.kill(os.getpid(), signal.SIGTERM)

    options = {"train": {"ema_decay": 0.9, **BY_ROUGE}}
    with monkeypatch.context() as patch:
        patch.setattr(TrainingLog, "train", train_and_signal)
        assert train(home, "parts", **options).step == 10
    assert train(home, "parts", **options).step == 24
    for split in ("valid", "samples"):
        assert records(home / "parts", split) == records(home / "by_rouge", split)
    assert (home / "parts/model.safetensors").read_bytes() == (home / "by_rouge/model.safetensors").read_bytes()


def test_another_decoder_would_choose_other_weights_and_is_refused(home: Path) -> None:
    with pytest.raises(ConfigError, match=r"decoder.beam_size was 2, is now 3"):
        train(home, "by_rouge", train={"ema_decay": 0.9, **BY_ROUGE}, decoder={"beam_size": 3})


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"task": {"valid": None}}, r"train.keep_best_by: 'rouge_l' needs validation data; name them in task.valid"),
        ({"train": {"keep_best_by": "rouge"}}, r"train.keep_best_by: must be 'loss', 'rouge_1', .*, found 'rouge'"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_the_data_are_read(
    tmp_path: Path, changes: dict[str, Any], expected: str
) -> None:
    options = {"train": BY_ROUGE, "task": {"train": "missing.jsonl"}}
    merged = {key: {**options.get(key, {}), **changes.get(key, {})} for key in options}
    with pytest.raises(ConfigError, match=expected) as raised:
        train(tmp_path, **merged)
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "run").exists()


def test_missing_package_is_one_line_with_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rouge_score", None)
    expected = r'^train.keep_best_by: rouge_score is not installed; it comes with pip install "unilatent\[eval\]"$'
    with pytest.raises(ConfigError, match=expected):
        train(tmp_path, train=BY_ROUGE)
    assert not (tmp_path / "run").exists()


def test_task_that_generates_no_text_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[3]))
    import toy_parts

    expected = r"train.keep_best_by: 'wer' compares generated texts, and the task 'toy' generates none; use 'loss'"
    with pytest.raises(ConfigError, match=expected):
        train_run(parse_config(toy_parts.tree(train={"keep_best_by": "wer"})), tmp_path / "run")


# Metrics

ENGLISH = ["a small library that reads files", "Tools to write C++ programs", "one more text of five words"]
OUTPUTS = ["a library to read small files", "tools for writing programs in C++", "the text"]
JAPANESE = ["小さなファイルを読むライブラリ", "文章を書く道具"], ["ファイルを読む小さなもの", "文章の道具"]


@pytest.mark.parametrize("texts", [(OUTPUTS, ENGLISH), JAPANESE])
def test_metrics_are_those_of_evaluate(texts: tuple[list[str], list[str]]) -> None:
    from eval.bleu import bleu_and_chrf
    from eval.rouge import rouge

    titles = {"ROUGE-1": "rouge_1", "ROUGE-2": "rouge_2", "ROUGE-L": "rouge_l", "BLEU": "bleu", "chrF": "chrf"}
    found = [*rouge(*texts, any_script=True), *bleu_and_chrf(*texts)]
    assert {metric.name for metric in found} == set(titles)
    for metric in found:
        assert score(titles[metric.name], *texts) == pytest.approx(metric.value())


def test_word_errors_are_edits_over_the_words_of_the_references() -> None:
    pytest.importorskip("jiwer")
    assert score("wer", ["one two", "x"], ["One, two three", "!"]) == pytest.approx(100 / 3)


def test_the_best_is_the_highest_metric_and_the_lowest_error() -> None:
    assert {name for name in TEXT_METRICS if cost(name, 2.0) < cost(name, 1.0)} == set(TEXT_METRICS) - {"wer"}
    assert cost("loss", 1.0) < cost("loss", 2.0)
    for name, first in (("rouge_l", 30.0), ("wer", 10.0)):
        config = TrainConfig(max_steps=9, keep_best_by=name, keep_best=2, patience=2)
        progress = Progress()
        for step, value in enumerate((20.0, 30.0, 10.0, first), start=1):
            progress.step = step
            progress.note_validation(value, config, due=True)
        assert progress.best[0] == (first, 2 if name == "rouge_l" else 3), "of two equal ones the earlier"
        assert progress.validations_since_best == (2 if name == "rouge_l" else 1)


def test_references_without_a_word_are_an_error() -> None:
    example = WordTask(None).source({"src": "w1 w2"}, "here")
    metric = GenerationMetric("rouge_l", WordTask(None), beam(), [Reference(example, "w1 w2", "!", "")], alone())
    with pytest.raises(InputError, match="rouge_l is not defined, no validation target has a word"):
        metric.measure(model_of_words())


def test_a_configuration_with_the_metric_survives_its_file(tmp_path: Path) -> None:
    config = parse_config(tree(tmp_path, train=BY_ROUGE))
    write_tree(config.tree(), tmp_path / "config.yaml")
    assert "keep_best_by: rouge_l" in (tmp_path / "config.yaml").read_text()
