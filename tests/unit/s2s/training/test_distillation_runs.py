"""Runs with a teacher: what they store, resuming, and teachers that do not fit."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_pairs import WORDS, tree

from s2s.data.tokenizer import Tokenizer
from s2s.errors import ConfigError, InputError
from s2s.models.export import save_bert_folder
from s2s.models.teacher import load_teacher
from s2s.ranks import Ranks
from s2s.run import build_task, build_trainer, load_model, load_run, parse_config, resolve, train_run
from s2s.training.loggers import read_log

STUDENT = {"hidden_size": 16, "num_layers": 1}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the runs `teacher` and, learning from it, `student`."""
    folder = tmp_path_factory.mktemp("distillation")
    train_run(parse_config(tree(folder, train={"max_steps": 8})), folder / "teacher")
    train_run(config(folder), folder / "student")
    return folder


def config(
    folder: Path, steps: int = 8, model: dict[str, Any] = STUDENT, task: dict[str, Any] | None = None, **criterion: Any
) -> Any:
    options = tree(folder, train={"max_steps": steps}, model=model, task=task or {})
    options["criterion"] = {"name": "relation_distillation", "teacher": str(folder / "teacher"), **criterion}
    return parse_config(options)


def test_a_run_stores_the_student_alone_and_learns(runs: Path) -> None:
    _, _, model = load_model(runs / "student")
    names = dict(model.named_parameters())
    assert load_file(runs / "student/model.safetensors").keys() == names.keys()
    state = load_file(runs / "student/checkpoints/step-000008/training.safetensors")
    assert {name.rpartition("/")[2].rpartition(":")[0].removeprefix("model.") for name in state} < names.keys()
    losses = [record["loss"] for record in read_log(runs / "student/log.jsonl") if record["split"] == "valid"]
    assert losses[-1] < losses[0]


def test_a_run_that_was_stopped_continues_exactly(runs: Path, tmp_path: Path) -> None:
    train_run(config(runs, steps=4), tmp_path / "run")
    train_run(config(runs), tmp_path / "run")
    for name in ("model", "training"):
        file = f"checkpoints/step-000008/{name}.safetensors"
        own, whole = load_file(tmp_path / "run" / file), load_file(runs / "student" / file)
        assert own.keys() == whole.keys()
        assert all(torch.equal(own[key], whole[key]) for key in own)


def test_a_student_that_starts_as_its_teacher_has_nothing_to_learn(runs: Path, tmp_path: Path) -> None:
    still = {"hidden_dropout": 0.0, "attention_dropout": 0.0, "init": str(runs / "teacher")}
    options = config(runs, steps=1).tree() | {"model": still}
    train_run(parse_config(options), tmp_path / "run")
    (first, *_) = read_log(tmp_path / "run/log.jsonl")
    assert abs(first["loss"]) < 1e-6
    assert first["grad_norm"] < 1e-6


def test_a_folder_of_other_programs_teaches_the_same(runs: Path, tmp_path: Path) -> None:
    _, task, model, _ = load_run(runs / "teacher")
    folder = tmp_path / "folder"
    folder.mkdir()
    save_bert_folder(model, folder)
    task.tokenizer.save(folder)
    train_run(config(runs, teacher=str(folder)), tmp_path / "run")
    own, other = (load_file(run / "model.safetensors") for run in (tmp_path / "run", runs / "student"))
    assert all(torch.equal(own[name], other[name]) for name in own)


def test_the_student_decodes_without_its_teacher(runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs / "student", tmp_path / "alone")
    text = (tmp_path / "alone/config.yaml").read_text().replace(str(runs / "teacher"), "gone")
    (tmp_path / "alone/config.yaml").write_text(text)
    load_run(tmp_path / "alone")


def test_a_teacher_that_changed_is_refused_in_resuming(runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs / "teacher", tmp_path / "teacher")
    train_run(config(runs, steps=4, teacher=str(tmp_path / "teacher")), tmp_path / "run")
    weights = {name: tensor + 0.1 for name, tensor in load_file(runs / "teacher/model.safetensors").items()}
    save_file(weights, tmp_path / "teacher/model.safetensors")
    with pytest.raises(InputError, match=r"teacher/model\.safetensors: has changed since .*run began to train on it"):
        train_run(config(runs, teacher=str(tmp_path / "teacher")), tmp_path / "run")


def test_another_vocabulary_is_refused_by_its_first_difference(runs: Path, tmp_path: Path) -> None:
    for name, change in (("longer", ("few", "few\nmore")), ("other", ("few", "more"))):
        shutil.copytree(runs / "vocabulary", tmp_path / name)
        words = (tmp_path / name / "vocab.txt").read_text().replace(*change)
        (tmp_path / name / "vocab.txt").write_text(words)
        options = config(runs).tree()
        options["task"]["tokenizer"] = str(tmp_path / name)
        message = {"longer": "must have the vocabulary of the task .19 items., found one of 18 items"}
        message["other"] = "whose item 6 is 'more', found 'few'"
        with pytest.raises(InputError, match=rf"^criterion\.teacher: .*{message[name]}"):
            train_run(parse_config(options), tmp_path / "run")
    assert not (tmp_path / "run").exists() or not list((tmp_path / "run").iterdir())


@pytest.fixture
def smaller(runs: Path, tmp_path: Path) -> Path:
    """A vocabulary with some of the teacher's tokens, in another order, and one that it lacks."""
    shutil.copytree(runs / "vocabulary", tmp_path / "smaller")
    special, words = ["[MASK]", "[UNK]", "[PAD]", "[CLS]", "[SEP]"], WORDS[::-2]
    (tmp_path / "smaller/vocab.txt").write_text("\n".join([*special, *words, "[X]"]) + "\n")
    return tmp_path / "smaller"


def test_a_teacher_reads_and_scores_the_tokens_of_a_smaller_vocabulary_as_its_own(runs: Path, smaller: Path) -> None:
    ours, theirs = Tokenizer.load(smaller), Tokenizer.load(runs / "teacher")
    whole = load_model(runs / "teacher")[2]
    teacher = load_teacher(str(runs / "teacher"), ours, {"vocab_size": ours.vocab_size}, {"[X]": WORDS[1]})
    names = [WORDS[1] if token == "[X]" else token for token in ours.tokens(range(ours.vocab_size))]
    ids = torch.tensor([theirs.token_id(name) for name in names])
    scores = []
    for model, tokens in ((whole, ids[None]), (teacher, torch.arange(len(ids))[None])):
        states = model.encode(tokens, torch.tensor([len(ids)]))
        scores.append(model.logits(states))
    torch.testing.assert_close(scores[0][..., ids], scores[1])


def test_a_student_of_a_smaller_vocabulary_learns(runs: Path, smaller: Path, tmp_path: Path) -> None:
    task = {"tokenizer": str(smaller)}
    train_run(config(runs, task=task, name="logit_distillation", token_map={"[X]": WORDS[1]}), tmp_path / "run")
    records = read_log(tmp_path / "run/log.jsonl")
    losses = [record["divergence"] for record in records if record["split"] == "valid"]
    assert losses[-1] < losses[0]


@pytest.mark.parametrize(
    ("token_map", "message"),
    [
        ({}, r"^criterion\.teacher: .* must have the vocabulary .* without '\[X\]'; criterion\.token_map says"),
        ({"[Y]": "few"}, r"^criterion\.token_map: '\[Y\]' is no token of the task's vocabulary$"),
        ({"[X]": "[Y]"}, r"^criterion\.token_map: '\[Y\]', for '\[X\]', is no token of .*teacher$"),
        ({"[X]": "here"}, r"^criterion\.token_map: 'here' and '\[X\]' cannot both be 'here' of the teacher$"),
    ],
)
def test_maps_of_tokens_that_lead_nowhere_are_refused(
    runs: Path, smaller: Path, tmp_path: Path, token_map: dict[str, str], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        train_run(config(runs, task={"tokenizer": str(smaller)}, token_map=token_map), tmp_path / "run")


def test_a_teacher_whose_segments_the_task_outgrows_is_refused(runs: Path) -> None:
    tokenizer = Tokenizer.load(runs / "teacher")
    with pytest.raises(ConfigError, match=r"^criterion\.teacher: model\.num_segments: must be at least 6"):
        load_teacher(str(runs / "teacher"), tokenizer, {"num_segments": 6})


def test_a_teacher_that_writes_no_text_is_refused(runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs / "teacher", tmp_path / "voice")
    text = (tmp_path / "voice/config.yaml").read_text().replace("name: unilm", "name: latent_lm")
    (tmp_path / "voice/config.yaml").write_text(text)
    with pytest.raises(InputError, match=r"^criterion\.teacher: .*: model\.name must be unilm, found 'latent_lm'"):
        train_run(config(runs, teacher=str(tmp_path / "voice")), tmp_path / "run")


def test_matrices_of_a_layerwise_student_are_trained_and_stored_beside_it(runs: Path, tmp_path: Path) -> None:
    for folder, lengths in (("whole", [8]), ("stopped", [4, 8])):
        for steps in lengths:
            train_run(config(runs, steps, name="layerwise_distillation"), tmp_path / folder)
    found = [
        {
            name: load_file(tmp_path / folder / f"checkpoints/step-000008/{name}.safetensors")
            for name in ("model", "training")
        }
        for folder in ("whole", "stopped")
    ]
    matrices = {f"criterion/projections.{term}.weight" for term in ("embeddings", "hidden")}
    moments = {f"optimizer/model/{name.replace('/', '.')}:exp_avg" for name in matrices}
    assert matrices | moments <= found[0]["training"].keys()
    assert not [name for name in found[0]["model"] if "projections" in name]
    for name, tensors in found[0].items():
        assert tensors.keys() == found[1][name].keys()
        assert all(torch.equal(found[1][name][key], tensor) for key, tensor in tensors.items())
    record = read_log(tmp_path / "whole/log.jsonl")[-1]
    assert {"embeddings", "hidden", "attention", "logits"} <= record.keys()


def test_a_student_of_some_layers_starts_nearer_to_its_teacher_than_a_random_one(runs: Path, tmp_path: Path) -> None:
    first = {}
    for name, layers in (("copied", [1]), ("random", None)):
        model = {"like": str(runs / "teacher"), "hidden_dropout": 0.0, "attention_dropout": 0.0}
        model |= {"num_layers": 1} if layers is None else {"layers_from": layers}
        options = config(runs, steps=1, name="logit_distillation").tree() | {"model": model}
        train_run(parse_config(options), tmp_path / name)
        first[name] = read_log(tmp_path / name / "log.jsonl")[0]["divergence"]
        load_run(tmp_path / name)
    assert first["copied"] < first["random"]


def test_no_teacher_and_a_missing_one_are_refused(runs: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"criterion\.teacher: must be given"):
        parse_config(tree(runs) | {"criterion": {"name": "relation_distillation"}})
    with pytest.raises(InputError, match=r"criterion\.teacher: .*nowhere: no such file or folder"):
        train_run(config(runs, teacher=str(tmp_path / "nowhere")), tmp_path / "run")


def test_heads_that_do_not_fit_are_refused_before_the_folder_is_made(runs: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^criterion\.relation_heads: must divide the teacher's hidden size"):
        train_run(config(runs, relation_heads=5), tmp_path / "run")
    assert not (tmp_path / "run/config.yaml").exists()


def test_shards_of_the_student_are_refused(runs: Path, tmp_path: Path) -> None:
    options = config(runs).tree()
    options["train"]["parallel"] = "fsdp"
    parsed = parse_config(options)
    task = build_task(parsed)
    parsed = resolve(parsed, task.model_defaults())
    ranks = Ranks(0, 2, torch.device("cpu"))
    with pytest.raises(ConfigError, match=r"train\.parallel: must be ddp with criterion\.teacher, found 'fsdp'"):
        build_trainer(parsed, task, tmp_path / "run", ranks)
