"""Scores of melodies, and the Markov baseline."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path

import numpy as np
import pytest
from tiny_melodies import VOCABULARY, generated_line, write_tunes

from eval.markov_melody import MarkovLine, NGrams, fit, losses
from eval.melodies import MelodySettings, evaluate_melodies
from eval.melody_perplexity import PerplexitySettings, evaluate_perplexity
from s2s.errors import InputError
from s2s.run import parse_config, train_run

LINES = [
    {"id": "a", "src": "la la la", "tgt": "C4:1 D4:1~E4:1 G4:2"},
    {"id": "b", "src": "la la", "tgt": "R:1~C4:1 C4:1"},
]


def written(path: Path, records: list[dict[str, str]]) -> str:
    path.write_text("".join(f"{json.dumps(record)}\n" for record in records))
    return str(path)


def values(report_part: dict[str, object]) -> dict[str, float]:
    return {name: getattr(score, "value", math.nan) for name, score in report_part.items()}


def test_the_reference_itself_has_every_score_of_100(tmp_path: Path) -> None:
    path = written(tmp_path / "ref.jsonl", LINES)
    report = evaluate_melodies(path, {"same": path}, MelodySettings(resamples=10))
    assert values(dict(report.systems[0].quality)) == pytest.approx(dict.fromkeys(report.systems[0].quality, 100.0))
    assert values(dict(report.systems[0].form)) == pytest.approx({"repeated": 100 / 4, "leaps": 0.0, "notes": 6 / 5})


def test_each_score_sees_its_own_stream(tmp_path: Path) -> None:
    reference = written(tmp_path / "ref.jsonl", LINES[:1])
    others = {
        "pitch": "C#4:1 D#4:1~F4:1 G#4:2",
        "length": "C4:2 D4:2~E4:2 G4:4",
        "boundary": "C4:1~D4:1 E4:1 G4:2",
        "syllables": "C4:1 D4:1~E4:1~G4:2",
    }
    paths = {name: written(tmp_path / f"{name}.jsonl", [LINES[0] | {"tgt": tgt}]) for name, tgt in others.items()}
    report = evaluate_melodies(reference, paths, MelodySettings(resamples=10))
    found = {system.name: values(dict(system.quality)) for system in report.systems}
    assert (found["pitch"]["length"], found["pitch"]["boundaries"]) == (100, 100)
    assert found["pitch"]["pitch"] < 1
    assert found["length"]["pitch"] == found["length"]["classes"] == 100
    assert found["length"]["durations"] == 0
    assert found["boundary"]["boundaries"] == pytest.approx(100 * 4 / 6)
    assert found["boundary"]["durations"] == pytest.approx(100 / 3)
    assert found["syllables"]["syllables"] == 0


def test_what_is_no_melody_is_refused(tmp_path: Path) -> None:
    reference = written(tmp_path / "ref.jsonl", LINES)
    bad = written(tmp_path / "hyp.jsonl", [LINES[0], LINES[1] | {"tgt": "la la"}])
    with pytest.raises(InputError, match=r"hyp\.jsonl:2: 'tgt': a note is PITCH:BEATS"):
        evaluate_melodies(reference, {"bad": bad}, MelodySettings())


def markov_lines(count: int, seed: int) -> list[MarkovLine]:
    generator = np.random.default_rng(seed)
    nothing = VOCABULARY.values([])
    return [MarkovLine(nothing, VOCABULARY.values(generated_line(generator, 6))) for _ in range(count)]


@pytest.mark.parametrize("stream", range(3))
def test_ngrams_are_distributions(stream: int) -> None:
    size = VOCABULARY.sizes[stream]
    grams = NGrams(2, stream, size)
    for line in markov_lines(20, 0):
        grams.add(line)
    note, history = [61, 0, 1], [(61, 1, 1), (63, 0, 0)]
    total = sum(
        grams.probability((*note[:stream], value, *note[stream + 1 :]), history, False) for value in range(size)
    )
    assert total == pytest.approx(1)


def test_ngrams_predict_what_repeats_and_choose_their_order() -> None:
    line = MarkovLine(VOCABULARY.values([]), np.array([[61, 0, 1], [63, 1, 1], [65, 0, 1], [63, 1, 1]] * 4))
    grams = fit([line] * 9, [line], VOCABULARY.sizes)
    assert grams[0].order >= 2, "what follows 63 depends on what was before it"
    assert losses(grams, [line])[0].sum() / 16 < 0.3
    assert losses(fit([line], [line], VOCABULARY.sizes), []).shape == (0, 3)


def test_perplexities_of_a_run_and_of_the_baseline_are_over_the_same_notes(tmp_path: Path) -> None:
    train, test = (str(write_tunes(tmp_path / f"{name}.jsonl", 5, seed)) for seed, name in enumerate(("train", "test")))
    model = {"hidden_size": 8, "num_heads": 2, "encoder_layers": 1, "decoder_layers": 1, "intermediate_size": 8}
    options = {"max_steps": 1, "max_sentences": 8, "workers": 0, "device": "cpu", "log_every": 1}
    task = {"name": "melody_from_lyrics", "train": train, "valid": train}
    train_run(parse_config({"task": task, "model": model, "train": options}), tmp_path / "run")
    settings = PerplexitySettings((train, train), resamples=10)
    report = evaluate_perplexity(test, {"run": str(tmp_path / "run")}, settings)
    assert [system.name for system in report.systems] == ["markov", "run"]
    assert report.examples == 5, "lines of a tune are one example"
    assert len({values(dict(system.form))["notes"] for system in report.systems}) == 1
    for system in report.systems:
        found = values(dict(system.quality))
        assert found["note"] == pytest.approx(math.prod(found[name] for name in ("pitch", "length", "boundary")))
    assert all(isinstance(one.baseline, str) for one in itertools.chain(report.comparisons))
