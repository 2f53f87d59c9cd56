"""The learned aligner finds when each letter sounds, in a language of tones whose times are known exactly."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from typer.testing import CliRunner

from data_prep.aligners.mixtures import Mixtures
from data_prep.aligners.sounds import SoundModel, best_path
from data_prep.aligners.spoken_words import open_word_aligner
from latent.audio.files import load_audio, write_audio
from latent.data.manifest import Alignment, Sounding, read_manifest, write_alignment
from s2s.errors import InputError
from unilatent.commands.prepare import app

pytest.importorskip("soundfile")

RATE = 16000
TONES = {"a": (300, 900), "e": (500, 1800), "o": (400, 2600), "s": (5000, 6500), "ñ": (250, 3600)}
TEXTS = [
    "sa eo ñoas", "ose ñaso", "Esa, aso eñe!", "ñoe sao sea", "aeo ñase os", "eso ña", "oñas sea aes", "sañe, oso",
    "ase oñe sañ", "eñoas osa", "soñ ae eas", "ñes aos ose", "osa eña", "seo ñasa oe", "año sose", "eos sañe ao",
]  # fmt: skip


def sing(text: str, rng: np.random.Generator) -> tuple[np.ndarray, Alignment]:
    """A recording of a text, a chord for each letter, noise for the rest; and when each letter sounds."""
    parts, now, sung = [rng.standard_normal(3200) * 1e-3], 0.2, []
    for letter in text.lower():
        seconds = rng.uniform(0.06, 0.16) if letter in TONES else 0.15
        time = np.arange(round(seconds * RATE)) / RATE
        chord = sum(np.sin(2 * np.pi * tone * time) for tone in TONES.get(letter, ()))
        parts.append(0.2 * chord + rng.standard_normal(len(time)) * 1e-3)
        if letter in TONES:
            sung.append(Sounding(letter, now, now + len(time) / RATE))
        now += len(time) / RATE
    parts.append(rng.standard_normal(3200) * 1e-3)
    return np.concatenate(parts).astype(np.float32), tuple(sung)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest in Spanish of 16 recordings with true alignments, one without words, one that cannot be read, and one
    with the text of another."""
    folder, rng = tmp_path_factory.mktemp("songs"), np.random.default_rng(0)
    records = []
    for number, text in enumerate(TEXTS):
        samples, truth = sing(text, rng)
        write_audio(folder / f"{number}.wav", samples, RATE)
        records.append({"audio": f"{number}.wav", "text": text, "alignment": write_alignment(truth)})
    (folder / "broken.wav").write_bytes(b"RIFF")
    records.append({"audio": "0.wav", "text": "?!"})
    records.append({"audio": "broken.wav", "text": "osa", "seconds": 1})
    records.append({"audio": "3.wav", "text": TEXTS[5]})
    lines = [json.dumps({"id": str(number), "language": "es", **record}) for number, record in enumerate(records)]
    (folder / "m.jsonl").write_text("\n".join(lines))
    return folder / "m.jsonl"


def prepare(*arguments: object) -> str:
    result = CliRunner().invoke(app, ["align-speech", *map(str, arguments)])
    if isinstance(result.exception, InputError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output.replace("\n", " ")


@pytest.fixture(scope="module")
def aligned(corpus: Path) -> tuple[Path, str]:
    output = corpus.parent / "aligned.jsonl"
    return output, prepare(corpus, "--output", output, "--save", corpus.parent / "aligner")


def test_letters_are_found_when_they_sound(corpus: Path, aligned: tuple[Path, str]) -> None:
    errors = []
    for truth, found in itertools.islice(
        zip(read_manifest(corpus), read_manifest(aligned[0]), strict=True), len(TEXTS)
    ):
        assert truth.alignment
        assert found.alignment
        assert [one.unit for one in found.alignment] == [one.unit for one in truth.alignment]
        spans = zip(found.alignment, truth.alignment, strict=True)
        errors += [abs(one - two) for a, b in spans for one, two in ((a.start, b.start), (a.end, b.end))]
    assert np.mean(errors) < 0.02  # a window of 25 ms hears loud tones a little early, and late when they end
    assert np.quantile(errors, 0.95) < 0.04


def test_what_does_not_fit_is_counted_and_named(aligned: tuple[Path, str]) -> None:
    assert re.search(
        r"16 of 19 recordings aligned in \d+ s; 1 that cannot be read \(17\); "
        r"1 whose text was not found in the sound \(18\); 1 without words \(16\)",
        aligned[1],
    )


def test_what_was_learned_aligns_other_recordings(corpus: Path, aligned: tuple[Path, str]) -> None:
    lines = corpus.read_text().splitlines()
    few, again = corpus.with_name("few.jsonl"), corpus.with_name("again.jsonl")
    unheard = json.dumps({"id": "u", "audio": "1.wav", "text": "oseñaso" + "s" * 400, "language": "es"})
    few.write_text("\n".join([*lines[:2], unheard]))
    told = prepare(few, "--output", again, "--aligner", corpus.parent / "aligner")
    assert "2 of 3 recordings aligned" in told
    assert "1 whose text was not found in the sound (u)" in told  # too short for it
    found = [one.alignment for one in read_manifest(again)]
    assert found[:2] == [one.alignment for one in read_manifest(aligned[0])[:2]]


def test_words_of_a_transcript_are_found_when_they_sound(corpus: Path, aligned: tuple[Path, str]) -> None:
    aligner = open_word_aligner(str(corpus.parent / "aligner"))
    for utterance in itertools.islice(read_manifest(corpus), len(TEXTS)):
        words = aligner.words(utterance.text, load_audio(utterance.audio, RATE), "es")
        assert isinstance(words, list)
        assert [word.text for word in words] == utterance.text.split()
        lengths = [sum(letter in TONES for letter in word.text.lower()) for word in words]
        ends = list(itertools.accumulate(lengths))
        for word, length, end in zip(words, lengths, ends, strict=True):
            assert utterance.alignment
            assert word.start == pytest.approx(utterance.alignment[end - length].start, abs=0.06)
            assert word.end == pytest.approx(utterance.alignment[end - 1].end, abs=0.06)


def test_texts_that_cannot_be_aligned_are_told_apart(corpus: Path, aligned: tuple[Path, str]) -> None:
    aligner = open_word_aligner(str(corpus.parent / "aligner"))
    samples = load_audio(corpus.parent / "0.wav", RATE)
    assert aligner.words("[Music]", samples, "es") is None
    assert aligner.words(TEXTS[5], samples, "es") == "whose text was not found in the sound"
    assert aligner.words("xyz", samples, "es") == "with units that the aligner has not heard"
    assert aligner.words("sa", samples[:100], "es") == "whose text was not found in the sound"
    assert aligner.refusal(None) is None
    assert aligner.refusal("es-MX") is None
    assert aligner.refusal("de") == (
        "aligner aligns es, not de; `unilatent prepare align-speech --save FOLDER` learns another language"
    )


def test_damaged_and_missing_aligners_are_named(corpus: Path, aligned: tuple[Path, str], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="must be learned, pocketsphinx, or a folder of --save, found 'nothing'"):
        prepare(corpus, "--output", tmp_path / "o.jsonl", "--aligner", "nothing")
    with pytest.raises(InputError, match=r"--words: must be pocketsphinx \(English\), or .* found 'learned'"):
        open_word_aligner("learned")
    with pytest.raises(InputError, match="is no aligner, or broken"):
        prepare(corpus, "--output", tmp_path / "o.jsonl", "--aligner", tmp_path)
    with pytest.raises(InputError, match="--save: pocketsphinx learns nothing"):
        prepare(corpus, "--output", tmp_path / "o.jsonl", "--aligner", "pocketsphinx", "--save", tmp_path)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.integers(1, 2))
def test_best_path_is_the_best_of_all(seed: int, frames: int, sounds: int) -> None:
    rng = np.random.default_rng(seed)
    places = 2 * sounds + 1  # silence between all sounds
    scores = rng.normal(size=(frames, places)).astype(np.float32)
    stay, leave = np.log(rng.uniform(0.1, 0.9, (2, places)))
    optional = np.arange(places) % 2 == 0

    def worth(path: tuple[int, ...]) -> float:
        if path[0] > 1 or path[-1] < places - 2:
            return -np.inf
        total = float(scores[0, path[0]])
        for frame, (one, two) in enumerate(itertools.pairwise(path), start=1):
            if not (0 <= two - one <= 1 or (two - one == 2 and optional[one + 1])):
                return -np.inf
            total += (stay if one == two else leave)[one] + scores[frame, two]
        return total

    if frames < sounds:
        return
    best = max(itertools.product(range(places), repeat=frames), key=worth)
    found = best_path(scores, stay, leave, optional)
    assert tuple(found.places) == best
    assert found.score * frames == pytest.approx(worth(best), abs=1e-4)


def test_scores_are_the_logarithms_of_the_densities_of_mixtures() -> None:
    rng = np.random.default_rng(1)
    means, deviations = rng.normal(size=(3, 2, 4)), rng.uniform(0.5, 2, (3, 2, 4))
    weights = np.array([[0.2, 0.8], [0.5, 0.5], [0.9, 0.1]])
    frames = rng.normal(size=(5, 4)).astype(np.float32)
    densities = norm.pdf(frames[:, None, None], means, deviations).prod(axis=3)
    expected = np.log((weights * densities).sum(axis=2))[:, [2, 0]]
    found = Mixtures(means, deviations**2, weights).scores(frames, np.array([2, 0]))
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_refitted_mixtures_find_two_clusters() -> None:
    rng = np.random.default_rng(2)
    frames = np.concatenate([rng.normal(-1, 0.1, (300, 1)), rng.normal(1, 0.3, (100, 1))]).astype(np.float32)
    mixtures = Mixtures.unknown(2, 1)
    mixtures.refit(frames, np.ones(400, int))
    mixtures.split()
    mixtures.refit(frames, np.ones(400, int), rounds=20)
    np.testing.assert_allclose(mixtures.means[1, :, 0], [-1, 1], atol=0.1)
    np.testing.assert_allclose(mixtures.weights[1], [0.75, 0.25], atol=0.02)
    np.testing.assert_allclose(mixtures.means[0].mean(), 0)  # of a state without frames nothing is known


def test_a_chain_has_silence_where_nothing_is_said() -> None:
    model = SoundModel(["a", "b"], Mixtures.unknown(7, 2), np.full(7, 0.5))
    chain = model.chain((None, "b", None, None, "a", "a"))
    assert chain.units.tolist() == [-1, 0, 0, 0, -1, 1, 1, 1, 2, 2, 2, -1]
    assert chain.states.tolist() == [0, 4, 5, 6, 0, 1, 2, 3, 1, 2, 3, 0]
    assert model.path(np.zeros((8, 2), np.float32), chain) is None  # 9 states must be passed
