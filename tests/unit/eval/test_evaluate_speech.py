"""Metrics of speech: known answers, recordings beside every system, one line for what is missing."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from typer.testing import CliRunner

from eval import recognizers, waveform
from eval.report import as_text
from eval.speech import RECORDINGS, SpeechSettings, evaluate_speech
from eval.voice import similarities
from eval.word_errors import word_errors
from latent.audio.files import write_audio
from s2s.errors import InputError

pytest.importorskip("soundfile")
pytest.importorskip("soxr")

RATE = 16000


def vowel(seconds: float, pitch: float = 120.0) -> NDArray[np.float32]:
    """Harmonics with a syllable's envelope: enough of speech for the signal metrics."""
    time = np.arange(int(seconds * RATE)) / RATE
    harmonics = sum(np.sin(2 * np.pi * pitch * k * time) / k for k in range(1, 20))
    return (0.1 * harmonics * (0.55 + 0.45 * np.sin(2 * np.pi * 3 * time))).astype(np.float32)


def make_manifest(folder: Path, texts: list[str]) -> str:
    records = []
    for number, text in enumerate(texts):
        write_audio(folder / f"real/{number}.flac", vowel(1.0 + 0.2 * number), RATE)
        records.append({"id": str(number), "audio": f"real/{number}.flac", "text": text, "speaker": "s"})
    (folder / "m.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    return str(folder / "m.jsonl")


class Echo:
    """A recognizer that hears the words that belong to a length, so that the test knows the answer."""

    signature = "echo"

    def __init__(self, model: str, language: str) -> None:
        pass

    def __call__(self, samples: NDArray[np.float32]) -> str:
        return "red blue sky" if len(samples) > 1.1 * RATE else "green tree"


def test_word_errors_are_those_of_the_texts() -> None:
    pytest.importorskip("jiwer")
    wer, cer = word_errors(["Hello there world", ""], ["hello, world!", "gone"], "en", "r")
    assert wer.value() == pytest.approx(100 * 2 / 3)
    assert cer.value() == pytest.approx(100 * (6 + 4) / (11 + 4))
    assert word_errors(["press 21"], ["Press twenty-one."], "en", "r")[0].value() == 0
    assert word_errors(["ça va"], ["Ça va ?"], "fr", "r")[0].value() == 0


def test_recordings_are_scored_beside_the_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("jiwer")
    monkeypatch.setitem(recognizers.RECOGNIZERS, "echo", Echo)
    manifest = make_manifest(tmp_path, ["green tree", "red blue sky"])
    write_audio(tmp_path / "ours/0.ogg", vowel(1.0), RATE)
    settings_ = SpeechSettings(metrics=("wer", "mel"), recognizer="echo", resamples=20, transcripts=str(tmp_path / "t"))
    report = evaluate_speech(manifest, {"ours": str(tmp_path / "ours")}, settings_)
    ours, recordings = report.systems
    assert recordings.name == RECORDINGS
    assert recordings.quality["WER %"].value == 0
    assert ours.quality["WER %"].value == pytest.approx(60)  # silence for the three words of the second
    assert recordings.quality["mel distance"].value == 0
    assert 0 < ours.quality["mel distance"].value < 0.5
    assert ours.form["length %"].value == pytest.approx(100 * 1.0 / 2.2)
    assert report.notes == ["ours: 1 of 2 have no audio and count as silence"]
    assert "WER %" in as_text(report)
    heard = [json.loads(line) for line in (tmp_path / "t").read_text().splitlines()]
    assert [line["heard"] for line in heard] == ["green tree", "", "green tree", "red blue sky"]
    assert heard[1] == {"system": "ours", "id": "1", "text": "red blue sky", "heard": ""}


def test_ends_and_speed_are_those_that_synthesis_noted(tmp_path: Path) -> None:
    manifest = make_manifest(tmp_path, ["a", "b", "c", "d"])  # 1.0, 1.2, 1.4 and 1.6 s
    folder = tmp_path / "ours"
    noted = [("0", 1.1, True, 0.4), ("1", 1.2, False, 0.5), ("2", 0.5, True, 0.1)]  # nothing of "3"
    for name, seconds, _, _ in noted:
        write_audio(folder / f"{name}.wav", vowel(seconds), RATE)
    lines = [json.dumps({"id": name, "ended": ended, "work_seconds": work}) for name, _, ended, work in noted]
    (folder / "manifest.jsonl").write_text("\n".join(lines))
    asked = SpeechSettings(metrics=("mel",), resamples=5)
    report = evaluate_speech(manifest, {"ours": str(folder)}, asked)
    ours, recordings = report.systems
    assert ours.form["natural stop %"].value == 50
    assert ours.form["end accuracy %"].value == 25
    assert ours.form["real-time factor"].value == pytest.approx(1.0 / 2.8)
    assert "real-time factor" in report.signatures
    assert "real-time factor" not in recordings.form
    (row,) = (line for line in as_text(report).splitlines() if line.startswith("end accuracy"))
    assert row.split()[-1] == "-"

    (folder / "manifest.jsonl").write_text("\n".join([lines[0], '{"id": "1", "ended": true}']))
    assert "real-time factor" not in evaluate_speech(manifest, {"ours": str(folder)}, asked).systems[0].form
    for wrong, said in (("ended", "yes"), ("work_seconds", -1)):
        (folder / "manifest.jsonl").write_text(json.dumps({"id": "0", "ended": True, wrong: said}))
        with pytest.raises(InputError, match=rf"manifest\.jsonl:1: '{wrong}' must be"):
            evaluate_speech(manifest, {"ours": str(folder)}, asked)


def make_synthesis(folder: Path, texts: list[str]) -> str:
    """Audio with the manifest that synthesis writes beside it."""
    records = []
    for number, text in enumerate(texts):
        write_audio(folder / f"spoken/{number}.wav", vowel(1.0 + 0.2 * number), RATE)
        timed = {"ended": number == 0, "work_seconds": 0.5}
        records.append({"id": str(number), "audio": f"{number}.wav", "text": text, **timed})
    (folder / "spoken/manifest.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    return str(folder / "spoken")


@pytest.mark.parametrize("kind", ["jsonl", "csv", "its own manifest"])
def test_texts_without_recordings_score_ones_own_synthesis(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    pytest.importorskip("jiwer")
    monkeypatch.setitem(recognizers.RECOGNIZERS, "echo", Echo)
    spoken = make_synthesis(tmp_path, ["green tree", "red blue sea"])
    (tmp_path / "lines.jsonl").write_text('{"id": "0", "text": "green tree"}\n{"id": "1", "text": "red blue sea"}\n')
    (tmp_path / "lines.csv").write_text("id,text\n0,green tree\n1,red blue sea\n")
    own = kind == "its own manifest"
    manifest, audio = (f"{spoken}/manifest.jsonl", {}) if own else (f"{tmp_path}/lines.{kind}", {"mine": spoken})
    report = evaluate_speech(manifest, audio, SpeechSettings(("wer",), recognizer="echo", resamples=10))
    (system,) = report.systems
    assert system.name == ("spoken" if own else "mine")
    assert system.quality["WER %"] is not None
    assert system.quality["WER %"].value == pytest.approx(20.0)
    assert {name: round(score.value, 4) for name, score in system.form.items() if score} == {
        "seconds": 1.1,
        "natural stop %": 50.0,
        "real-time factor": round(1.0 / 2.2, 4),
    }
    assert any("no recordings: what compares with them is left out" in note for note in report.notes)


@pytest.mark.parametrize(
    ("content", "with_audio", "metrics", "message"),
    [
        ('{"id": "0", "text": "a"}\n', True, ("mel",), r"--metric mel: needs recordings; the manifest has no 'audio'"),
        ('{"id": "0", "text": "a"}\n', False, (), r"--audio: needed, since the manifest has no recordings"),
        ('{"id": "0"}\n', True, (), r":1: 'text' must be a string that is not blank; found 'id'"),
        ('{"text": "a"}\n{"text": "a", "audio": "b"}\n', True, (), r":2: has audio, and earlier lines have none"),
        ('{"id": 1, "text": "a"}\n{"id": 1, "text": "a"}\n', True, (), r":2: 'id' '1' is that of an earlier line"),
        ("", True, (), r"lines.jsonl: the file is empty; expected lines with id and text"),
    ],
)
def test_what_needs_recordings_or_texts_is_refused_without_them(
    tmp_path: Path, content: str, with_audio: bool, metrics: tuple[str, ...], message: str
) -> None:
    spoken, lines = make_synthesis(tmp_path, ["a", "b"]), tmp_path / "lines.jsonl"
    lines.write_text(content)
    with pytest.raises(InputError, match=message):
        evaluate_speech(str(lines), {"x": spoken} if with_audio else {}, SpeechSettings(metrics))


def test_packages_that_are_missing_are_notes_unless_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = make_manifest(tmp_path, ["four five"])
    monkeypatch.setitem(recognizers.RECOGNIZERS, "whisper", _missing)
    monkeypatch.setattr("eval.speech.METRICS", ("wer", "mel"))
    report = evaluate_speech(manifest, {}, SpeechSettings(resamples=5))
    assert report.notes == ["left out: --recognizer whisper: no model"]
    assert list(report.systems[0].quality) == ["mel distance"]
    with pytest.raises(InputError, match="no model"):
        evaluate_speech(manifest, {}, SpeechSettings(metrics=("wer",), resamples=5))


def _missing(model: str, language: str) -> recognizers.Recognizer:
    raise InputError("--recognizer whisper: no model")


def test_wrong_folders_and_options_are_refused(tmp_path: Path) -> None:
    manifest = make_manifest(tmp_path, ["four five"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"--audio: .*nowhere: no such folder"):
        evaluate_speech(manifest, {"a": str(tmp_path / "nowhere")}, SpeechSettings())
    with pytest.raises(InputError, match=r"--audio: .*empty: holds no audio of the manifest, such as .*0\.wav"):
        evaluate_speech(manifest, {"a": str(tmp_path / "empty")}, SpeechSettings())
    with pytest.raises(InputError, match=r"--metric: must be one of .* found 'bleu'"):
        SpeechSettings(metrics=("bleu",))
    with pytest.raises(InputError, match="add --aligned if it is"):
        SpeechSettings(metrics=("pesq",))
    with pytest.raises(InputError, match="--recognizer: must be a folder or one of whisper, pocketsphinx, found 'ear'"):
        recognizers.open_recognizer("ear", "en")
    with pytest.raises(InputError, match="--recognizer pocketsphinx: has one model, for en; found 'fr'"):
        recognizers.open_recognizer("pocketsphinx", "fr")


def test_audio_is_found_whatever_the_case_of_its_suffix(tmp_path: Path) -> None:
    manifest = make_manifest(tmp_path, ["a", "b"])
    for source, name in (("0.flac", "0.Flac"), ("1.flac", "1.FLAC")):
        (tmp_path / "ours").mkdir(exist_ok=True)
        (tmp_path / "ours" / name).write_bytes((tmp_path / "real" / source).read_bytes())
    report = evaluate_speech(manifest, {"ours": str(tmp_path / "ours")}, SpeechSettings(metrics=("mel",), resamples=5))
    assert report.notes == []
    assert report.systems[0].form["length %"].value == pytest.approx(100)


def test_similarity_leaves_the_clip_itself_out() -> None:
    east, north = np.array([1.0, 0.0]), np.array([0.0, 1.0])
    recordings = {"a": east, "b": north, "c": north, "d": east}
    speakers = {"a": "s", "b": "s", "c": "s", "d": "alone"}
    found = similarities({"a": east, "b": north}, recordings, speakers)
    assert found[:2] == pytest.approx([0.0, np.sqrt(0.5)])
    assert np.isnan(found[2:]).all()


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 4), min_size=2, max_size=6), st.integers(0, 99))
def test_warping_undoes_repeated_frames(repeats: list[int], seed: int) -> None:
    frames = np.random.default_rng(seed).standard_normal((len(repeats), 5))
    stretched = np.repeat(frames, repeats, axis=0)
    costs = np.abs(stretched[:, None] - frames[None]).mean(axis=-1)
    assert waveform._warped_mean(costs) == 0
    assert waveform._warped_mean(costs + 0.5) == pytest.approx(0.5)


def test_mel_distance_is_the_gain_in_decades() -> None:
    audio = vowel(0.5)
    assert waveform.mel_distance(audio, audio, aligned=False) == 0
    louder = waveform.mel_distance(audio * 2, audio, aligned=True)
    assert 0.1 < louder <= np.log10(2) + 1e-6  # less where the floor is met


def test_noise_lowers_pesq_and_stoi() -> None:
    pytest.importorskip("pesq")
    pytest.importorskip("pystoi")
    clean = vowel(2.0)
    noise = np.random.default_rng(0).standard_normal(len(clean)).astype(np.float32)
    assert waveform.pesq(clean, clean) > 4.5 > waveform.pesq(clean + 0.05 * noise, clean)
    assert waveform.stoi(clean, clean) == pytest.approx(1.0)
    assert waveform.stoi(clean + 0.3 * noise, clean) < 0.95
    assert np.isnan(waveform.pesq(clean[:2000], clean[:2000]))
    assert np.isnan(waveform.stoi(clean[:2000], clean[:2000]))


@pytest.mark.skipif(not find_spec("resemblyzer"), reason="needs the weights of Resemblyzer")
def test_voice_encoder_hears_the_pitch_and_not_the_level() -> None:
    from eval.voice import VoiceEncoder

    encode = VoiceEncoder()
    low, high = encode(vowel(2.0, 100)), encode(vowel(2.0, 240))
    assert np.linalg.norm(low) == pytest.approx(1)
    assert encode(vowel(2.0, 100) * 0.02) @ low > 0.98
    assert low @ high < 0.9
    assert encode(vowel(0.1)).shape == (256,)


@pytest.mark.skipif(not find_spec("pocketsphinx"), reason="needs pocketsphinx")
def test_recognizer_gives_text_for_anything() -> None:
    recognize = recognizers.open_recognizer("pocketsphinx", "en")
    assert isinstance(recognize(vowel(0.5)), str)
    assert isinstance(recognize(np.zeros(100, np.float32)), str)


@pytest.mark.skipif(not find_spec("speechmos") or not find_spec("onnxruntime"), reason="needs speechmos, onnxruntime")
def test_dnsmos_hears_noise() -> None:
    from eval.mos import open_dnsmos

    score, _ = open_dnsmos()
    noise = np.random.default_rng(0).standard_normal(RATE).astype(np.float32)
    clean = score(vowel(1.0))
    assert 1 <= score(vowel(1.0) + noise) < clean <= 5


def test_verb_prints_the_table_and_writes_json(tmp_path: Path) -> None:
    from unilatent.commands.evaluate import speech

    app = typer.Typer()
    app.command()(speech)
    manifest = make_manifest(tmp_path, ["green tree"])
    common = ["--manifest", manifest, "--metric", "mel", "--resamples", "5"]
    folder = str(tmp_path / "real")
    result = CliRunner().invoke(app, [*common, "--audio", f"ours={folder}", "--json", str(tmp_path / "r.json")])
    assert result.exit_code == 0, result.exception
    assert "ours" in result.output
    assert json.loads((tmp_path / "r.json").read_text())["systems"][1]["name"] == RECORDINGS
    result = CliRunner().invoke(app, [*common, "--audio", folder, "--audio", folder])
    assert str(result.exception) == "--audio: two are called 'real'; give them names with NAME=PATH"
