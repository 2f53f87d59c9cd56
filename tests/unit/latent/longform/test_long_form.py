"""Scripts spoken into one file: kills change nothing, mistakes are told before anything is generated."""

from __future__ import annotations

import copy
import dataclasses
import json
import logging
import os
import resource
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytest.importorskip("soundfile")
import tiny_voice

from latent.audio.files import AudioWriter, audio_info, load_audio
from latent.data import vocabulary
from latent.data.speech_prompts import SpeechRequest
from latent.decoding.audio import AudioChunk
from latent.longform import long_form
from latent.longform.cast import Role
from latent.longform.long_form import synthesize_script
from latent.longform.narrator import LongFormOptions
from latent.synthesis.files import synthesize_text
from latent.synthesis.provenance import read_tags
from latent.synthesis.records import synthesize_records
from latent.synthesis.requests import Wishes, read_requests, saying_of
from latent.synthesis.voice import Voice
from latent.synthesis.voices import open_voice
from latent.text.byte_text import ByteFrontEnd
from s2s.durable import Journal, claimed
from s2s.errors import InputError
from s2s.ranks import Ranks

DECODER = ["decoder.num_inference_steps=2", "decoder.stop_threshold=0.502"]
TALK = "ann: Good evening.\nbob: Never mind. [pause 0.03] So.\nAnn: One.\nbob: Two.\n\nbob: Three [pause 0]"
RATE = tiny_voice.RATE


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_voice.write_voice(tmp_path_factory.mktemp("voice"))


@pytest.fixture(scope="module")
def voice(home: Path) -> Voice:
    return open_voice(home, overrides=DECODER)


def options(**values: Any) -> LongFormOptions:
    return LongFormOptions.model_validate({"pause_seconds": 0.05, "max_characters": 30, "chunk_frames": 3, **values})


def speak(voice: Voice, folder: Path, talk: str = TALK, name: str = "talk.wav", **values: Any) -> Path:
    """Speak a text into a file of a folder; `values` are arguments, or else options."""
    arguments = {key: values.pop(key) for key in ("cast", "tags", "mark", "overwrite") if key in values}
    (folder / "talk.txt").write_text(talk)
    synthesize_script(
        voice,
        folder / "talk.txt",
        folder / name,
        options=options(**values),
        picture=False,
        show_progress=False,
        **arguments,
    )
    return folder / name


def report(audio: Path) -> list[dict[str, Any]]:
    return list(json.loads(audio.with_name(f"{audio.name}.report.json").read_text())["spoken"])


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {"talk.txt"}


class Killed(BaseException):
    """Ends a job as a signal would: nobody catches it."""


def dying(monkeypatch: pytest.MonkeyPatch, steps: int, torn: bool) -> None:
    """Let a job die before its Nth step of writing, perhaps in the middle of a line of its journal."""
    left = steps

    def or_die(act: Callable[..., Any]) -> Callable[..., Any]:
        def acting(self: Any, *arguments: Any) -> Any:
            nonlocal left
            left -= 1
            if left < 0:
                if torn and isinstance(self, Journal):
                    with open(self.path, "ab") as file:
                        file.write(b'{"line": {"where')
                raise Killed
            return act(self, *arguments)

        return acting

    for kind, name in ((AudioWriter, "write"), (AudioWriter, "sync"), (Journal, "add"), (Journal, "remove")):
        monkeypatch.setattr(kind, name, or_die(getattr(kind, name)))


@pytest.fixture(scope="module")
def uninterrupted(voice: Voice, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return speak(voice, tmp_path_factory.mktemp("whole"), tags={"comment": "synthetic"}).read_bytes()


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(deaths=st.lists(st.tuples(st.integers(1, 40), st.booleans()), min_size=1, max_size=3))
def test_a_job_that_was_killed_ends_with_the_same_bytes(
    voice: Voice, uninterrupted: bytes, deaths: list[tuple[int, bool]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("killed")
    for number, (steps, torn) in enumerate(deaths):
        with pytest.MonkeyPatch.context() as patch:
            dying(patch, steps, torn)
            try:
                speak(voice, folder, tags={"comment": "synthetic" if not number else "of another day"})
            except Killed:
                assert folder.joinpath("talk.wav.journal.jsonl").exists()
    audio = speak(voice, folder, tags={"comment": "synthetic"})
    assert audio.read_bytes() == uninterrupted
    assert files(folder) == {"talk.wav", "talk.wav.report.json"}


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_a_kill_before_the_report_leaves_only_the_report_to_do(voice: Voice, tmp_path: Path, suffix: str) -> None:
    def killed(*_: object) -> None:
        raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(long_form, "write_report", killed)
        with pytest.raises(Killed):
            speak(voice, tmp_path, name=f"talk{suffix}")
    before = (tmp_path / f"talk{suffix}").stat().st_mtime_ns
    (tmp_path / f".talk{suffix}.part.wav").write_bytes(b"left by a kill between encoding and removing")
    audio = speak(voice, tmp_path, name=f"talk{suffix}")
    assert audio.stat().st_mtime_ns == before
    assert files(tmp_path) == {audio.name, f"{audio.name}.report.json"}


def test_a_part_is_a_valid_file_at_any_instant(voice: Voice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dying(monkeypatch, 7, torn=False)
    with pytest.raises(Killed):
        speak(voice, tmp_path)
    part = tmp_path / ".talk.wav.part.wav"
    assert len(load_audio(part, RATE)) == audio_info(part).num_samples > 0


def test_flac_holds_the_samples_of_wav(voice: Voice, uninterrupted: bytes, tmp_path: Path) -> None:
    (tmp_path / "whole.wav").write_bytes(uninterrupted)
    audio = speak(voice, tmp_path, name="talk.flac")
    np.testing.assert_array_equal(load_audio(audio, RATE), load_audio(tmp_path / "whole.wav", RATE))


def test_a_line_is_what_the_voice_says_of_it_alone(voice: Voice, tmp_path: Path) -> None:
    audio = speak(voice, tmp_path, "ann: Good.\nbob: One. Two.", seed=5)
    for line, speaker in zip(report(audio), ("ann", "bob"), strict=True):
        said = voice.say(voice.request("alone", line["text"], speaker, seed=line["seed"]), chunk_frames=100).samples
        found = load_audio(audio, RATE)[round(line["start"] * RATE) : round(line["stop"] * RATE)]
        np.testing.assert_allclose(found, np.clip(said, -1, 1), atol=1 / 32768)


def test_the_report_tells_what_is_where(voice: Voice, tmp_path: Path) -> None:
    audio = speak(voice, tmp_path)
    lines, samples = report(audio), load_audio(audio, RATE)
    assert [line["text"] for line in lines] == ["Good evening.", "Never mind.", "So.", "One.", "Two.", "Three"]
    assert [line["part"] for line in lines] == [0, 0, 1, 0, 0, 0]
    ends = [*(line["start"] for line in lines[1:]), len(samples) / RATE]
    assert [round(end - line["stop"], 3) for line, end in zip(lines, ends, strict=True)] == [
        0.05, 0.03, 0.05, 0.05, 0.05, 0.0,
    ]  # fmt: skip
    for line, end in zip(lines, ends, strict=True):
        start, stop, after = (round(seconds * RATE) for seconds in (line["start"], line["stop"], end))
        assert samples[start:stop].any()
        assert not samples[stop:after].any()
    assert len({line["seed"] for line in lines}) == len(lines)


def test_every_line_goes_through_the_mark_whole(voice: Voice, tmp_path: Path) -> None:
    marked: list[int] = []

    def negative(samples: np.ndarray[Any, Any], sample_rate: int) -> np.ndarray[Any, Any]:
        assert sample_rate == RATE
        marked.append(len(samples))
        return -np.clip(samples, -0.9, 0.9)

    plain, audio = speak(voice, tmp_path, name="a.wav"), speak(voice, tmp_path, name="b.wav", mark=negative)
    assert marked == [round((line["stop"] - line["start"]) * RATE) for line in report(audio)]
    np.testing.assert_allclose(load_audio(audio, RATE), -load_audio(plain, RATE).clip(-0.9, 0.9), atol=1e-4)
    with pytest.raises(InputError, match=r"another job \(watermark was true, is now false\)"):
        speak(voice, tmp_path, name="b.wav")


def second_line(audio: Path) -> np.ndarray[Any, Any]:
    line = report(audio)[1]
    return load_audio(audio, RATE)[round(line["start"] * RATE) : round(line["stop"] * RATE)]


@pytest.mark.parametrize("frames", [None, 2, 0])
def test_a_line_goes_on_from_the_one_before_if_it_may(voice: Voice, tmp_path: Path, frames: int | None) -> None:
    first = second_line(speak(voice, tmp_path, "ann: One.\nann: Three.", "a.wav", continuity_frames=frames))
    other = second_line(speak(voice, tmp_path, "ann: Two?\nann: Three.", "b.wav", continuity_frames=frames))
    assert np.array_equal(first, other) == (frames == 0)


def test_after_a_context_a_speaker_begins_again(voice: Voice, tmp_path: Path) -> None:
    texts = ["ann: One.\nann: Three.\nann: Four.", "ann: Two?\nann: Three.\nann: Four."]
    for context, same in ((0.01, True), (100, False)):
        spoken = [
            speak(voice, tmp_path, text, f"{context}{n}.wav", context_seconds=context) for n, text in enumerate(texts)
        ]
        assert np.array_equal(*map(second_line, spoken)) == same


def test_speakers_do_not_go_on_from_one_another(voice: Voice, tmp_path: Path) -> None:
    first = second_line(speak(voice, tmp_path, "ann: One.\nbob: Three.", "a.wav"))
    other = second_line(speak(voice, tmp_path, "ann: Two?\nbob: Three.", "b.wav"))
    np.testing.assert_array_equal(first, other)


def test_a_given_voice_prompt_stays_in_the_window(
    voice: Voice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts: list[int] = []

    def listening(requests: list[SpeechRequest], chunk_frames: int) -> Iterator[AudioChunk]:
        prompts.append(0 if requests[0].voice is None else len(requests[0].voice))
        return type(voice).generate(voice, requests, chunk_frames)

    monkeypatch.setattr(voice, "generate", listening)
    given = np.ones((25, 3), np.float32)
    talk = "\n".join(f"Guest: This is line {number}." for number in range(8))
    speak(voice, tmp_path, talk, cast={"guest": Role(None, given)})
    assert prompts[0] == 25
    assert prompts[-1] == voice.voice_frames == max(prompts)
    speak(voice, tmp_path, talk, cast={"guest": Role("bob", given[:4])}, overwrite=True)
    assert prompts[-1] <= 4 + voice.voice_frames // 2


def test_a_line_that_does_not_end_is_cut_and_told(home: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    endless = open_voice(home, overrides=["decoder.num_inference_steps=1", "decoder.stop_threshold=1"])
    with caplog.at_level(logging.WARNING):
        audio = speak(endless, tmp_path, "ann: One.\nbob: Two.")
    assert [line["cut"] for line in report(audio)] == [True, True]
    assert "talk.txt:2: did not end naturally and was truncated" in caplog.text
    assert audio_info(audio).seconds > 4


def test_tags_are_those_of_the_first_start(voice: Voice, uninterrupted: bytes, tmp_path: Path) -> None:
    (tmp_path / "whole.wav").write_bytes(uninterrupted)
    assert read_tags(tmp_path / "whole.wav")["comment"] == "synthetic"
    assert read_tags(speak(voice, tmp_path, "ann: One."))["comment"].startswith("Synthetic speech, not a recording")


@pytest.fixture
def small_disk() -> Iterator[Callable[[int], None]]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_one_line_and_the_job_goes_on_when_there_is_room(
    voice: Voice, tmp_path: Path, small_disk: Callable[[int], None]
) -> None:
    talk = TALK.replace("[pause 0.03]", "[pause 9]")  # the audio is larger than the journal, whatever paths it names
    whole = speak(voice, tmp_path, talk, "whole.wav", tags={"comment": "synthetic"}, continuity_frames=0).read_bytes()
    small_disk(len(whole) * 2 // 3)
    with pytest.raises(
        InputError, match=r"cannot be written: File too large.* [1-5] of 6 lines are done, and the same"
    ):
        speak(voice, tmp_path, talk, tags={"comment": "synthetic"}, continuity_frames=0)
    small_disk(resource.RLIM_INFINITY)
    assert len(load_audio(tmp_path / ".talk.wav.part.wav", RATE)) > 0
    resumed = speak(voice, tmp_path, talk, tags={"comment": "synthetic"}, continuity_frames=0).read_bytes()
    assert resumed == whole


@pytest.mark.parametrize(
    ("talk", "cast", "message"),
    [
        (
            "ann: a\ncat: b\ncat: c",
            {},
            r"talk.txt:2: 'cat' has no voice; the model's speakers are ann, bob; give --cast",
        ),
        ("Speaker 1: a\nSpeaker 3: b", {}, r"talk.txt:2: 'Speaker 3' has no voice"),
        ("ann: a", {"Bob": Role("bob")}, r"--cast Bob: nobody is called that in .*talk.txt; its speakers are ann"),
        ("ann: a\nX: b", {"x": Role("cat")}, r"talk.txt:2: no speaker is called 'cat'"),
    ],
)
def test_a_wrong_cast_is_told_before_anything_is_written(
    voice: Voice, tmp_path: Path, talk: str, cast: dict[str, Role], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        speak(voice, tmp_path, talk, cast=cast)
    assert not files(tmp_path)


@pytest.mark.parametrize("suffix", ["", ".png", ".report.json", ".journal.jsonl"])
def test_an_output_that_is_a_pipe_is_refused_before_anything_is_written(
    voice: Voice, tmp_path: Path, suffix: str
) -> None:
    os.mkfifo(tmp_path / f"talk.wav{suffix}")
    for overwrite in (False, True):
        with pytest.raises(InputError, match=rf"talk\.wav{suffix}: is a device or a pipe; expected the name of a file"):
            speak(voice, tmp_path, overwrite=overwrite)
    assert files(tmp_path) == {f"talk.wav{suffix}"}


def test_a_line_too_long_for_the_model_is_split(voice: Voice, tmp_path: Path) -> None:
    audio = speak(voice, tmp_path, "ann: a\nbob: " + "word " * 200, max_characters=2000)
    assert " ".join(line["text"] for line in report(audio)[1:]).split() == ["word"] * 200
    assert len({line["seed"] for line in report(audio)}) == len(report(audio)) > 2


STRANGE = st.text(st.characters(exclude_categories=["Zl", "Zp", "Cc"]), min_size=1, max_size=30)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STRANGE)
def test_nothing_in_a_line_refuses_the_script(
    voice: Voice, tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    folder = tmp_path_factory.mktemp("strange")
    talk = f"ann: So.\nbob: * {text.translate(dict.fromkeys(map(ord, '[]:：{(')))}\nann: Well."
    talk = talk.encode("utf-8", "ignore").decode()
    assert {line["text"] for line in report(speak(voice, folder, talk))} >= {"So.", "Well."}


def test_a_line_with_nothing_to_say_is_left_out(voice: Voice, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    audio = speak(voice, tmp_path, "ann: So.\nbob: ...\nann: Well.")
    assert [line["text"] for line in report(audio)] == ["So.", "Well."]
    assert "talk.txt:2: left out, since there is nothing to say" in caplog.text
    with pytest.raises(InputError, match=r"talk.txt:1: no line of the script has anything to say"):
        speak(voice, tmp_path, "ann: ?", name="none.wav")


def test_a_line_is_normalized_and_tokenized_once(voice: Voice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []

    def counted(name: str, act: Callable[..., Any]) -> Callable[..., Any]:
        def counting(*arguments: Any) -> Any:
            calls.append(name)
            return act(*arguments)

        return counting

    monkeypatch.setattr(vocabulary, "spoken", counted("spoken", vocabulary.spoken))
    monkeypatch.setattr(ByteFrontEnd, "read", counted("read", ByteFrontEnd.read))
    speak(voice, tmp_path, "ann: One.\nbob: Two.\nann: Three.")
    assert calls == ["spoken", "read"] * 3
    calls.clear()
    request = saying_of(voice, "Four.", Wishes(speaker="ann"), 16)
    synthesize_text(voice, request, tmp_path / "four.wav")
    assert calls == ["spoken", "read"]
    calls.clear()
    (tmp_path / "in.jsonl").write_text('{"text": "Five.", "speaker": "ann"}\n{"text": "Six.", "speaker": "bob"}\n')
    records = read_requests(voice, tmp_path / "in.jsonl", Wishes())
    synthesize_records(voice, records, tmp_path / "out", Ranks(0, 1, torch.device("cpu")))
    assert calls == ["spoken", "read"] * 2


@pytest.mark.parametrize("limit", [{"fixed_text_length": 9}, {"longest_text": 9}])
def test_a_line_longer_than_what_the_model_has_seen_is_split(
    voice: Voice, tmp_path: Path, limit: dict[str, int]
) -> None:
    tight = copy.copy(voice)
    tight.vocabulary = dataclasses.replace(voice.vocabulary, **limit)
    audio = speak(tight, tmp_path, "ann: One two. Three four five. Six.", max_characters=None)
    assert [line["text"] for line in report(audio)] == ["One two.", "Three", "four", "five.", "Six."]


def test_another_job_is_refused(voice: Voice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.MonkeyPatch.context() as patch:
        dying(patch, 9, torn=False)
        with pytest.raises(Killed):
            speak(voice, tmp_path)
    for finished in (False, True):
        if finished:
            speak(voice, tmp_path)
        with pytest.raises(InputError, match=r"talk.wav: belongs to another job \(script was a file of \d+ bytes"):
            speak(voice, tmp_path, TALK + " more")
        with pytest.raises(InputError, match=r"another job \(options.seed was 0, is now 1\); give --overwrite"):
            speak(voice, tmp_path, seed=1)
        with pytest.raises(InputError, match=r"another job \(cast.bob was "):
            speak(voice, tmp_path, cast={"bob": Role("ann")})
    before = (tmp_path / "talk.wav").read_bytes()
    assert speak(voice, tmp_path).read_bytes() == before
    assert speak(voice, tmp_path, seed=1, overwrite=True).read_bytes() != before


def test_folders_of_the_output_are_made(voice: Voice, tmp_path: Path) -> None:
    assert speak(voice, tmp_path, talk="ann: One.", name="new/deep/talk.wav").exists()


def test_one_job_at_a_time_writes_a_file(voice: Voice, tmp_path: Path) -> None:
    with claimed(tmp_path / "talk.wav"), pytest.raises(InputError, match=r"talk\.wav: another process is writing it"):
        speak(voice, tmp_path, talk="ann: One.")
    assert files(tmp_path) == set()


def test_a_file_of_somebody_else_is_refused(voice: Voice, tmp_path: Path) -> None:
    (tmp_path / "talk.wav").write_bytes(b"precious")
    with pytest.raises(InputError, match=r"talk.wav: exists already; give --overwrite"):
        speak(voice, tmp_path)
    assert (tmp_path / "talk.wav").read_bytes() == b"precious"
    with pytest.raises(InputError, match=r"talk.mp3: the suffix must be one of .wav, .flac, .ogg"):
        speak(voice, tmp_path, name="talk.mp3")


def test_lost_audio_is_told(voice: Voice, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        dying(patch, 20, torn=False)
        with pytest.raises(Killed):
            speak(voice, tmp_path)
    (tmp_path / ".talk.wav.part.wav").unlink()
    with pytest.raises(InputError, match=r"part.wav: cannot be resumed: No such file"):
        speak(voice, tmp_path)
