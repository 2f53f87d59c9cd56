"""Speech corpora: every layout gives the same records; texts stay in one split; what is left out is counted."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from data_prep.corpus_files import split_of_text
from data_prep.speech_corpus import Recording, SpeechOptions, write_speech_corpus
from data_prep.speech_sources import SOURCES
from s2s.errors import InputError
from s2s.generation.job_array import Shard
from unilatent.commands.join import join

soundfile = pytest.importorskip("soundfile")
pytest.importorskip("soxr")

RATE = 8000
OPTIONS = SpeechOptions(sample_rate=RATE, spell_out=False, jobs=1)


def save(path: Path, seconds: float = 1.0, silence: float = 0.0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    tone = 0.3 * np.sin(np.arange(int(seconds * RATE)) / 3)
    quiet = np.zeros(int(silence * RATE))
    soundfile.write(path, np.concatenate([quiet, tone, quiet]), RATE)
    return path


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def ljspeech(folder: Path) -> None:
    save(folder / "wavs/a.wav")
    write(folder / "metadata.csv", "a|Dr. Who said it|Doctor Who said it\n")


def libritts(folder: Path) -> None:
    save(folder / "dev-clean/s1/c/a.wav")
    write(folder / "dev-clean/s1/c/a.normalized.txt", "Doctor Who said it\n")


def librispeech(folder: Path) -> None:
    save(folder / "test-clean/s1/c/a.flac")
    write(folder / "test-clean/s1/c/s1-c.trans.txt", "a DOCTOR WHO SAID IT\n")


def vctk(folder: Path) -> None:
    save(folder / "wav48_silence_trimmed/s1/a_mic1.flac")
    write(folder / "txt/s1/a.txt", "Doctor Who said it\n")
    write(folder / "txt/s1/b.txt", "Without audio\n")


def common_voice(folder: Path) -> None:
    save(folder / "clips/a.wav")
    write(folder / "train.tsv", "client_id\tpath\tsentence\tage\ns1\ta.wav\tDoctor Who said it\t\n")


def kaldi(folder: Path) -> None:
    save(folder / "long.wav", seconds=3.0)
    write(folder / "wav.scp", "rec long.wav\n")
    write(folder / "text", "a Doctor Who said it\n")
    write(folder / "segments", "a rec 1.0 2.0\nb rec 2.0 3.0\n")
    write(folder / "utt2spk", "a s1\n")


def transcripts(folder: Path) -> None:
    save(folder / "a.ogg")
    write(folder / "transcripts.tsv", "a.ogg\tDoctor Who said it\ts1\n")


LAYOUTS: dict[str, tuple[Callable[[Path], None], str, str, str | None, Counter[str]]] = {
    "ljspeech": (ljspeech, "a", "LJ", None, Counter()),
    "libritts": (libritts, "dev-clean/a", "s1", "valid", Counter()),
    "librispeech": (librispeech, "test-clean/a", "s1", "test", Counter()),
    "vctk": (vctk, "s1/a", "s1", None, Counter(["without audio"])),
    "common-voice": (common_voice, "a", "s1", "train", Counter()),
    "kaldi": (kaldi, "a", "s1", None, Counter(["without a text"])),
    "transcripts": (transcripts, "a", "s1", None, Counter()),
}


@pytest.mark.parametrize("name", SOURCES)
def test_layout_is_read_and_written(tmp_path: Path, name: str) -> None:
    make, identity, speaker, split, missing = LAYOUTS[name]
    make(tmp_path / "in")
    skipped: Counter[str] = Counter()
    found = list(SOURCES[name].read(tmp_path / "in", "en", lambda reason: skipped.update([reason])))
    assert [(one.id, one.speaker, one.split) for one in found] == [(identity, speaker, split)]
    assert found[0].text.lower() == "doctor who said it"
    assert skipped == missing
    write_speech_corpus(found, tmp_path / "out", OPTIONS, "title", ["about"], skipped)
    [record] = [json.loads(line) for path in tmp_path.glob("out/*.jsonl") for line in path.read_text().splitlines()]
    assert record["seconds"] == pytest.approx(1.0, abs=0.02)
    assert soundfile.info(tmp_path / "out" / record["audio"]).samplerate == RATE
    assert "title" in (tmp_path / "out/DATA_CARD.md").read_text()


@pytest.mark.parametrize("name", SOURCES)
def test_empty_folder_is_refused_by_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=str(tmp_path)):
        list(SOURCES[name].read(tmp_path, "en", lambda reason: None))


@pytest.mark.parametrize(
    ("name", "files", "message"),
    [
        ("ljspeech", {"metadata.csv": "a|b|c\na only\n"}, r"metadata\.csv:2: expected ID\|TEXT or .* found 1 fields"),
        ("common-voice", {"train.tsv": "path\tsentence\n"}, r"train\.tsv:1: expected the columns .* found path"),
        ("common-voice", {"test.tsv": "path\tclient_id\tsentence\na\tb\n"}, r"test\.tsv:2: expected 3 .* found 2"),
        ("kaldi", {"wav.scp": "a sox x |\n"}, r"wav\.scp:1: expected the name of an audio file, found a command"),
        ("kaldi", {"wav.scp": "a\n"}, r"wav\.scp:1: expected an id and a value, found 'a'"),
        ("kaldi", {"wav.scp": "r x\n", "text": "a b\n", "segments": "a r 1 late\n"}, r"segments:1: .*found 'r 1 late'"),
        ("kaldi", {"wav.scp": "r x\n", "text": "a b\n", "segments": "a q 1 2\n"}, "no line of wav.scp has the id 'q'"),
        ("transcripts", {"transcripts.tsv": "a.doc\thello\n"}, r"transcripts\.tsv:1: expected an audio file"),
    ],
)  # fmt: skip
def test_broken_layout_names_file_and_line(tmp_path: Path, name: str, files: dict[str, str], message: str) -> None:
    for file, text in files.items():
        write(tmp_path / file, text)
    with pytest.raises(InputError, match=message):
        list(SOURCES[name].read(tmp_path, "en", lambda reason: None))


def recordings(folder: Path, texts: list[str], **fields: Any) -> list[Recording]:
    audio = save(folder / "tone.wav")
    return [Recording(f"r{number}", audio, text, "s", "en", **fields) for number, text in enumerate(texts)]


def read_splits(folder: Path) -> dict[str, list[dict[str, Any]]]:
    return {path.stem: [json.loads(line) for line in path.read_text().splitlines()] for path in folder.glob("*.jsonl")}


def test_a_text_is_in_one_split_only(tmp_path: Path) -> None:
    texts = [f"sentence number {chr(97 + i % 13)}{'!' * (i // 13)}" for i in range(39)]
    options = SpeechOptions(sample_rate=RATE, valid_percent=25, test_percent=25, jobs=2)
    write_speech_corpus(recordings(tmp_path, texts), tmp_path / "out", options, "t", [], Counter())
    splits = {name: {row["text"].rstrip("!") for row in rows} for name, rows in read_splits(tmp_path / "out").items()}
    assert len(splits) == 3
    assert sum(map(len, splits.values())) == len(set.union(*splits.values())) == 13


def test_given_splits_win_and_overlap_leaves_the_larger_one(tmp_path: Path) -> None:
    mine = recordings(tmp_path, ["only in training", "In both!"], split="train")
    theirs = [Recording("t0", mine[0].audio, "in both", "s", "en", "test")]
    skipped: Counter[str] = Counter()
    write_speech_corpus([*mine, *theirs], tmp_path / "out", OPTIONS, "t", [], skipped)
    splits = {name: [row["id"] for row in rows] for name, rows in read_splits(tmp_path / "out").items()}
    assert splits == {"train": ["r0"], "test": ["t0"]}
    assert skipped == Counter(["texts that are in a smaller split as well"])


@given(st.text(), st.integers(0, 40), st.integers(0, 40))
def test_larger_shares_only_take_texts_from_training(text: str, valid: int, test: int) -> None:
    before, after = (split_of_text(text, {"test": test, "valid": share}) for share in (valid, valid + 5))
    assert after == before or (before, after) == ("train", "valid")


def test_audio_is_cut_levelled_and_filtered(tmp_path: Path) -> None:
    good = Recording("good", save(tmp_path / "good.wav", 1.0, silence=2.0), "as it should be", "s", "en", "train")
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"no audio")
    others = [
        Recording("short", save(tmp_path / "short.wav", 0.2), "no", "s", "en", "train"),
        Recording("long", save(tmp_path / "long.wav", 9.0), "far too long", "s", "en", "train"),
        Recording("lacking", save(tmp_path / "lacking.wav", 5.0), "hm", "s", "en", "train"),
        Recording("extra", good.audio, "many words that nobody can say in a second, however fast", "s", "en", "train"),
        Recording("broken", broken, "unreadable", "s", "en", "train"),
        Recording("silent", good.audio, "  ", "s", "en", "train"),
    ]
    options = SpeechOptions(sample_rate=RATE, max_seconds=8, loudness_dbfs=-20, jobs=1)
    skipped: Counter[str] = Counter()
    summary = write_speech_corpus([good, *others], tmp_path / "out", options, "t", [], skipped)
    [record] = read_splits(tmp_path / "out")["train"]
    samples, _ = soundfile.read(tmp_path / "out" / record["audio"])
    assert record["seconds"] == pytest.approx(1.2, abs=0.05)
    assert 20 * np.log10(np.sqrt(np.mean(samples**2))) == pytest.approx(-20, abs=0.1)
    assert skipped == Counter(
        [
            "without a text",
            "shorter than 0.3 s",
            "longer than 8 s",
            "with fewer than 3 characters a second",
            "with more than 30 characters a second",
            "whose audio cannot be read",
        ]
    )
    assert "1 / 0 / 0 clips" in summary
    assert "1 longer than 8 s" in (tmp_path / "out/DATA_CARD.md").read_text()


def test_no_manifest_appears_when_nothing_is_left(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no recording to write; skipped 1 without a text"):
        write_speech_corpus(recordings(tmp_path, [" "]), tmp_path / "out", OPTIONS, "t", [], Counter())
    assert not list((tmp_path / "out").glob("*.jsonl"))


def test_doubled_and_unsafe_ids_are_refused(tmp_path: Path) -> None:
    [one] = recordings(tmp_path, ["hello there"])
    with pytest.raises(InputError, match="its id 'R0' is also that of"):  # as some file systems have it
        write_speech_corpus([one, replace(one, id="R0")], tmp_path / "out", OPTIONS, "t", [], Counter())
    with pytest.raises(InputError, match="its id 'r0' is also that of"):
        write_speech_corpus([one, one], tmp_path / "out", OPTIONS, "t", [], Counter())
    with pytest.raises(InputError, match=r"must be names without blanks, found '\.\./up'"):
        write_speech_corpus(
            [Recording("../up", one.audio, "x", "s", "en")], tmp_path / "out", OPTIONS, "t", [], Counter()
        )


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"sample_rate": 0}, "--sample-rate: must be 4000 to 192000 Hz, found 0"),
        ({"min_seconds": 5, "max_seconds": 2}, "must be above 0 and in this order, found 5 and 2"),
        ({"valid_percent": 50, "test_percent": 50}, "must leave something to train on, found 50 and 50"),
        ({"loudness_dbfs": 3}, r"--loudness-dbfs: must be -120 to 0 \(off\), found 3"),
    ],
)
def test_options_out_of_range_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        SpeechOptions(**fields)


def unpacked_package(root: Path, transcripts_text: str) -> Path:
    sounds = root / "usr/share/asterisk/sounds/en_US_f_Allison"
    texts = root / "usr/share/doc/asterisk-core-sounds-en/core-sounds-en.txt.gz"
    texts.parent.mkdir(parents=True)
    texts.write_bytes(gzip.compress(transcripts_text.encode("utf-8-sig")))
    for name in ("hello", "beep", "digits/1", "unknown"):
        (sounds / name).parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(0).integers(0, 256, 4000, dtype=np.uint8)
        (sounds / f"{name}.g722").write_bytes(noise.tobytes())
    return root


def test_asterisk_prompts_are_read_from_an_unpacked_package(tmp_path: Path) -> None:
    pytest.importorskip("G722")
    from data_prep.asterisk_prompts import read_prompts, unpack

    text = "; a comment\n\nhello: hello: Hello.\nhello: Twice\nbeep: [a beep]\ndigits/1: one\ngone: Gone\nempty:\n"
    root = unpacked_package(tmp_path / "tree", text)
    skipped: Counter[str] = Counter()
    found = list(read_prompts(unpack([root], tmp_path), "en", lambda reason: skipped.update([reason])))
    assert [(one.id, one.text, one.speaker) for one in found] == [
        ("en/hello", "Hello.", "Allison"),
        ("en/digits/1", "one", "Allison"),
    ]
    assert skipped == Counter(
        [
            "second transcripts of a prompt",
            "prompts without speech",
            "transcripts without audio",
            "empty transcripts",
            "audio without a transcript",
        ]
    )
    options = SpeechOptions(sample_rate=16000, min_characters_per_second=0, valid_percent=0, test_percent=0, jobs=1)
    assert "2 / 0 / 0 clips" in write_speech_corpus(found, tmp_path / "out", options, "t", [], skipped)


def test_asterisk_packages_that_are_wrong_are_named(tmp_path: Path) -> None:
    from data_prep.asterisk_prompts import read_prompts, unpack

    with pytest.raises(InputError, match=r"--packages .*nowhere: expected a \.deb file, or a folder of them"):
        unpack([tmp_path / "nowhere"], tmp_path)
    root = unpacked_package(tmp_path / "tree", "hello Hello\n")
    with pytest.raises(InputError, match=r"core-sounds-en\.txt\.gz:1: expected 'NAME: TEXT', found 'hello Hello'"):
        list(read_prompts([root], "en", lambda reason: None))
    with pytest.raises(InputError, match="no audio in 'fr'; add asterisk-core-sounds-fr-g722"):
        list(read_prompts([root], "fr", lambda reason: None))


def test_verbs_write_a_corpus_and_name_mistakes(tmp_path: Path) -> None:
    from unilatent.commands.prepare_speech import app

    transcripts(tmp_path / "in")
    arguments = ["transcripts", str(tmp_path / "in"), str(tmp_path / "out"), "--sample-rate", "8000", "--no-spell-out"]
    result = CliRunner().invoke(app, arguments)
    assert "0.0 minutes" in result.output
    assert sum(map(len, read_splits(tmp_path / "out").values())) == 1
    result = CliRunner().invoke(app, ["asterisk-prompts", str(tmp_path / "out"), "--language", "xx"])
    assert isinstance(result.exception, InputError)
    assert str(result.exception) == "--language: must be one of en, es, fr, it, ru, found 'xx'"


def test_verbs_and_sources_agree() -> None:
    from unilatent.commands.prepare_speech import app

    assert {command.name for command in app.registered_commands} == {
        "asterisk-prompts",
        "teacher-texts",
        "teacher-speech",
        "align-speech",
        *SOURCES,
    }


@pytest.mark.parametrize("count", [1, 3, 9])
def test_shards_are_joined_to_the_corpus_of_one_process(tmp_path: Path, count: int) -> None:
    lengths = (1.0, 0.01, 2.0, 1.5, 1.0, 0.02)
    given = [
        Recording(f"s/{row}", save(tmp_path / f"{row}.wav", seconds), f"text number {row} it is", "s", "en")
        for row, seconds in enumerate(lengths)
    ]

    def write_part(folder: Path, shard: Shard | None = None) -> str:
        before = Counter({"without audio": 2})
        return write_speech_corpus(given, folder, OPTIONS, "title", ["about"], before, shard)

    def files(folder: Path) -> dict[str, bytes]:
        return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    whole, out = tmp_path / "whole", tmp_path / "out"
    write_part(whole)
    for number in range(2, count + 1):
        write_part(out, Shard(number, count))
    with pytest.raises(InputError, match="no shard of it is there" if count == 1 else "1 are missing: 1;"):
        join(out)
    write_part(out, Shard(1, count))
    join(out, remove=True)
    assert files(out) == files(whole)
    write_part(out, Shard(1, 1))
    with pytest.raises(InputError, match=r"out/train\.jsonl: exists already"):
        join(out)
    join(out, overwrite=True)
    assert files(out) == files(whole)
