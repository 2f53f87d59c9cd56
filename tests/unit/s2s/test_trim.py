"""A trimmed run is a run: it gives the same scores to what is kept, and every verb takes it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from command_line import error_of, unilatent
from tiny_models import write_encoder

from s2s.checkpoint import read_tensors
from s2s.data.tokenizer import Tokenizer
from s2s.models.unilm import UniLM
from s2s.run import load_run, parse_config, train_run
from s2s.trim import store_run, trim_run

DATA = Path(__file__).parents[2] / "regression/data"
RUN = DATA / "run"
RECORDS = [json.loads(line) for line in (DATA / "input.jsonl").read_text(encoding="utf-8").splitlines()[:4]]


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("texts") / "texts.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in RECORDS), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def small(texts: Path) -> Path:
    output = texts.parent / "small"
    found = trim_run(RUN, output, [str(texts)])
    assert found.pieces < found.pieces_before == 400
    assert (found.covered, found.tokens) == (found.tokens_before, found.tokens_before)
    assert str(found).startswith(f"{found.pieces} of 400 pieces kept; they cover 100.00% of the tokens")
    return output


def test_the_pieces_that_stay_have_the_scores_that_they_had(small: Path) -> None:
    _, whole_task, whole, _ = load_run(RUN)
    _, small_task, less, _ = load_run(small)
    kept = [
        whole_task.tokenizer.token_id(piece) for piece in small_task.tokenizer.tokens(range(less.config.vocab_size))
    ]
    scores = []
    for task, model in ((whole_task, whole), (small_task, less)):
        sources = task.collate_sources([task.source(record, "here") for record in RECORDS])
        state = model.start(sources, 3)
        first = model.step(state, None)
        words = torch.tensor([[task.token_id("the")]] * len(RECORDS))
        scores.append(torch.stack([first, model.step(state, words)]))
    assert torch.allclose(scores[0][..., kept], scores[1], atol=1e-5)


def test_an_encoder_decoder_is_trimmed_too(texts: Path, tmp_path: Path) -> None:
    sizes = {"hidden_size": 8, "encoder_layers": 1, "decoder_layers": 1, "num_heads": 2, "intermediate_size": 8}
    task = {"train": str(texts), "tokenizer": str(RUN), "method": "encoder_decoder", "max_source": 64}
    train = {"max_steps": 1, "workers": 0, "device": "cpu"}
    train_run(parse_config({"task": task, "model": sizes, "train": train}), tmp_path / "run")
    trim_run(tmp_path / "run", tmp_path / "small", [str(texts)])
    _, made, model, search = load_run(tmp_path / "small", ["decoder.max_length=3"])
    assert model.config.vocab_size == made.tokenizer.vocab_size < 400
    assert search(model, made.collate_sources([made.source(RECORDS[0], "here")]))[0]


@pytest.mark.parametrize(("precision", "error"), [("float16", 1e-3), ("bfloat16", 1e-2)])
def test_half_precision_is_on_the_disk_alone(texts: Path, tmp_path: Path, precision: str, error: float) -> None:
    trim_run(RUN, tmp_path / "half", [str(texts)], precision=precision)
    stored = read_tensors(tmp_path / "half/model.safetensors")
    assert {tensor.dtype for tensor in stored.values()} == {getattr(torch, precision)}
    loaded = load_run(tmp_path / "half")[2]
    for name, tensor in load_run(RUN)[2].named_parameters():
        if "tokens" not in name and name != "head.bias":
            assert loaded.get_parameter(name).dtype == torch.float32
            assert torch.allclose(loaded.get_parameter(name), tensor, rtol=error, atol=error)


def test_any_run_is_stored_in_eight_bits_with_the_runs_inside_it(
    texts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(RUN, tmp_path / "run")
    shutil.copytree(RUN, tmp_path / "run/audio_tokenizer")
    unilatent("trim", tmp_path / "run", tmp_path / "small", "--precision", "int8")
    assert capsys.readouterr().err.endswith(" MB\n")
    small, half = (tmp_path / "small" / part / "model.safetensors" for part in ("", "audio_tokenizer"))
    assert small.read_bytes() == half.read_bytes()
    assert (
        small.stat().st_size < (RUN / "model.safetensors").stat().st_size * 2 / 3
    )  # many tensors of this run are tiny
    weights, whole = read_tensors(small), read_tensors(RUN / "model.safetensors")
    assert weights.keys() == whole.keys()
    for name, tensor in whole.items():
        rows = tensor.view(len(tensor), -1)
        error = (weights[name].view_as(rows) - rows).abs().amax(1)
        assert (error <= rows.abs().amax(1) * 0.502 / 127).all(), name
    unilatent("decode", tmp_path / "small", "--input", texts, "--output", tmp_path / "hyp.jsonl")
    assert len((tmp_path / "hyp.jsonl").read_text(encoding="utf-8").splitlines()) == len(RECORDS)


@pytest.mark.parametrize("is_cut", [False, True])
def test_a_smaller_student_names_no_folder_that_it_came_from(texts: Path, tmp_path: Path, is_cut: bool) -> None:
    shutil.copytree(RUN, tmp_path / "teacher")
    model = {"like": str(tmp_path / "teacher"), "layers_from": [0]}
    task = {"train": str(texts), "max_source": 20, "max_target": 9}
    train_run(
        parse_config({"task": task, "model": model, "train": {"max_steps": 1, "device": "cpu"}}), tmp_path / "run"
    )
    if is_cut:
        trim_run(tmp_path / "run", tmp_path / "small", [str(texts)])
    else:
        store_run(tmp_path / "run", tmp_path / "small", "int8")
    assert str(tmp_path / "teacher") not in (tmp_path / "small/config.yaml").read_text()
    assert load_run(tmp_path / "small")[2].config.num_layers == 1


def test_every_verb_takes_a_trimmed_run(texts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small, hypotheses = tmp_path / "small", tmp_path / "hyp.jsonl"
    unilatent("trim", RUN, small, "--texts", texts, "--size", 250, "--precision", "float16")
    assert " of 400 pieces kept; " in capsys.readouterr().err
    unilatent("decode", small, "--input", texts, "--output", hypotheses)
    assert len(hypotheses.read_text(encoding="utf-8").splitlines()) == len(RECORDS)
    unilatent("show", small)
    assert "vocab_size: 250" in capsys.readouterr().out
    unilatent("convert", small, tmp_path / "bert")
    config = json.loads((tmp_path / "bert/config.json").read_text())
    assert config["vocab_size"] == len((tmp_path / "bert/vocab.txt").read_text(encoding="utf-8").splitlines()) == 250
    tuned = [f"model.init={small}", f"task.train={texts}", "task.max_source=20", "task.max_target=9"]
    (tmp_path / "tuned.yaml").write_text("train: {max_steps: 1}\n")
    unilatent("train", tmp_path / "tuned.yaml", "--output", tmp_path / "tuned", *tuned)


def test_a_shipped_run_is_trimmed_by_its_name(texts: Path, tmp_path: Path) -> None:
    found = trim_run("summarizer", tmp_path / "small", [str(texts)], precision="int8")
    assert found.pieces < found.pieces_before == 8800
    store_run("summarizer", tmp_path / "int8", "int8")
    whole, small = (load_run(tmp_path / name)[2].config.vocab_size for name in ("int8", "small"))
    assert small == found.pieces < whole


def test_what_the_decoder_names_is_kept(texts: Path, tmp_path: Path) -> None:
    whole = load_run(RUN)[1].tokenizer
    used = {id for ids in whole.encode_many([text for record in RECORDS for text in record.values()]) for id in ids}
    rare = next(piece for piece in whole.tokens(range(399, 0, -1)) if whole.token_id(piece) not in used)
    shutil.copytree(RUN, tmp_path / "run")
    config = (tmp_path / "run/config.yaml").read_text(encoding="utf-8")
    (tmp_path / "run/config.yaml").write_text(config.replace("prefix_tokens: []", f"prefix_tokens: ['{rare}']"))
    trim_run(tmp_path / "run", tmp_path / "small", [str(texts)])
    assert load_run(tmp_path / "small")[1].token_id(rare)


@pytest.fixture
def encoder(tmp_path: Path) -> Path:
    """A folder with an encoder whose vocabulary holds words that the texts lack."""
    words = {word for record in RECORDS for text in record.values() for word in text.lower().split() if word.isalpha()}
    write_encoder(tmp_path / "encoder", [*sorted(words), *(f"spare{number}" for number in range(9))])
    return tmp_path / "encoder"


def test_an_encoder_keeps_the_scores_of_the_pieces_that_texts_need_and_is_fine_tuned(
    encoder: Path, texts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = tmp_path / "small"
    unilatent("trim", encoder, small, "--texts", texts)
    assert " pieces kept; they cover 100.00% of the tokens in the texts, which grow by 0.00%" in capsys.readouterr().err
    before, after = Tokenizer.load(encoder), Tokenizer.load(small)
    kept = after.tokens(range(after.vocab_size))
    assert set(before.tokens(before.special_ids)) < set(kept)
    assert not [piece for piece in kept if piece.startswith("spare")]
    text = RECORDS[0]["src"]
    assert before.tokens(before.encode(text)) == after.tokens(after.encode(text))
    scores = []
    for folder, tokenizer in ((encoder, before), (small, after)):
        model = UniLM(UniLM.resolve(UniLM.Config(init=str(folder)), {})).eval()
        model.initialize()
        ids = torch.tensor([tokenizer.encode(text)])
        scores.append(model.logits(model.encode(ids, torch.tensor([ids.shape[1]]))))
    assert torch.allclose(scores[0][..., [before.token_id(piece) for piece in kept]], scores[1], atol=1e-6)
    tuned = [f"model.init={small}", f"task.train={texts}", "task.max_source=20", "task.max_target=9"]
    (tmp_path / "tuned.yaml").write_text("train: {max_steps: 1}\n")
    unilatent("train", tmp_path / "tuned.yaml", "--output", tmp_path / "tuned", *tuned)


def test_a_student_with_a_trimmed_vocabulary_begins_with_layers_of_the_trimmed_run(
    small: Path, texts: Path, tmp_path: Path
) -> None:
    (tmp_path / "student.yaml").write_text(
        f"model: {{like: {small}, layers_from: [-1]}}\ntask: {{train: {texts}, max_source: 20, max_target: 9}}\n"
        f"criterion: {{name: logit_distillation, teacher: {RUN}}}\ntrain: {{max_steps: 1}}\n"
    )
    unilatent("train", tmp_path / "student.yaml", "--output", tmp_path / "student")
    student, whole = load_run(tmp_path / "student")[2], load_run(small)[2]
    assert student.config.num_layers == 1 < whole.config.num_layers
    assert student.config.vocab_size == whole.config.vocab_size
    unilatent("decode", tmp_path / "student", "--input", texts, "--output", tmp_path / "hyp.jsonl")


def test_mistakes_with_an_encoder(encoder: Path, texts: Path, tmp_path: Path) -> None:
    given = ["--texts", texts]
    assert "of which only the vocabulary can be trimmed; give --texts" in error_of("trim", encoder, tmp_path / "a")
    assert "is the encoder itself" in error_of("trim", encoder, encoder, *given)
    assert "is a run folder, whose files would be replaced" in error_of("trim", encoder, RUN, *given)
    assert "a vocabulary of 9 pieces is too small" in error_of("trim", encoder, tmp_path / "a", *given, "--size", 9)
    message = error_of("trim", encoder, tmp_path / "a", *given, "--precision", "int8")
    assert "are for run folders; an encoder is written in float32" in message
    assert "not a run folder" in error_of("trim", encoder.parent / "none", tmp_path / "a", "--precision", "int8")
    assert not (tmp_path / "a").exists()


def test_mistakes(small: Path, texts: Path, tmp_path: Path) -> None:
    given = ["--texts", texts]
    assert "is a run folder, whose files would be replaced" in error_of("trim", RUN, small, *given)
    assert "a vocabulary of 9 pieces is too small" in error_of("trim", RUN, tmp_path / "a", *given, "--size", 9)
    assert "missing.jsonl" in error_of("trim", RUN, tmp_path / "a", "--texts", "missing.jsonl")
    assert "--size: needs --texts" in error_of("trim", RUN, tmp_path / "a", "--size", 250)
    (tmp_path / "numbers.jsonl").write_text('{"id": "a", "src": 7}\n')
    assert "no text in any field" in error_of("trim", RUN, tmp_path / "a", "--texts", tmp_path / "numbers.jsonl")
    assert not (tmp_path / "a").exists()
