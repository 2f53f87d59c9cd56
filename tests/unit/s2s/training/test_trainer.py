"""The training loop on the toy of tests/toy_parts.py."""

from __future__ import annotations

import json
import logging
import os
import re
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from s2s import checkpoint
from s2s.durable import claimed
from s2s.errors import ConfigError, InputError
from s2s.run import TrainResult, parse_config, train_run
from s2s.training.logging import TrainingLog
from s2s.training.means import Means

TESTS = Path(__file__).parents[3]
STANDS_STILL = 1e-30
"""A learning rate that changes no weight in float32, so that no validation is better by rounding alone."""


@pytest.fixture(autouse=True)
def _toy_can_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(TESTS))


def train(run: Path, **changes: Any) -> TrainResult:
    import toy_parts

    return train_run(parse_config(toy_parts.tree(**changes)), run)


def losses(run: Path, split: str = "train") -> list[float]:
    records = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [record["loss"] for record in records if record["split"] == split]


def same_weights(one: Path, other: Path) -> bool:
    return (one / "model.safetensors").read_bytes() == (other / "model.safetensors").read_bytes()


def stop_after(monkeypatch: pytest.MonkeyPatch, step: int, how: signal.Signals) -> None:
    """Send this process a signal when the log reaches a step."""
    original = TrainingLog.train

    def train_and_signal(self: TrainingLog, record: dict[str, Any], seconds_left: float) -> None:
        original(self, record, seconds_left)
        if record["step"] == step:
            os.kill(os.getpid(), how)

    monkeypatch.setattr(TrainingLog, "train", train_and_signal)


def set_clock(monkeypatch: pytest.MonkeyPatch, seconds_per_update: float) -> None:
    """A clock by which every update takes as long, and nothing else takes any time."""
    monkeypatch.setattr("s2s.training.means.time.perf_counter", lambda: 0.0)
    original = Means.count_update

    def count(self: Means, weights: dict[str, float]) -> float:
        self._since = -seconds_per_update
        return original(self, weights)

    monkeypatch.setattr(Means, "count_update", count)


@pytest.mark.parametrize("schedule", ["linear", "cosine", "wsd"])
def test_a_run_by_the_clock_is_the_run_of_the_updates_that_fit(
    tmp_path: Path, schedule: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_clock(monkeypatch, seconds_per_update=1.5)
    optim = {"schedule": schedule}
    for name, seconds in {"exact": 30.0, "between": 29.1}.items():
        train(tmp_path / name, train={"max_steps": None, "max_minutes": seconds / 60}, optim=optim)
    train(tmp_path / "steps", train={"max_steps": 20}, optim=optim)
    assert same_weights(tmp_path / "exact", tmp_path / "steps")
    records = [json.loads(line) for line in (tmp_path / "between/log.jsonl").read_text().splitlines()]
    rates = [record["lr"] for record in records if record["split"] == "train"]
    assert len(rates) == 20
    assert rates[:3] == pytest.approx([0, 0.01 / 3, 0.02 / 3])
    assert rates[-1] <= 0.005, "the last update of a wsd decay of two has half the rate"


def test_a_run_by_the_clock_that_was_stopped_gets_the_time_that_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_clock(monkeypatch, seconds_per_update=1.0)
    clock = {"max_steps": None, "max_minutes": 20 / 60}
    train(tmp_path / "whole", train=clock)
    with monkeypatch.context() as patch:
        stop_after(patch, 7, signal.SIGTERM)
        assert train(tmp_path / "parts", train=clock).signal == signal.SIGTERM
    assert train(tmp_path / "parts", train=clock).step == 20
    assert same_weights(tmp_path / "parts", tmp_path / "whole")
    with pytest.raises(ConfigError, match=r"train\.max_minutes was 0\.333\d*, is now 1"):
        train(tmp_path / "parts", train={"max_steps": None, "max_minutes": 1.0})


def test_training_lowers_the_loss_and_logs_each_step(tmp_path: Path) -> None:
    result = train(tmp_path)
    assert (result.step, result.signal) == (20, 0)
    values = losses(tmp_path)
    assert len(values) == 20
    assert values[-1] < 0.5 * values[0]
    assert result.best == min(losses(tmp_path, "valid"))


def test_result_does_not_depend_on_micro_batches(tmp_path: Path) -> None:
    """An epoch as one batch, and as four uneven ones: the same examples in each update."""
    exact = {"model": {"dropout": 0.0}}
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train(whole, train={"max_tokens": 1000}, **exact)
    train(parts, train={"max_tokens": 40, "accumulate": 4}, **exact)
    assert losses(parts) == pytest.approx(losses(whole), abs=1e-5)


def test_threads_do_not_change_the_result(tmp_path: Path) -> None:
    for workers in (0, 3):
        train(tmp_path / str(workers), train={"workers": workers})
    assert same_weights(tmp_path / "0", tmp_path / "3")


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_signal_saves_and_the_same_command_goes_on_to_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, how: signal.Signals
) -> None:
    options = {"train": {"ema_decay": 0.9, "validate_every": 7}}
    train(tmp_path / "whole", **options)
    before = signal.getsignal(how)
    with monkeypatch.context() as patch, caplog.at_level(logging.INFO):
        stop_after(patch, 9, how)
        result = train(tmp_path / "parts", **options)
    assert (result.step, result.signal) == (10, how)
    assert f"stopped by {how.name} after update 10, which is saved" in caplog.text
    assert signal.getsignal(how) == before
    assert [path.name for path in checkpoint.checkpoints(tmp_path / "parts")][-1] == "step-000010"
    assert train(tmp_path / "parts", **options).step == 20
    assert same_weights(tmp_path / "whole", tmp_path / "parts")
    assert losses(tmp_path / "whole") == losses(tmp_path / "parts")
    assert losses(tmp_path / "whole", "valid") == losses(tmp_path / "parts", "valid")


def test_finished_run_says_so_and_stays_as_it_is(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    train(tmp_path)
    files = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    with caplog.at_level(logging.INFO):
        assert train(tmp_path).step == 20
    assert "already finished, 20 updates; nothing to do" in caplog.text
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == files


def test_changed_configuration_is_refused_by_key(tmp_path: Path) -> None:
    train(tmp_path, train={"max_steps": 4})
    expected = r"holds a run of another configuration: model.dropout was 0.1, is now 0.2; optim.lr was 0.01, is now 0.5"
    with pytest.raises(ConfigError, match=expected) as raised:
        train(tmp_path, train={"max_steps": 4}, optim={"lr": 0.5}, model={"dropout": 0.2})
    assert "\n" not in str(raised.value)
    with pytest.raises(ConfigError, match=r"train.max_steps was 4, is now 3; undo this"):
        train(tmp_path, train={"max_steps": 3})


def test_what_the_run_is_not_about_may_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        stop_after(patch, 5, signal.SIGTERM)
        train(tmp_path)
    other = {"log_every": 7, "keep_last": 2, "workers": 2}
    assert train(tmp_path, train=other, decoder={"width": 3}).step == 20
    assert "width: 3" in (tmp_path / "config.yaml").read_text()


def test_loss_that_is_no_number_stops_with_the_ids_and_saves_nothing(tmp_path: Path) -> None:
    options = {"train": {"max_sentences": 4, "save_every": 1, "keep_last": 9}, "task": {"poison": 13, "valid": 0}}
    with pytest.raises(InputError, match=r"update \d+: the loss is not finite, in the batch .* record-13\b") as raised:
        train(tmp_path, **options)
    message = str(raised.value)
    assert "\n" not in message
    assert len(re.findall(r"record-\d+", message)) == 4
    update = int(re.findall(r"update (\d+)", message)[0])
    assert update > 1, "the order of this seed must have a good update first"
    assert [checkpoint.step_of(path) for path in checkpoint.checkpoints(tmp_path)] == list(range(1, update))
    weights = checkpoint.read_tensors(tmp_path / "model.safetensors")
    assert all(bool(torch.isfinite(tensor).all()) for tensor in weights.values())


def test_a_start_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    """The loss of the first update is not a number: the run folder and the folder around it were made for nothing."""
    with pytest.raises(InputError, match=r"update 1: the loss is not finite"):
        train(tmp_path / "runs" / "mine", train={"max_tokens": 1000}, task={"poison": 13})
    assert not list(tmp_path.rglob("*"))


def test_a_start_that_fails_removes_only_what_it_made(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"update 1: the loss is not finite"):
        train(tmp_path, train={"max_tokens": 1000}, task={"poison": 13})
    assert [path.name for path in tmp_path.rglob("*")] == ["notes.txt"]


def test_full_disk_is_one_line_and_the_checkpoint_before_survives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"train": {"save_every": 3, "validate_every": 6, "keep_last": 2}}
    train(tmp_path / "whole", **options)
    original = checkpoint.save_file

    def full_from_step_9(tensors: Any, path: Path, **others: Any) -> None:
        if "step-000009" in str(path) and path.name == "training.safetensors":
            path.write_bytes(b"half")
            raise OSError(28, "No space left on device")
        original(tensors, path, **others)

    run = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save_file", full_from_step_9)
        expected = r"step-000009: the checkpoint cannot be written: No space left on device; .* kept is step-000006"
        with pytest.raises(InputError, match=expected):
            train(run, **options)
    names = sorted(path.name for path in (run / "checkpoints").iterdir())
    assert names == ["step-000003", "step-000006"]
    train(run, **options)
    assert same_weights(tmp_path / "whole", run)


def test_weights_to_decode_with_are_the_best_not_the_last(tmp_path: Path) -> None:
    """A learning rate that is too high after a good start: the last validation is not the best."""
    result = train(tmp_path, optim={"schedule": "constant", "lr": 0.05}, train={"max_steps": 60, "validate_every": 4})
    values = losses(tmp_path, "valid")
    assert result.best == min(values)
    best_step = 4 * (1 + values.index(min(values)))
    assert best_step < 60, "this test needs a best validation before the last"
    best = tmp_path / "checkpoints" / f"step-{best_step:06d}" / "model.safetensors"
    assert (tmp_path / "model.safetensors").read_bytes() == best.read_bytes()
    assert [checkpoint.step_of(path) for path in checkpoint.checkpoints(tmp_path)] == [best_step, 60]


def test_last_checkpoints_are_kept_and_without_validation_the_last_weights_decode(tmp_path: Path) -> None:
    train(tmp_path, task={"valid": 0}, train={"save_every": 4, "keep_last": 3})
    assert [checkpoint.step_of(path) for path in checkpoint.checkpoints(tmp_path)] == [12, 16, 20]
    last = tmp_path / "checkpoints" / "step-000020" / "model.safetensors"
    assert (tmp_path / "model.safetensors").read_bytes() == last.read_bytes()
    assert losses(tmp_path, "valid") == []


def test_patience_ends_a_run_that_no_longer_improves(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    options = {"optim": {"schedule": "constant", "lr": STANDS_STILL}, "train": {"validate_every": 2, "patience": 3}}
    options["train"]["max_steps"] = 400
    options["model"] = {"dropout": 0.0}
    with caplog.at_level(logging.INFO):
        result = train(tmp_path, **options)
    assert result.step < 400
    assert "stopping: 3 validations in a row were no better than the best" in caplog.text
    assert train(tmp_path, **options).step == result.step


def test_running_mean_is_what_is_validated_and_decoded_with(tmp_path: Path) -> None:
    """Without dropout, validating the decode weights anew gives the logged loss; training goes on from the raw ones."""
    exact = {"model": {"dropout": 0.0}, "task": {"valid": 6}}
    raw, mean = tmp_path / "raw", tmp_path / "mean"
    train(raw, **exact)
    train(mean, train={"ema_decay": 0.5}, **exact)
    assert losses(raw) == losses(mean)
    assert losses(raw, "valid") != losses(mean, "valid")
    assert not same_weights(raw, mean)


def test_running_mean_follows_its_definition(tmp_path: Path) -> None:
    exact: dict[str, Any] = {"task": {"valid": 0}}
    every = {"save_every": 1, "keep_last": 20, "max_steps": 5}
    train(tmp_path / "raw", train=every, **exact)
    train(tmp_path / "mean", train={**every, "ema_decay": 0.3}, **exact)

    def weights(name: str, step: int) -> dict[str, torch.Tensor]:
        return checkpoint.read_tensors(tmp_path / name / "checkpoints" / f"step-{step:06d}" / "model.safetensors")

    mean = weights("raw", 1)  # the first update has rate 0, so these are the first weights
    for step in range(1, 6):
        decay = min(0.3, (1 + step) / (10 + step))
        mean = {name: decay * mean[name] + (1 - decay) * raw for name, raw in weights("raw", step).items()}
        saved = weights("mean", step)
        assert all(torch.allclose(saved[name], mean[name], atol=1e-6) for name in mean)


def test_epochs_give_the_number_of_updates(tmp_path: Path) -> None:
    result = train(tmp_path, train={"max_steps": None, "epochs": 3, "accumulate": 3})
    assert result.step == 6, "4 batches an epoch, 3 an update: 2 updates"


def test_bf16_learns_too(tmp_path: Path) -> None:
    train(tmp_path / "float32")
    train(tmp_path / "bf16", train={"precision": "bf16"})
    assert losses(tmp_path / "bf16") != losses(tmp_path / "float32")
    assert losses(tmp_path / "bf16")[-1] == pytest.approx(losses(tmp_path / "float32")[-1], rel=0.2)


def test_log_of_a_killed_process_loses_what_came_after_its_checkpoint(tmp_path: Path) -> None:
    train(tmp_path, train={"save_every": 1, "keep_last": 20})
    for late in checkpoint.checkpoints(tmp_path)[12:]:
        for file in late.iterdir():
            file.unlink()
        late.rmdir()
    with (tmp_path / "log.jsonl").open("a") as log:
        log.write('{"step": 21, "spl')
    before = losses_of_lines(tmp_path)
    train(tmp_path, train={"save_every": 1, "keep_last": 20})
    assert losses(tmp_path) == before


def losses_of_lines(run: Path) -> list[float]:
    records = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines() if line.endswith("}")]
    return [record["loss"] for record in records if record["split"] == "train"]


def test_data_without_examples_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"task.train: holds no example"):
        train(tmp_path, task={"train": 0})


def test_each_phase_trains_its_own_parameters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = {"criterion": {"name": "toy_two_phases"}, "train": {"max_steps": 12}}
    train(tmp_path / "whole", **options)
    saved = checkpoint.read_tensors(tmp_path / "whole/checkpoints/step-000012/training.safetensors")
    adapted = {name for name in saved if name.endswith(":exp_avg")}
    assert "optimizer/bias/criterion.bias:exp_avg" in adapted
    assert {name.split("/")[1] for name in adapted if "/model." in name} == {"model"}
    assert float(saved["criterion/bias"]) == pytest.approx(0.06, abs=1e-3), "AdamW's steps are the rates: their sum"
    with monkeypatch.context() as patch:
        stop_after(patch, 5, signal.SIGTERM)
        train(tmp_path / "parts", **options)
    train(tmp_path / "parts", **options)
    assert same_weights(tmp_path / "whole", tmp_path / "parts")
    resumed = checkpoint.read_tensors(tmp_path / "parts/checkpoints/step-000012/training.safetensors")
    assert torch.equal(resumed["criterion/bias"], saved["criterion/bias"])


def test_adversarial_losses_do_not_say_which_validation_is_the_best(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import toy_parts

    monkeypatch.setattr(toy_parts.ToyTwoPhases, "adversarial_losses", ("bias_loss",))
    result = train(tmp_path, criterion={"name": "toy_two_phases"}, train={"max_steps": 12, "validate_every": 4})
    assert result.best == min(losses(tmp_path, "valid"))


def test_budget_below_the_longest_example_names_the_option(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"train.max_tokens must be at least 9"):
        train(tmp_path, train={"max_tokens": 8})


# Longer runs


def everything_saved(run: Path, step: int) -> list[bytes]:
    folder = run / "checkpoints" / f"step-{step:06d}"
    return [(folder / name).read_bytes() for name in ("model.safetensors", "training.safetensors")]


@pytest.mark.parametrize(
    ("optim", "length", "longer"),
    [
        ({"schedule": "constant"}, {"max_steps": 7}, {"max_steps": 12}),
        ({"schedule": "constant"}, {"epochs": 2}, {"epochs": 4}),
        ({"schedule": "inverse_sqrt"}, {"max_steps": 7}, {"max_steps": 12}),
        ({"schedule": "linear", "warmup_steps": 9}, {"max_steps": 7}, {"max_steps": 12}),
        ({"schedule": "cosine", "warmup_steps": 9}, {"max_steps": 7}, {"max_steps": 12}),
        ({"schedule": "wsd", "decay_steps": 0}, {"max_steps": 7}, {"max_steps": 12}),
    ],
)
def test_a_finished_run_made_longer_is_the_run_that_it_would_have_been(
    tmp_path: Path, optim: dict[str, Any], length: dict[str, int], longer: dict[str, int]
) -> None:
    options = {"max_steps": None, "ema_decay": 0.9, "validate_every": 3}
    whole = train(tmp_path / "whole", optim=optim, train={**options, **longer})
    first = train(tmp_path / "parts", optim=optim, train={**options, **length})
    assert first.step < whole.step
    assert train(tmp_path / "parts", optim=optim, train={**options, **longer}).step == whole.step
    assert everything_saved(tmp_path / "parts", whole.step) == everything_saved(tmp_path / "whole", whole.step)
    assert same_weights(tmp_path / "whole", tmp_path / "parts")
    assert losses(tmp_path / "whole") == losses(tmp_path / "parts")
    assert train(tmp_path / "parts", optim=optim, train={**options, **longer}).step == whole.step, "finished again"


def test_an_unfinished_run_is_made_longer_before_its_decay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    optim = {"schedule": "wsd", "decay_steps": 4}
    with monkeypatch.context() as patch:
        stop_after(patch, 5, signal.SIGTERM)
        assert train(tmp_path / "parts", optim=optim, train={"max_steps": 10}).step == 6
    train(tmp_path / "parts", optim=optim, train={"max_steps": 15})
    train(tmp_path / "whole", optim=optim, train={"max_steps": 15})
    assert everything_saved(tmp_path / "parts", 15) == everything_saved(tmp_path / "whole", 15)


@pytest.mark.parametrize(
    "optim",
    [{"schedule": "linear"}, {"schedule": "cosine"}, {"schedule": "wsd", "decay_steps": 2}],
)
def test_a_run_whose_rates_would_have_been_others_is_not_made_longer(tmp_path: Path, optim: dict[str, Any]) -> None:
    train(tmp_path, optim=optim, train={"max_steps": 6})
    config = (tmp_path / "config.yaml").read_bytes()
    with pytest.raises(ConfigError, match=rf"cannot be made longer: .* of the 6 updates .*model\.init={tmp_path}"):
        train(tmp_path, optim=optim, train={"max_steps": 9})
    assert (tmp_path / "config.yaml").read_bytes() == config
    assert train(tmp_path, optim=optim, train={"max_steps": 6}).step == 6
    with pytest.raises(ConfigError, match=r"train\.max_steps was 6, is now 5; .* model\.init="):
        train(tmp_path, optim=optim, train={"max_steps": 5})


def test_a_kill_between_new_length_and_first_checkpoint_loses_nothing(tmp_path: Path) -> None:
    options: dict[str, Any] = {"optim": {"schedule": "constant"}}
    train(tmp_path / "parts", train={"max_steps": 5}, **options)
    config = tmp_path / "parts" / "config.yaml"
    config.write_text(config.read_text().replace("max_steps: 5", "max_steps: 8"))
    assert train(tmp_path / "parts", train={"max_steps": 8}, **options).step == 8
    train(tmp_path / "whole", train={"max_steps": 8}, **options)
    assert everything_saved(tmp_path / "parts", 8) == everything_saved(tmp_path / "whole", 8)


def test_a_run_that_patience_ended_stays_at_its_end(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    options: dict[str, Any] = {"optim": {"schedule": "constant", "lr": STANDS_STILL}, "model": {"dropout": 0.0}}
    lengths = {"validate_every": 2, "patience": 3}
    step = train(tmp_path, train={**lengths, "max_steps": 40}, **options).step
    assert step < 40
    with caplog.at_level(logging.INFO):
        assert train(tmp_path, train={**lengths, "max_steps": 50}, **options).step == step
    assert f"already finished, {step} updates (train.patience); nothing to do" in caplog.text


def test_the_validation_at_a_former_end_does_not_count_for_patience(tmp_path: Path) -> None:
    options: dict[str, Any] = {"optim": {"schedule": "constant", "lr": STANDS_STILL}, "model": {"dropout": 0.0}}
    lengths = {"validate_every": 4, "patience": 2}
    whole = train(tmp_path / "whole", train={**lengths, "max_steps": 40}, **options)
    for steps in (5, 7, 40):
        parts = train(tmp_path / "parts", train={**lengths, "max_steps": steps}, **options)
    assert parts.step == whole.step < 40


# Training state that is not whole


def break_state(run: Path, change: Any) -> Path:
    path = checkpoint.checkpoints(run)[-1] / "training.safetensors"
    tensors = checkpoint.read_tensors(path)
    change(tensors)
    save_file(tensors, path)
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tensors: tensors.clear(), r"lacks optimizer/model/model\..* and \d+ more"),
        (
            lambda tensors: tensors.pop("optimizer/model/model.head.bias:exp_avg"),
            r"lacks optimizer/.*head.bias:exp_avg",
        ),
        (lambda tensors: tensors.update(noise=torch.zeros(2)), "also holds noise"),
        (lambda tensors: tensors.update({"criterion/bias": torch.zeros(2)}), "also holds criterion/bias"),
        (
            lambda tensors: tensors.update({"optimizer/model/model.head.bias:exp_avg": torch.zeros(3)}),
            r"head.bias:exp_avg has shape \(3,\), not \(11,\)",
        ),
        (
            lambda tensors: tensors.update({"optimizer/model/model.head.bias:max": torch.zeros(11)}),
            r"also holds optimizer/model/model.head.bias:max",
        ),
    ],
)
def test_a_training_state_that_does_not_fit_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Any, message: str
) -> None:
    with monkeypatch.context() as patch:
        stop_after(patch, 5, signal.SIGTERM)
        train(tmp_path)
    path = break_state(tmp_path, change)
    with pytest.raises(InputError, match=message) as raised:
        train(tmp_path)
    assert str(raised.value).startswith(f"{path}: does not fit this model: ")
    assert "\n" not in str(raised.value)


def test_state_of_former_versions_without_a_count_of_tensors_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(tmp_path / "whole")
    with monkeypatch.context() as patch:
        stop_after(patch, 5, signal.SIGTERM)
        train(tmp_path / "parts")
    progress = checkpoint.checkpoints(tmp_path / "parts")[-1] / "progress.json"
    record = json.loads(progress.read_text())
    del record["tensors"]
    progress.write_text(json.dumps(record))
    train(tmp_path / "parts")
    assert same_weights(tmp_path / "whole", tmp_path / "parts")


@pytest.mark.parametrize("content", ["{}", '{"step": "many"}', '{"step": 6, "best": 4}', "{"])
def test_a_progress_file_that_holds_something_else_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    with monkeypatch.context() as patch:
        stop_after(patch, 5, signal.SIGTERM)
        train(tmp_path)
    path = checkpoint.checkpoints(tmp_path)[-1] / "progress.json"
    path.write_text(content)
    with pytest.raises(InputError, match=re.escape(str(path))) as raised:
        train(tmp_path)
    assert "\n" not in str(raised.value)


def test_a_measurement_that_is_not_finite_is_null_in_the_log(tmp_path: Path) -> None:
    log = TrainingLog(tmp_path, 0, 5, enabled=True, bar=False)
    log.validation({"step": 1, "epoch": 1, "loss": 2.0, "accuracy": float("nan")}, best=True)
    log.close()
    assert (tmp_path / "log.jsonl").read_text() == (
        '{"split": "valid", "step": 1, "epoch": 1, "loss": 2.0, "accuracy": null}\n'
    )


def test_two_trainings_cannot_write_one_folder(tmp_path: Path) -> None:
    run = tmp_path / "run"
    refused = pytest.raises(InputError, match=r"run: another process is writing it; wait for it, or choose another")
    with claimed(run, run / ".lock"), refused:
        train(run)
    train(run)
    assert not (run / ".lock").exists()
