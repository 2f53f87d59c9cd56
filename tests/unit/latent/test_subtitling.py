"""When sentences and words are said: in order, of the text as it is written, beside every kind of audio file."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("soundfile")
import tiny_voice

from latent.longform.long_form import synthesize_script
from latent.longform.subtitling import script_subtitles
from latent.subtitles import Word
from latent.subtitling import subtitles_of, written_words
from latent.synthesis.files import synthesize_text
from latent.synthesis.records import synthesize_records
from latent.synthesis.requests import Wanted, Wishes, saying_of
from latent.synthesis.takes import Take, Turn
from latent.synthesis.voice import Voice
from latent.synthesis.voices import open_voice
from s2s.ranks import Ranks

TEXT = "One no. Two, so?"
OPTIONS = ["decoder.num_inference_steps=2", "decoder.stop_threshold=0.9", "decoder.min_frames=4"]


@pytest.fixture(scope="module")
def timed(tmp_path_factory: pytest.TempPathFactory) -> Voice:
    folder = tmp_path_factory.mktemp("timed")
    tiny_voice.write_timed_voice(folder)
    return open_voice(folder / "voice", overrides=OPTIONS)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Voice:
    folder = tmp_path_factory.mktemp("plain")
    tiny_voice.write_voice(folder)
    return open_voice(folder / "voice", overrides=OPTIONS)


def said(*words: str) -> list[Word]:
    """A word a second."""
    return [Word(word, place, place + 0.5) for place, word in enumerate(words)]


def test_figures_get_the_time_of_the_words_that_are_said_for_them() -> None:
    found = written_words("Pay $5.50 now, Dr. Who!", said("pay", "five", "dollars", "fifty", "now,", "doctor", "who!"))
    assert found == [
        Word("Pay ", 0, 0.5), Word("$5.50 ", 1, 3.5), Word("now, ", 4, 4.5), Word("Dr. ", 5, 5.5), Word("Who!", 6, 6.5),
    ]  # fmt: skip


def test_written_words_that_nobody_says_take_no_time() -> None:
    assert written_words("Yes - no 😀", said("yes", "no")) == [
        Word("Yes ", 0, 0.5), Word("- ", 0.5, 0.5), Word("no ", 1, 1.5), Word("😀", 1.5, 1.5),
    ]  # fmt: skip


@given(st.text(max_size=60), st.lists(st.text(max_size=5), max_size=8), st.integers(0, 3))
def test_words_are_the_text_in_order(text: str, spoken: list[str], start: int) -> None:
    text = " ".join(text.split())
    words = written_words(text, said(*spoken))
    assert "".join(word.text for word in words) == text
    times = [time for word in words for time in (word.start, word.end)]
    assert times == sorted(times)
    sentences = subtitles_of(text, start, start + 9, said(*spoken))
    assert " ".join(" ".join(sentence.text for sentence in sentences).split()) == text
    times = [time for sentence in sentences for time in (sentence.start, sentence.end)]
    assert all(start <= time <= start + 9 for time in times)


def test_sentences_without_words_pass_in_proportion_to_their_characters() -> None:
    first, second = subtitles_of("Aaaa aaa. Bbbb bbbb.", 10, 20, speaker="ann")
    assert (first.text, first.start, first.end, first.speaker, first.words) == ("Aaaa aaa.", 10, 15, "ann", ())
    assert (second.text, second.start, second.end) == ("Bbbb bbbb.", 15, 20)


def test_voices_with_cues_know_when_words_are_said(timed: Voice) -> None:
    request = timed.request("a", TEXT, "ann")
    words = timed.word_times(request)
    assert [word.text for word in words] == TEXT.split()
    times = [time for word in words for time in (word.start, word.end)]
    assert times == sorted(times)
    assert request.timing is not None
    assert 0 < times[0] < times[-1] < request.timing.durations.sum() / timed.frame_rate


def test_python_gets_sentences_and_the_words_of_those_who_know(timed: Voice, plain: Voice) -> None:
    speech = timed.say(TEXT, "ann")
    assert "".join(word.text for word in speech.words) == TEXT
    assert [sentence.text for sentence in speech.sentences] == ["One no.", "Two, so?"]
    assert speech.sentences[-1].end <= speech.seconds + 1e-9
    speech = plain.say(TEXT, "ann")
    assert speech.words == []
    assert [(one.text, one.start) for one in speech.sentences] == [("One no.", 0), ("Two, so?", speech.seconds / 2)]


@pytest.mark.parametrize("format", ["srt", "vtt"])
def test_a_text_has_subtitles_beside_its_file(timed: Voice, format: str, tmp_path: Path) -> None:
    saying = saying_of(timed, TEXT, Wishes(speaker="ann"), 8)
    synthesize_text(timed, saying, tmp_path / "a.wav", subtitles=format)
    written = (tmp_path / f"a.{format}").read_text(encoding="utf-8")
    assert written.count(" --> ") == 2
    assert bool(re.search(r"One <[\d:.]+>no\.", written)) == (format == "vtt")


def test_each_record_has_subtitles_also_when_they_are_asked_for_later(timed: Voice, tmp_path: Path) -> None:
    wanted = [Wanted(line, timed.request(f"f/{line}", TEXT, "ann"), None) for line in (1, 2)]
    alone = Ranks(0, 1, torch.device("cpu"))
    synthesize_records(timed, wanted, tmp_path, alone)
    assert not list(tmp_path.rglob("*.srt"))
    assert synthesize_records(timed, wanted, tmp_path, alone, subtitles="srt").files == 0
    assert [path.name for path in sorted(tmp_path.rglob("*.srt"))] == ["1.srt", "2.srt"]


@pytest.mark.parametrize("speaks", ["timed", "plain"])
def test_a_script_has_subtitles_with_its_speakers(speaks: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    voice: Voice = request.getfixturevalue(speaks)
    (tmp_path / "s.txt").write_text(f"ann: {TEXT}\nbob: No.", encoding="utf-8")
    speak: Callable[..., object] = lambda format: synthesize_script(  # noqa: E731
        voice, tmp_path / "s.txt", tmp_path / "s.wav", picture=False, show_progress=False, subtitles=format
    )
    speak("srt")
    lines = (tmp_path / "s.srt").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if line and "-->" not in line and not line.isdigit()] == [
        "ann: One no.", "Two, so?", "bob: No.",
    ]  # fmt: skip
    speak("vtt")  # of audio that is finished
    assert "<v bob>No." in (tmp_path / "s.vtt").read_text(encoding="utf-8")


def test_turns_of_one_take_share_its_time(plain: Voice) -> None:
    turns = [Turn("s", 0, name, text, None, None, 0, None) for name, text in (("a", "Nooo."), ("b", "One. Two, two."))]
    take = Take(plain.request("s", "Nooo.", "ann"), turns, 0.0)
    found = list(script_subtitles(plain, [take], [(1.0, 20.0)]))
    assert [(one.speaker, one.text) for one in found] == [("a", "Nooo."), ("b", "One."), ("b", "Two, two.")]
    assert [one.start for one in found] == pytest.approx([1, 6, 11])
    assert all(one.end <= two.start + 1e-9 for one, two in itertools.pairwise(found))
