"""Many recordings into one file: formats, failures, and jobs that go on where they stopped."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command_line import error_of
from ray_stand_in import StandIn

pytest.importorskip("soundfile")
pytest.importorskip("soxr")
from latent.audio.files import Samples, write_audio
from latent.recognition.files import Summary, TranscribeOptions, transcribe_files
from latent.recognition.inputs import Listed, find_recordings, read_hot_words
from latent.recognition.on_cluster import transcribe_on_cluster
from latent.recognition.recognizer import RecognitionRequest, Recognizer
from latent.recognition.transcript import Segment, Transcript
from latent.subtitles import Word
from s2s.cluster import pool
from s2s.cluster.pool import ClusterOptions
from s2s.errors import InputError
from s2s.generation.job_array import Shard, join_shards
from s2s.ranks import Ranks

RATE = 8000
ALONE = Ranks(0, 1, torch.device("cpu"))


class Counter(Recognizer):
    """Writes how many samples it heard; what it does at each recording is a function of its id."""

    name, sample_rate, max_seconds = "counter", RATE, 60.0

    def __init__(self, act: Callable[[str], None] = lambda id: None) -> None:
        self.act, self.heard = act, list[str]()

    def fingerprint(self) -> dict[str, Any]:
        return {"model": "counter"}

    def recognize(self, requests: Sequence[RecognitionRequest]) -> Iterator[tuple[int, Transcript]]:
        for request in requests:
            self.act(request.id)
        for index, request in enumerate(requests):
            self.heard.append(request.id)
            count = sum(map(len, request.recording.blocks(RATE, 1000)))
            half = round(count / RATE / 2, 2)
            segments = [Segment(f"{count} samples", 0.0, half, "0"), Segment(request.context, half, 2 * half, "1")]
            warned = ("odd",) if count % 2 else ()
            yield index, Transcript(segments, count / RATE, request.language, warned)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(5):
        write_audio(tmp_path / f"audio/r{number}.wav", np.full(8000 + 801 * number, 0.1, np.float32), RATE)
    return tmp_path


def run(folder: Path, output: str, recognizer: Recognizer | None = None, **options: Any) -> Summary:
    recordings = find_recordings(folder / "audio")
    made = TranscribeOptions(**{"context": "Tea Brew", **options})
    return transcribe_files(recognizer or Counter(), recordings, folder / output, ALONE, made)


def test_each_format_holds_the_recordings_in_their_order(folder: Path) -> None:
    summary = run(folder, "out.jsonl", language="en")
    lines = [json.loads(line) for line in (folder / "out.jsonl").read_text().splitlines()]
    assert [line["id"] for line in lines] == [f"r{number}" for number in range(5)]
    assert lines[0] == {
        "id": "r0",
        "seconds": 1.0,
        "text": "8000 samples Tea Brew",
        "segments": [
            {"start": 0.0, "end": 0.5, "speaker": "0", "text": "8000 samples"},
            {"start": 0.5, "end": 1.0, "speaker": "1", "text": "Tea Brew"},
        ],
        "language": "en",
    }
    assert (summary.recordings, summary.failed, summary.doubtful) == (5, 0, 2)
    assert summary.seconds == pytest.approx(sum(8000 + 801 * number for number in range(5)) / RATE, abs=0.01)
    run(folder, "out.txt")
    assert (folder / "out.txt").read_text().splitlines()[1] == "8801 samples Tea Brew"
    run(folder, "out.rttm")
    assert (folder / "out.rttm").read_text().splitlines()[:2] == [
        "SPEAKER r0 1 0.000 0.500 <NA> <NA> 0 <NA> <NA>",
        "SPEAKER r0 1 0.500 0.500 <NA> <NA> 1 <NA> <NA>",
    ]


def test_subtitles_are_of_one_recording(folder: Path) -> None:
    one = [Listed("talk", folder / "audio/r0.wav")]
    transcribe_files(Counter(), one, folder / "talk.srt", ALONE, TranscribeOptions(context="Tea Brew"))
    assert (folder / "talk.srt").read_text() == (
        "1\n00:00:00,000 --> 00:00:00,500\nSpeaker 0: 8000 samples\n\n"
        "2\n00:00:00,500 --> 00:00:01,000\nSpeaker 1: Tea Brew\n"
    )
    transcribe_files(Counter(), one, folder / "talk.vtt", ALONE, TranscribeOptions())
    assert (folder / "talk.vtt").read_text().startswith("WEBVTT\n\n00:00:00.000 --> ")
    with pytest.raises(InputError, match=r"subtitles are of one recording, found 5; give an output in \.jsonl"):
        run(folder, "out.srt")
    with pytest.raises(InputError, match=r"the suffix must be one of \.jsonl, .*found '\.doc'"):
        run(folder, "out.doc")


class Evenly:
    """Words one after the other, in proportion to their letters."""

    def fingerprint(self) -> str:
        return "evenly"

    def refusal(self, language: str | None) -> str | None:
        return "speaks no German" if language == "de" else None

    def words(self, text: str, samples: Samples, language: str | None) -> list[Word]:
        edges = np.cumsum([0, *map(len, text.split())]) / len(text.replace(" ", "")) * len(samples) / 16000
        return [
            Word(word, *map(float, span)) for word, span in zip(text.split(), itertools.pairwise(edges), strict=True)
        ]


def test_words_have_times_in_json_and_in_subtitles(folder: Path) -> None:
    run(folder, "out.jsonl", words=Evenly())
    first = json.loads((folder / "out.jsonl").read_text().splitlines()[0])
    assert first["segments"][1] == {
        "start": 0.5,
        "end": 1.0,
        "speaker": "1",
        "text": "Tea Brew",
        "words": [{"start": 0.5, "end": 0.71, "text": "Tea"}, {"start": 0.71, "end": 1.0, "text": "Brew"}],
    }
    one = [Listed("talk", folder / "audio/r0.wav")]
    given = TranscribeOptions(context="Tea Brew", words=Evenly())
    transcribe_files(Counter(), one, folder / "talk.vtt", ALONE, given)
    assert "<v Speaker 1>Tea <00:00:00.714>Brew\n" in (folder / "talk.vtt").read_text()
    with pytest.raises(InputError, match=r"belongs to another job \(settings\.words was"):
        run(folder, "out.jsonl")
    with pytest.raises(InputError, match=r"--words: \.txt has no place for times of words"):
        run(folder, "out.txt", words=Evenly())


def test_python_gets_the_times_of_words_that_the_file_has(folder: Path) -> None:
    run(folder, "out.jsonl", words=Evenly())
    first = json.loads((folder / "out.jsonl").read_text().splitlines()[0])
    found = Counter().transcribe(folder / "audio/r0.wav", hot_words=["Tea Brew"], words=Evenly())
    assert found.record()["segments"] == first["segments"]


def test_a_language_that_the_aligner_lacks_is_told_and_the_text_is_kept(folder: Path) -> None:
    run(folder, "out.jsonl", words=Evenly(), language="de")
    first = json.loads((folder / "out.jsonl").read_text().splitlines()[0])
    assert first["warnings"] == ["no times of words: speaks no German"]
    assert first["text"] == "8000 samples Tea Brew"


def test_an_aligner_that_cannot_serve_is_refused_before_anything_is_opened() -> None:
    verb = ("transcribe", "nowhere", "--input", "talk.wav", "--words")
    told = error_of(*verb, "pocketsphinx", "--language", "de")
    assert told.startswith(
        "error: --words: pocketsphinx aligns en, not de; `unilatent prepare align-speech --save FOLDER`"
    )
    assert "must be pocketsphinx (English), or a folder that" in error_of(*verb, "nothing")
    assert "--words: needs whole recordings; leave --stream out" in error_of(*verb, "pocketsphinx", "--stream")


def test_a_recording_that_fails_is_noted_and_stops_no_other(folder: Path) -> None:
    (folder / "audio/r1.wav").write_bytes(b"RIFF, not really")

    def act(id: str) -> None:
        if id == "r3":
            raise RuntimeError("kaput")

    summary = run(folder, "out.jsonl", Counter(act))
    lines = [json.loads(line) for line in (folder / "out.jsonl").read_text().splitlines()]
    assert [line["text"] is None for line in lines] == [False, True, False, True, False]
    errors = [json.loads(line) for line in (folder / "out.jsonl.errors.jsonl").read_text().splitlines()]
    assert [error["id"] for error in errors] == ["r1", "r3"]
    assert errors[1]["error"] == "unexpected RuntimeError: kaput"
    assert summary.failed == 2
    with pytest.raises(InputError, match="cannot be read as audio"):
        run(folder, "strict.jsonl", strict=True)


@pytest.mark.parametrize("when", range(5))
def test_a_job_that_is_killed_at_any_recording_goes_on_to_the_same_bytes(folder: Path, when: int) -> None:
    def act(id: str) -> None:
        if id == f"r{when}":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(folder, "out.jsonl", Counter(act), max_rows=1)
    again = Counter()
    run(folder, "out.jsonl", again, max_rows=1)
    run(folder, "whole.jsonl", max_rows=1)
    assert (folder / "out.jsonl").read_bytes() == (folder / "whole.jsonl").read_bytes()
    assert len(again.heard) == when + 1, "the longest come first, and what was done is not done again"
    idle = Counter()
    assert run(folder, "out.jsonl", idle, max_rows=1).real_time_factor is None
    assert not idle.heard


def test_another_job_is_refused_whether_words_recordings_or_options_differ(folder: Path) -> None:
    run(folder, "out.jsonl")
    with pytest.raises(InputError, match=r"belongs to another job \(settings.context was"):
        run(folder, "out.jsonl", context="Aiden Host")
    write_audio(folder / "audio/r2.wav", np.full(4000, 0.2, np.float32), RATE)
    with pytest.raises(InputError, match=r"belongs to another job \(input\.r2 was"):
        run(folder, "out.jsonl")
    run(folder, "out.jsonl", overwrite=True)
    assert "4000 samples" in (folder / "out.jsonl").read_text()


def test_an_output_that_is_a_recording_is_refused(folder: Path) -> None:
    (folder / "audio/r0.wav").rename(folder / "audio.txt")
    given = [Listed("a", folder / "audio.txt")]
    with pytest.raises(InputError, match="is also an input"):
        transcribe_files(Counter(), given, folder / "audio.txt", ALONE, TranscribeOptions())


def test_recordings_are_found_in_folders_manifests_and_by_name(folder: Path) -> None:
    write_audio(folder / "audio/deep/r0.flac", np.ones(80, np.float32) / 2, RATE)
    write_audio(folder / "audio/r0.flac", np.ones(80, np.float32) / 2, RATE)
    (folder / "audio/notes.txt").write_text("no audio")
    ids = [item.id for item in find_recordings(folder / "audio")]
    assert ids == ["deep/r0", "r0.flac", "r0.wav", "r1", "r2", "r3", "r4"]
    lines = [{"id": 7, "audio": "audio/r1.wav", "language": "de"}, {"audio": "audio/r2.wav"}, {"id": "x", "audio": 5}]
    (folder / "list.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    first, second, third = find_recordings(folder / "list.jsonl")
    assert first == Listed("7", folder / "audio/r1.wav", "de")
    assert second == Listed("2", folder / "audio/r2.wav")
    assert third.error == "'audio' must be a string that is not blank, found a number (5)"
    assert find_recordings(folder / "talk.mp3") == [Listed("talk", folder / "talk.mp3")]


def test_ids_differ_and_something_is_found(folder: Path) -> None:
    (folder / "list.jsonl").write_text('{"id": "a", "audio": "x.wav"}\n{"id": "a", "audio": "y.wav"}\n')
    with pytest.raises(InputError, match="two recordings have the id 'a'"):
        find_recordings(folder / "list.jsonl")
    (folder / "empty").mkdir()
    with pytest.raises(InputError, match=r"no audio in it; expected files in \.flac, \.mp3, \.ogg, \.wav"):
        find_recordings(folder / "empty")


def test_hot_words_are_lines_of_text(folder: Path) -> None:
    (folder / "words.txt").write_text("\ufeffTea Brew\nAiden Host\n", encoding="utf-8")
    assert read_hot_words(folder / "words.txt") == ["Tea Brew", "Aiden Host"]
    assert read_hot_words(None) == []
    (folder / "words.txt").write_bytes(b"caf\xe9")
    with pytest.raises(InputError, match="must be text in UTF-8, found byte 0xe9"):
        read_hot_words(folder / "words.txt")
    with pytest.raises(InputError, match="cannot be read: No such file"):
        read_hot_words(folder / "none.txt")


def test_joined_shards_are_the_transcripts_of_one_process(folder: Path) -> None:
    (folder / "audio/r2.wav").write_bytes(b"no audio")
    recordings = find_recordings(folder / "audio")
    for count in (2, 7):
        output, whole = folder / f"out{count}.jsonl", folder / f"whole{count}.jsonl"
        transcribe_files(Counter(), recordings, whole, ALONE, TranscribeOptions())
        for number in range(1, count + 1):
            transcribe_files(Counter(), recordings, output, ALONE, TranscribeOptions(shard=Shard(number, count)))
        assert (join_shards(output).lines, join_shards(output, overwrite=True).failed) == (5, 1)
        for end in ("", ".errors.jsonl"):
            assert Path(f"{output}{end}").read_bytes() == Path(f"{whole}{end}").read_bytes()
    again = Counter()
    transcribe_files(again, recordings, folder / "out2.jsonl", ALONE, TranscribeOptions())
    assert not again.heard, "one process finds the joined output finished"


def test_a_cluster_writes_the_transcripts_of_one_process(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "audio/r2.wav").write_bytes(b"no audio")
    recordings, output, whole = find_recordings(folder / "audio"), folder / "out.jsonl", folder / "whole.jsonl"
    monkeypatch.setattr("latent.recognition.files._WINDOW", 2)
    monkeypatch.setattr(pool.packages, "load", lambda module, extra: StandIn(lambda call: call == 2))

    def load(device: torch.device) -> Recognizer:
        return Counter()

    def transcribe() -> Summary:
        return transcribe_on_cluster(load, recordings, output, TranscribeOptions(), ClusterOptions())

    one = transcribe_files(Counter(), recordings, whole, ALONE, TranscribeOptions())
    made = transcribe()
    assert (made.recordings, made.failed, made.doubtful, made.seconds) == (5, 1, one.doubtful, one.seconds)
    for end in ("", ".errors.jsonl", ".state.json"):
        assert Path(f"{output}{end}").read_bytes() == Path(f"{whole}{end}").read_bytes()
    monkeypatch.setattr(pool.packages, "load", None)
    assert transcribe().real_time_factor is None, "a finished job needs no cluster"
