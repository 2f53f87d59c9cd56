"""Who said what when: values by hand, and properties."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eval.transcripts import (
    TranscriptSettings,
    diarization_errors,
    evaluate_transcripts,
    read_transcripts,
    speaker_edits,
    speaker_word_errors,
)
from latent.recognition.transcript import Segment
from s2s.errors import InputError

MEANT = [Segment("hello there", 0.0, 2.0, "ann"), Segment("good morning bob", 3.0, 6.0, "bob")]


def test_other_names_of_speakers_are_no_error() -> None:
    heard = [Segment("hello there", 0.0, 2.0, "1"), Segment("good morning bob", 3.0, 6.0, "0")]
    assert diarization_errors([(MEANT, heard)]).value() == 0
    assert speaker_word_errors([(MEANT, heard)], "en").value() == 0


def test_diarization_errors_are_missed_false_and_confused_time() -> None:
    one = [Segment("", 0.0, 6.0, "0")]  # bob's 3 s are right; ann's 2 s confused; 1 s of silence is false
    assert diarization_errors([(MEANT, one)]).value() == pytest.approx(100 * 3 / 5)
    assert diarization_errors([(MEANT, [])]).value() == 100
    late = [Segment("", 0.0, 2.25, "0"), Segment("", 3.0, 6.0, "1")]
    assert diarization_errors([(MEANT, late)]).value() == pytest.approx(100 * 0.25 / 5)
    assert diarization_errors([(MEANT, late)], collar=0.5).value() == pytest.approx(0)


def test_words_of_another_speaker_count_though_all_words_are_right() -> None:
    heard = [Segment("hello", 0.0, 1.0, "0"), Segment("there good morning bob", 1.0, 6.0, "1")]
    assert speaker_word_errors([(MEANT, heard)], "en").value() == pytest.approx(100 * 2 / 5)


WORDS = st.lists(st.sampled_from(["a", "b", "c"]), max_size=4).map(" ".join)


@settings(deadline=None)
@given(st.lists(WORDS, max_size=3), st.lists(WORDS, max_size=3))
def test_the_mapping_of_speakers_is_the_best_of_all(meant: list[str], heard: list[str]) -> None:
    size = max(len(meant), len(heard))
    padded = [*meant, *[""] * (size - len(meant))], [*heard, *[""] * (size - len(heard))]
    every = [
        sum(_distance(a.split(), b.split()) for a, b in zip(padded[0], order, strict=True))
        for order in itertools.permutations(padded[1])
    ]
    assert speaker_edits(meant, heard) == (min(every), sum(len(text.split()) for text in meant))


def _distance(a: list[str], b: list[str]) -> int:
    row = list(range(len(b) + 1))
    for i, left in enumerate(a, start=1):
        before, row[0] = row[0], i
        for j, right in enumerate(b, start=1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (left != right))
    return row[-1]


def write(path: Path, **recordings: list[Segment]) -> str:
    lines = [json.dumps({"id": id, "segments": [one.record() for one in said]}) for id, said in recordings.items()]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(path)


def test_files_are_matched_by_id_and_a_missing_recording_is_silence(tmp_path: Path) -> None:
    reference = write(tmp_path / "ref.jsonl", one=MEANT, two=MEANT)
    heard = write(tmp_path / "hyp.jsonl", one=MEANT)
    report = evaluate_transcripts(reference, {"half": heard}, TranscriptSettings(resamples=10))
    values = {name: found.value for name, found in report.systems[0].quality.items() if found}
    assert values == {"DER %": 50, "cpWER %": 50, "WER %": 50, "CER %": 50}
    assert report.notes == ["half: 1 of 2 recordings are missing and count as silence"]


def test_rttm_gives_who_spoke_when_and_no_words(tmp_path: Path) -> None:
    (tmp_path / "hyp.rttm").write_text(
        "SPKR-INFO one 1 <NA> <NA> <NA> unknown x <NA> <NA>\n"
        "SPEAKER one 1 0.000 2.000 <NA> <NA> x <NA> <NA>\n"
        "SPEAKER one 1 3.000 3.000 <NA> <NA> y <NA> <NA>\n",
        encoding="utf-8",
    )
    found = read_transcripts(str(tmp_path / "hyp.rttm"))
    assert found == {"one": [Segment("", 0.0, 2.0, "x"), Segment("", 3.0, 6.0, "y")]}
    assert diarization_errors([(MEANT, found["one"])]).value() == 0


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.rttm", "SPEAKER one 1 zero 2.0 <NA> <NA> x\n", r"a\.rttm:1: no SPEAKER line of RTTM"),
        ("b.rttm", "\n", "holds no transcript"),
        ("c.jsonl", '{"segments": []}\n', "'id' must be a string that no other line has"),
        ("d.jsonl", '{"id": "x", "segments": [{"text": "a"}]}\n', "segment 1: 'start' and 'end' must be seconds"),
        ("e.jsonl", '{"id": "x", "segments": ["a"]}\n', "segment 1: must have start, end, speaker and 'text'"),
        ("f.jsonl", '{"id": "x", "segments": 5}\n', "'segments' must be a list"),
    ],
)
def test_broken_files_are_told_in_one_line(tmp_path: Path, name: str, content: str, message: str) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        read_transcripts(str(tmp_path / name))
