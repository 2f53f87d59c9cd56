"""`benchmarks/quality.py` trains and scores ours and its peers on the same batches, and goes on where it was killed."""

from __future__ import annotations

import importlib
import json
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_models import write_encoder

from s2s.criteria.cross_entropy import CrossEntropy
from s2s.data.batching import BatchSampler
from s2s.models.unilm import UniLM
from s2s.run import build_model, build_task, parse_config

transformers = pytest.importorskip("transformers")

WORDS = "fast small editor library tools for images text files sounds and the".split()  # noqa: SIM905
FEW = ["--updates", "4", "--trial-updates", "2", "--max-source", "12", "--seeds", "1", "2"]


@pytest.fixture
def quality(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    return importlib.import_module("quality")


@pytest.fixture
def options(tmp_path: Path) -> list[str]:
    """Pairs whose target is the first words of the source, and a tiny encoder without an output head."""
    generator, data = random.Random(0), tmp_path / "data"
    data.mkdir()
    for split, count in {"train": 80, "valid": 20, "test": 6}.items():
        texts = [generator.choices(WORDS, k=generator.randint(3, 14)) for _ in range(count)]
        lines = [{"id": str(row), "src": " ".join(one), "tgt": " ".join(one[:3])} for row, one in enumerate(texts)]
        (data / f"{split}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    write_encoder(tmp_path / "encoder", WORDS)
    weights = tmp_path / "encoder/model.safetensors"
    save_file({name: one for name, one in load_file(weights).items() if not name.startswith("cls.")}, weights)
    return ["--data", str(data), "--encoder", str(tmp_path / "encoder")]


def parsed(quality: Any, options: list[str], system: str) -> Any:
    args = quality.arguments(["folder", *options, *FEW])
    return parse_config(quality.Training(system, 1e-3, 1, 4, False).tree(args))


def batches(quality: Any, options: list[str], system: str) -> list[list[str]]:
    """The ids of the pairs of each update, in its order, and the labels of the first."""
    config = parsed(quality, options, system)
    task = build_task(config)
    data = task.dataset("train", config.seed)
    sampler = BatchSampler(data.lengths, config.train.max_tokens, config.train.max_sentences, seed=config.seed)
    made = [task.collate([data.example(row, 0) for row in rows]) for rows in sampler.epoch(0)]
    return [[batch.ids, batch.labels.tolist()] for batch in made]


def test_every_system_trains_on_the_same_labels_in_the_same_batches(quality: Any, options: list[str]) -> None:
    made = {system: batches(quality, options, system) for system in quality.SYSTEMS}
    assert len(made["pseudo_masked"]) == 5
    assert all(found == made["pseudo_masked"] for found in made.values())


@pytest.mark.parametrize("system", ["encoder_decoder", "bart"])
def test_the_loss_of_a_peer_is_that_of_transformers(quality: Any, options: list[str], system: str) -> None:
    config = parsed(quality, options, system)
    task = build_task(config)
    data = task.dataset("train", 1)
    batch: Any = task.collate([data.example(row, 0) for row in range(7)])
    torch.manual_seed(1)
    model: Any = build_model(config)
    model.initialize()
    wanted = torch.full(batch.steps.shape, -100)
    wanted.view(-1)[batch.slots] = batch.labels
    model.network.config.decoder_start_token_id, model.network.config.pad_token_id = task.tokenizer.special.sep, 0
    theirs = model.network(
        input_ids=batch.tokens[:, : batch.context],
        attention_mask=(batch.tokens[:, : batch.context] != 0).long(),
        labels=wanted[:, batch.context :].contiguous(),  # from which it makes what the decoder reads
    ).loss
    ours = CrossEntropy(CrossEntropy.Config(label_smoothing=0.0))(model, batch)["loss"] / len(batch.labels)
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-5)


def test_the_two_encoder_decoders_differ_in_the_head_alone(quality: Any, options: list[str]) -> None:
    started: list[Any] = []
    for system in ("encoder_decoder", "encoder_decoder_identity"):
        torch.manual_seed(1)
        started.append(build_model(parsed(quality, options, system)))
        started[-1].initialize()
    random_head, identity = (dict(model.named_parameters()) for model in started)
    differ = [name for name, weight in identity.items() if not torch.equal(weight, random_head[name])]
    assert differ == ["network.decoder.cls.predictions.transform.dense.weight"]
    assert torch.equal(identity[differ[0]], torch.eye(12))
    network = started[1].network
    words = network.decoder.bert.embeddings.word_embeddings.weight
    assert network.decoder.cls.predictions.decoder.weight is words
    assert torch.equal(words, network.encoder.embeddings.word_embeddings.weight)


def test_the_bart_has_as_many_weights_as_the_encoder(quality: Any, tmp_path: Path) -> None:
    sizes = {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1536}
    transformers.BertConfig(vocab_size=3000, **sizes).save_pretrained(tmp_path)
    bart = importlib.import_module("peer_models").EqualBart
    ours = UniLM(UniLM.Config(vocab_size=3000, hidden_size=384, num_layers=6, num_heads=12, intermediate_size=1536))
    counts = [sum(one.numel() for one in model.parameters()) for model in (bart(bart.Config(like=str(tmp_path))), ours)]
    assert counts[0] == pytest.approx(counts[1], rel=0.02)


def test_a_comparison_is_printed_and_its_trainings_are_not_repeated(
    quality: Any,
    options: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("rouge_score")
    pytest.importorskip("matplotlib")
    folder, picture = tmp_path / "out", tmp_path / "curves.png"
    given = [str(folder), *options, *FEW, "--rates", "1e-3", "1e-2"]
    killed = "encoder_decoder/seed-2"
    write, done = quality.write_outputs, quality.train_run

    def kill(run: Path, args: Any) -> None:
        if killed in str(run):
            raise KeyboardInterrupt
        write(run, args)

    with monkeypatch.context() as patched:
        patched.setattr(quality, "write_outputs", kill)
        with pytest.raises(KeyboardInterrupt):
            quality.main(given)
    assert next((folder / "encoder_decoder").glob("seed-2*/checkpoints/step-000004")).is_dir()
    resumed = []
    monkeypatch.setattr(quality, "train_run", lambda config, run: resumed.append(run) or done(config, run))
    quality.main([*given, "--figure", str(picture)])
    first = capsys.readouterr().out.split("\n\n")[-2:]
    names = [str(run.relative_to(folder)) for run in resumed]
    assert names[0].startswith(killed)
    assert [name.split("/")[0] for name in names[1:]] == [*["encoder_decoder_identity"] * 4, *["bart"] * 4]
    assert picture.stat().st_size > 10_000
    assert all(f"\n| {system} | " in first[0] for system in quality.SYSTEMS)
    assert first[1].startswith("| against pseudo_masked | ROUGE-1 | ROUGE-2 | ROUGE-L |")
    resumed.clear()
    quality.main(given)
    assert (capsys.readouterr().out.split("\n\n")[-2:], resumed) == (first, [])
    spent = [record["processor_seconds"] for record in quality.curve(next((folder / "bart").glob("seed-1*")))]
    assert 0 < spent[0] < spent[-1]
    with pytest.raises(SystemExit, match="updates was 4, is now 5"):
        quality.main([*given, "--updates", "5"])


def test_a_killed_training_counts_its_processor_time_on(
    quality: Any, options: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    peers, clock = importlib.import_module("peer_models"), iter(range(10_000))
    monkeypatch.setattr(peers.time, "process_time", lambda: 7.0 * next(clock))
    args = quality.arguments([str(tmp_path / "out"), *options, *FEW])
    training = quality.Training("causal", 1e-3, 1, 4, True)
    forward, calls = peers.TimedCrossEntropy.forward, []

    def killed_at_update_3(self: Any, *given: Any) -> Any:
        calls.append(self.training)
        if calls.count(True) == 3:
            raise KeyboardInterrupt
        return forward(self, *given)

    with monkeypatch.context() as patched:
        patched.setattr(peers.TimedCrossEntropy, "forward", killed_at_update_3)
        with pytest.raises(KeyboardInterrupt):
            quality.train(training, args)
    spent = [record["processor_seconds"] for record in quality.curve(quality.train(training, args))]
    assert spent == [7.0, 14.0, 21.0, 28.0]
