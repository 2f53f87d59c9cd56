"""Speech in files: complete or absent, the same however often a job is stopped, and marked as synthetic."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import torch

pytest.importorskip("soundfile")
import tiny_voice

from latent.audio.files import load_audio, write_audio
from latent.data.speech_prompts import derived_seed
from latent.synthesis import provenance
from latent.synthesis import records as speaking
from latent.synthesis.consent import consent_path, read_with_consent
from latent.synthesis.files import Summary, synthesize_text
from latent.synthesis.provenance import describe_origin, read_tags, synthetic_tags
from latent.synthesis.records import synthesize_records
from latent.synthesis.requests import Unusable, Wanted, Wishes, file_name, read_requests, saying_of
from latent.synthesis.saying import Saying
from latent.synthesis.voice import Voice
from latent.synthesis.voices import open_voice
from latent.text.byte_text import ByteFrontEnd
from latent.text.front_end import Reading
from s2s.durable import claimed
from s2s.errors import InputError
from s2s.ranks import Ranks

ALONE = Ranks(0, 1, torch.device("cpu"))
OPTIONS = ["decoder.num_inference_steps=2", "decoder.stop_threshold=0.9", "decoder.min_frames=4"]
TEXTS = ["One.", "Two, and more.", "Three", "Four is a longer line.", "Five", "Six."]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("voice")
    tiny_voice.write_voice(folder)
    return folder


@pytest.fixture(scope="module")
def voice(home: Path) -> Voice:
    return open_voice(home / "voice", overrides=OPTIONS)


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    noise = np.random.default_rng(5).standard_normal(1500).astype(np.float32)
    write_audio(tmp_path / "me.wav", 0.1 * noise, tiny_voice.RATE)
    return tmp_path / "me.wav"


def write_lines(path: Path, *records: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    records = [{"id": f"r{row}", "text": text, "speaker": "ann"} for row, text in enumerate(TEXTS)]
    return write_lines(tmp_path / "lines.jsonl", *records)


def run(voice: Voice, lines: Path, folder: Path, ranks: Ranks = ALONE, **options: Any) -> Summary:
    wishes = Wishes(seed=options.pop("seed", 0))
    return synthesize_records(voice, read_requests(voice, lines, wishes), folder, ranks, max_rows=2, **options)


def manifest(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]


def test_every_record_becomes_a_file_and_a_line_of_the_manifest(voice: Voice, lines: Path, tmp_path: Path) -> None:
    summary = run(voice, lines, tmp_path / "out")
    entries = manifest(tmp_path / "out")
    assert [entry["id"] for entry in entries] == [f"r{row}" for row in range(6)]
    assert [entry["text"] for entry in entries] == TEXTS
    assert len({entry["seed"] for entry in entries}) == 6
    assert 0 < sum(entry["work_seconds"] for entry in entries) <= summary.seconds * summary.real_time_factor + 0.01
    for entry in entries:
        samples = load_audio(tmp_path / "out" / entry["audio"], tiny_voice.RATE)
        assert len(samples) / tiny_voice.RATE == pytest.approx(entry["seconds"])
        request = voice.request("x", entry["text"], entry["speaker"], seed=entry["seed"])
        np.testing.assert_allclose(samples, np.clip(voice.say(request).samples, -1, 1), atol=2e-3)
    assert summary.files == 6
    assert summary.seconds == pytest.approx(sum(entry["seconds"] for entry in entries))
    assert sorted(tiny_voice.contents(tmp_path / "out")) == ["manifest.jsonl", *(f"r{row}.wav" for row in range(6))]
    assert not (tmp_path / "out/.synthesis").exists()


@pytest.mark.parametrize("stop_after", [0, 1, 4])
def test_a_stopped_job_ends_with_the_bytes_of_one_that_was_not(
    voice: Voice, lines: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop_after: int
) -> None:
    run(voice, lines, tmp_path / "whole")
    written = 0

    def stopping(*arguments: Any) -> None:
        nonlocal written
        if written == stop_after:
            raise KeyboardInterrupt
        written += 1
        write_audio(*arguments)

    monkeypatch.setattr(speaking, "write_audio", stopping)
    with pytest.raises(KeyboardInterrupt):
        run(voice, lines, tmp_path / "stopped")
    assert not (tmp_path / "stopped/manifest.jsonl").exists()
    assert len(list((tmp_path / "stopped").glob("r*.wav"))) == stop_after
    monkeypatch.undo()
    summary = run(voice, lines, tmp_path / "stopped")
    assert (summary.files, summary.kept) == (6 - stop_after, stop_after)
    assert tiny_voice.contents(tmp_path / "stopped") == tiny_voice.contents(tmp_path / "whole")
    assert run(voice, lines, tmp_path / "stopped").kept == 6


def test_lines_that_are_added_are_all_that_is_said_again(voice: Voice, lines: Path, tmp_path: Path) -> None:
    run(voice, lines, tmp_path / "out")
    before = {name: found for name, found in tiny_voice.contents(tmp_path / "out").items() if name.endswith(".wav")}
    with lines.open("a") as file:
        file.write(json.dumps({"id": "new", "text": "And this", "speaker": "bob"}) + "\n")
    summary = run(voice, lines, tmp_path / "out")
    assert (summary.files, summary.kept) == (1, 6)
    after = tiny_voice.contents(tmp_path / "out")
    assert before == {name: after[name] for name in before}
    assert manifest(tmp_path / "out")[-1]["id"] == "new"


def test_ranks_share_the_work_and_leave_what_one_process_leaves(voice: Voice, lines: Path, tmp_path: Path) -> None:
    class Sequential(Ranks):
        """Ranks one after the other in one process: what the others gave is handed to the last."""

        def gather(self, values: list[Any]) -> list[Any]:
            return values

        def sum(self, values: Any) -> list[float]:
            return list(values)

    run(voice, lines, tmp_path / "one")
    second, first = (Sequential(rank, 2, torch.device("cpu")) for rank in (1, 0))
    (tmp_path / "two/.synthesis").mkdir(parents=True)
    assert run(voice, lines, tmp_path / "two", second).files == 2
    assert run(voice, lines, tmp_path / "two", first).files == 4
    assert tiny_voice.contents(tmp_path / "two") == tiny_voice.contents(tmp_path / "one")


def test_files_of_another_job_are_not_replaced_unless_asked(voice: Voice, lines: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(voice, lines, out)
    with pytest.raises(InputError, match=r"r0\.wav: exists already, and is not of this job; give --overwrite"):
        run(voice, lines, out, seed=1)
    before = tiny_voice.contents(out)
    assert run(voice, lines, out, seed=1, overwrite=True).files == 6
    assert all(tiny_voice.contents(out)[name] != before[name] for name in before)


def test_one_job_at_a_time_writes_a_folder(voice: Voice, lines: Path, tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "out"
    folder.mkdir(parents=True)
    lock = folder / ".synthesis.lock"  # in the folder: the one around it may be read-only
    with claimed(folder, lock), pytest.raises(InputError, match=r"deep/out: another process is writing it"):
        run(voice, lines, folder)
    assert run(voice, lines, folder).files == 6
    assert [path.name for path in folder.parent.iterdir()] == ["out"]
    assert not lock.exists()


def test_records_may_go_into_the_folder_one_is_in(
    voice: Voice, lines: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert run(voice, lines, Path(".")).files == 6


def test_one_job_at_a_time_writes_a_text(voice: Voice, tmp_path: Path) -> None:
    saying = saying_of(voice, "So.", Wishes(speaker="ann"), 16)
    with claimed(tmp_path / "a.wav"), pytest.raises(InputError, match=r"a\.wav: another process is writing it"):
        synthesize_text(voice, saying, tmp_path / "a.wav")


def test_a_full_disk_stops_the_job_and_nothing_half_has_a_final_name(
    voice: Voice, lines: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from latent.audio import growing_wav

    monkeypatch.setattr(growing_wav.GrowingWav, "_write", _full_after(growing_wav.GrowingWav._write, 1000))
    with pytest.raises(InputError, match="cannot be written: No space left on device"):
        run(voice, lines, tmp_path / "out")
    for path in (tmp_path / "out").glob("r*.wav"):
        load_audio(path, tiny_voice.RATE)
    monkeypatch.undo()
    assert run(voice, lines, tmp_path / "out").failed == 0
    assert len(manifest(tmp_path / "out")) == 6


def _full_after(write: Any, most: int) -> Any:
    def limited(self: Any, content: bytes) -> None:
        nonlocal most
        header = content.startswith(b"RIFF")  # written in place, which needs no space
        most -= 0 if header else len(content)
        if most < 0 and not header:
            raise OSError(28, "No space left on device")
        write(self, content)

    return limited


def test_records_that_cannot_be_said_are_noted_and_the_others_said(
    voice: Voice, tmp_path: Path, recording: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lines = tmp_path / "lines.jsonl"
    lines.write_text(
        '{"id": "a", "text": "Good.", "speaker": "ann"}\n'
        "{broken\n"
        '{"id": "b", "speaker": "ann"}\n'
        '{"id": "c", "text": "  ", "speaker": "ann"}\n'
        '{"id": "d", "text": "x", "speaker": "annn"}\n'
        '{"id": "a", "text": "x", "speaker": "ann"}\n'
        '{"id": "../e", "text": "x", "speaker": "ann"}\n'
        '{"id": "f", "text": 3, "speaker": "ann"}\n'
        '{"id": "g", "text": "x", "speaker": "ann", "seed": "one"}\n'
        '{"id": "h", "text": "x", "voice": "me.wav"}\n'
        '{"id": "i", "text": "x", "speaker": 5}\n'
        '{"id": ["j"], "text": "x"}\n'
        '{"text": "Named by its line.", "speaker": "bob"}\n'
    )
    summary = run(voice, lines, tmp_path / "out")
    assert (summary.files, summary.failed) == (2, 11)
    assert str(summary).endswith(", 11 not usable, see errors.jsonl there")
    errors = [json.loads(line) for line in (tmp_path / "out/errors.jsonl").read_text().splitlines()]
    assert [error["line"] for error in errors] == list(range(2, 13))
    told = [error["error"] for error in errors]
    assert told[0].startswith("broken JSON")
    assert told[1] == "'text' is missing; found 'id', 'speaker'"
    assert told[2] == "'text' is empty; expected something to say"
    assert told[3] == "no speaker is called 'annn'. Did you mean 'ann'?"
    assert told[4] == "'id' 'a' is that of line 1; ids must differ, not only in case"
    assert told[5] == "'id' becomes the name of a file and cannot be a string (\"../e\")"
    assert told[6] == "'text' must be a string, found a number (3)"
    assert told[7] == "'seed' must be a whole number, found a string (\"one\")"
    assert "me.wav: a voice prompt needs the consent of the person who speaks" in told[8]
    assert f"if you have it, give --consent-for {recording}" in caplog.text
    assert told[9] == "'speaker' must be a string, found a number (5)"
    assert told[10] == "'id' must be a string or a whole number, found a list ([\"j\"])"
    assert [entry["id"] for entry in manifest(tmp_path / "out")] == ["a", "13"]
    with pytest.raises(InputError, match=r"lines\.jsonl:2: broken JSON"):
        read_requests(voice, lines, Wishes(), strict=True)


def test_wishes_that_no_record_can_have_stop_at_once(voice: Voice, lines: Path, recording: Path) -> None:
    with pytest.raises(InputError, match=r"^no speaker is called 'eve'"):
        read_requests(voice, lines, Wishes(speaker="eve"))
    with pytest.raises(InputError, match=r"me\.wav: a voice prompt needs the consent"):
        read_requests(voice, lines, Wishes(prompt=recording))
    with pytest.raises(InputError, match=r"none\.jsonl: cannot be read: No such file"):
        read_requests(voice, recording.parent / "none.jsonl", Wishes())
    (recording.parent / "empty.jsonl").write_text("\n\n")
    with pytest.raises(InputError, match=r"empty\.jsonl: the file is empty"):
        read_requests(voice, recording.parent / "empty.jsonl", Wishes())


def test_a_voice_without_prompts_neither_asks_for_consent_nor_notes_it(
    voice: Voice, recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(voice, "voice_frames", 0)
    for consented in ((), (recording,)):
        with pytest.raises(InputError, match=r"me\.wav: this model was trained without voice prompts"):
            saying_of(voice, "x", Wishes(prompt=recording, consented=consented), 16)
    assert not consent_path(recording).exists()


def test_a_record_has_its_own_voice_speaker_seed_and_temperature(voice: Voice, tmp_path: Path, recording: Path) -> None:
    lines = write_lines(
        tmp_path / "own.jsonl",
        {"id": "own", "text": "x", "voice": "me.wav", "seed": 9, "temperature": 0.5},
        {"id": "all", "text": "x"},
    )
    own, all_ = read_requests(voice, lines, Wishes("bob", None, 3, 0.8, consented=(recording,)))
    assert isinstance(own, Wanted)
    assert isinstance(all_, Wanted)
    assert (own.request.speaker, own.request.seed, own.request.temperature) == (None, 9, 0.5)
    assert own.prompt == recording
    assert (all_.request.speaker, all_.request.seed, all_.request.temperature) == ("bob", derived_seed(3, "all"), 0.8)
    assert all_.request.voice is None


def test_an_id_with_slashes_is_a_file_in_a_folder(voice: Voice, tmp_path: Path) -> None:
    lines = write_lines(tmp_path / "in.jsonl", {"id": "en/a", "text": "One.", "speaker": "ann"})
    assert run(voice, lines, tmp_path / "out").files == 1
    assert manifest(tmp_path / "out")[0]["audio"] == "en/a.wav"
    assert load_audio(tmp_path / "out/en/a.wav", tiny_voice.RATE).any()
    assert run(voice, lines, tmp_path / "out").kept == 1
    for bad in (
        "/a",
        "a/",
        "a//b",
        "a/../b",
        ".a",
        "a\\b",
        "a\n",
        " ",
        "CON",
        "nul.x",
        "con .x",
        "lpt¹",
        "a./b",
        "a ",
        "x.wav/y",
        "x.FLAC/y",
    ):
        with pytest.raises(InputError, match="'id' becomes the name of a file and cannot be a string"):
            file_name(bad)
    with pytest.raises(InputError, match="must not be longer than 200 bytes"):
        file_name("ä" * 101)


def test_what_training_never_named_is_counted(
    voice: Voice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    reads = ByteFrontEnd.read

    def spelling(self: ByteFrontEnd, text: str) -> Reading:
        guessed = {word: "K W AH1 K S" for word in text.split() if word == "quux"}
        return replace(reads(self, text), spelled=[sign for sign in text if sign in "€ß"], guessed=guessed)

    monkeypatch.setattr(ByteFrontEnd, "read", spelling)
    for number, text in enumerate(("Straße", "a quux")):
        saying = saying_of(voice, text, Wishes(speaker="ann"), 16)
        synthesize_text(voice, saying, tmp_path / f"{number}.wav")
    lines = write_lines(tmp_path / "in.jsonl", {"text": "3 € or 4 €"}, {"text": "Fuß"})
    read_requests(voice, lines, Wishes(speaker="ann"))
    assert caplog.messages == [
        "1 out-of-vocabulary word, spelled out letter by letter or read by name: ß (1x)",
        "1 out-of-vocabulary word, said by a guess: quux as [[K W AH1 K S]] (1x)",
        "2 out-of-vocabulary words, spelled out letter by letter or read by name: € (2x), ß (1x)",
    ]


def test_an_unexpected_error_stops_one_record(
    voice: Voice, lines: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    says, requests = speaking.speak, type(voice).request

    def failing(voice: Voice, requests: Any, meter: Any) -> Iterator[Any]:
        for row, spoken in says(voice, requests, meter):
            if spoken.request.id == "r3":
                raise RuntimeError("no memory")
            yield row, spoken

    def refusing(self: Voice, id: str, *arguments: Any) -> Any:
        if id == "r5":
            raise ValueError("too odd")
        return requests(self, id, *arguments)

    monkeypatch.setattr(speaking, "speak", failing)
    monkeypatch.setattr(type(voice), "request", refusing)
    summary = run(voice, lines, tmp_path / "out")
    assert (summary.files, summary.failed) == (4, 2)
    errors = [json.loads(line) for line in (tmp_path / "out/errors.jsonl").read_text().splitlines()]
    assert [error["error"] for error in errors] == [
        "unexpected RuntimeError: no memory",
        "unexpected ValueError: too odd",
    ]
    with pytest.raises(InputError, match=r"lines.jsonl:6: unexpected ValueError: too odd"):
        read_requests(voice, lines, Wishes(), strict=True)


def test_names_that_differ_in_case_alone_are_refused(voice: Voice, tmp_path: Path) -> None:
    lines = write_lines(tmp_path / "in.jsonl", *({"id": id, "text": "So.", "speaker": "ann"} for id in ("A", "b", "a")))
    bad = read_requests(voice, lines, Wishes())[2]
    assert isinstance(bad, Unusable)
    assert bad.error == "'id' 'a' is that of line 1; ids must differ, not only in case"


def test_speech_that_diverged_is_an_error_of_its_record_alone(
    voice: Voice, lines: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    says = speaking.speak

    def diverging(*arguments: Any) -> Iterator[Any]:
        for row, spoken in says(*arguments):
            if spoken.request.id == "r3":
                spoken.samples[5] = np.nan
            yield row, spoken

    monkeypatch.setattr(speaking, "speak", diverging)
    records = [*read_requests(voice, lines, Wishes()), Unusable(9, "z", "nothing")]
    summary = synthesize_records(voice, records, tmp_path / "out", ALONE)
    assert (summary.files, summary.failed) == (5, 2)
    errors = [json.loads(line) for line in (tmp_path / "out/errors.jsonl").read_text().splitlines()]
    assert errors[0] == {"line": 4, "id": "r3", "error": "diverged: the samples must be finite numbers, at least one"}


def test_one_text_goes_into_one_file(voice: Voice, tmp_path: Path) -> None:
    def request() -> Saying:
        return saying_of(voice, "Good morning.", Wishes(speaker="ann", seed=4), 16)

    summary = synthesize_text(voice, request(), tmp_path / "new/out.wav")
    assert summary.files == 1
    said = voice.say("Good morning.", "ann", seed=4).samples
    np.testing.assert_allclose(load_audio(tmp_path / "new/out.wav", 2000), np.clip(said, -1, 1), atol=1e-3)
    assert summary.seconds == pytest.approx(len(said) / 2000)
    assert 0 < summary.first_audio < summary.seconds * summary.real_time_factor
    assert re.search(r"real-time factor \d+\.\d\d, first audio after \d+\.\d\d s", str(summary))
    with pytest.raises(InputError, match=r"out\.wav: exists already; give --overwrite"):
        synthesize_text(voice, request(), tmp_path / "new/out.wav")
    synthesize_text(voice, request(), tmp_path / "new/out.wav", overwrite=True)
    with pytest.raises(InputError, match=r"out\.mp3: the suffix must be one of \.wav, \.flac, \.ogg, found '\.mp3'"):
        synthesize_text(voice, request(), tmp_path / "out.mp3")


def test_speech_that_never_ends_leaves_a_valid_file_and_a_warning(
    home: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    endless = open_voice(home / "voice", overrides=["decoder.num_inference_steps=1", "decoder.stop_threshold=1"])
    summary = synthesize_text(endless, endless.saying("So.", "ann"), tmp_path / "out.wav")
    assert summary.cut == 1
    assert str(summary).endswith(", 1 truncated")
    assert "text: did not end naturally and was truncated" in caplog.text
    assert len(load_audio(tmp_path / "out.wav", 2000)) > 4000


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg"])
def test_every_file_says_that_it_is_synthetic(voice: Voice, lines: Path, tmp_path: Path, suffix: str) -> None:
    run(
        voice,
        write_lines(tmp_path / "one.jsonl", json.loads(lines.read_text().splitlines()[0])),
        tmp_path,
        suffix=suffix,
    )
    (entry,) = manifest(tmp_path)
    tags = read_tags(tmp_path / f"r0{suffix}")
    today, weights = date.today().isoformat(), voice.fingerprint()["model"]
    assert (
        f"Synthetic speech, not a recording. Model voice ({weights}), seed {entry['seed']}, {today}" in tags["comment"]
    )
    assert tags["date"] == today
    assert tags["software"].startswith("unilatent ")


def test_tags_hold_what_they_are_given(tmp_path: Path) -> None:
    tags = synthetic_tags("größe", "00ff", 7, date(2026, 1, 2))
    write_audio(tmp_path / "x.wav", np.zeros(5, np.float32), 8000, tags)
    assert read_tags(tmp_path / "x.wav") == tags
    with pytest.raises(InputError, match=r"y\.wav: no such audio file"):
        read_tags(tmp_path / "y.wav")


def test_origin_is_told_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent() -> None:
        raise InputError("not installed")

    write_audio(tmp_path / "x.wav", np.zeros(5, np.float32), 8000, synthetic_tags("voice", "00ff", 7))
    write_audio(tmp_path / "y.wav", np.zeros(5, np.float32), 8000, {"artist": "me"})
    monkeypatch.setattr(provenance.Watermark, "load", absent)
    assert describe_origin(tmp_path / "x.wav").startswith(
        "Synthetic speech, not a recording. Model voice (00ff), seed 7"
    )
    assert describe_origin(tmp_path / "y.wav").startswith("artist: me Watermark: not looked for")
    always = type("Always", (), {"confidence": lambda self, samples, rate: 0.987})
    monkeypatch.setattr(provenance.Watermark, "load", always)
    assert describe_origin(tmp_path / "y.wav").endswith("Watermark: 0.99 (0 none, 1 certain).")


def test_audio_is_what_consent_was_given_for(voice: Voice, recording: Path) -> None:
    """The recording is read once: what takes its place afterwards is not spoken with."""
    content = read_with_consent(recording, given=True)
    before = voice.prompt(recording)
    write_audio(recording, np.full(3000, 0.2, np.float32), 2000)
    np.testing.assert_array_equal(voice.prompt(content), before)
    assert str(content) == str(recording)


def test_a_note_of_consent_follows_no_link(recording: Path, tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("mine")
    consent_path(recording).symlink_to(tmp_path / "precious")
    read_with_consent(recording, given=True)
    assert (tmp_path / "precious").read_text() == "mine"


def test_consent_is_asked_once_for_each_recording(recording: Path, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(InputError, match=r"needs the consent of the person who speaks; .* --consent-for"):
        read_with_consent(recording, given=False)
    read_with_consent(recording, given=True)
    read_with_consent(recording, given=False)
    assert json.loads(consent_path(recording).read_text())["consent"].startswith("The person who speaks")
    write_audio(recording, np.full(900, 0.2, np.float32), 2000)
    with pytest.raises(InputError, match="needs the consent"):
        read_with_consent(recording, given=False)
    consent_path(recording).write_text("broken")
    with pytest.raises(InputError, match="needs the consent"):
        read_with_consent(recording, given=False)
    with pytest.raises(InputError, match=r"gone\.wav: cannot be read: No such file"):
        read_with_consent(recording.with_name("gone.wav"), given=True)
    consent_path(recording).unlink()
    consent_path(recording).mkdir()
    read_with_consent(recording, given=True)
    assert "consent will be asked for again" in caplog.text


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".txt", ".jsonl.gz"])
def test_records_may_come_in_any_format_that_decode_reads(voice: Voice, tmp_path: Path, suffix: str) -> None:
    texts, source = ["So.", "Two, three."], tmp_path / f"lines{suffix}"
    if suffix == ".txt":
        source.write_text("So.\n\nTwo, three.\n", encoding="utf-8")
    elif suffix == ".csv":
        source.write_text('text,speaker,seed\nSo.,,7\n"Two, three.",,7\n', encoding="utf-8")
    elif suffix == ".parquet":
        pyarrow.parquet.write_table(pyarrow.table({"text": texts, "seed": [7, 7]}), source)
    else:
        source.write_bytes(gzip.compress("".join(json.dumps({"text": text}) + "\n" for text in texts).encode()))
    wanted = read_requests(voice, source, Wishes(speaker="ann", seed=7))
    assert all(isinstance(each, Wanted) for each in wanted)
    assert [each.request.text for each in wanted] == texts  # type: ignore[union-attr]
    if suffix in (".csv", ".parquet"):
        assert [each.request.seed for each in wanted] == [7, 7]  # type: ignore[union-attr]
