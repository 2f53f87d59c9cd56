"""Folders that several tasks or a cluster make: those of one process, whatever is lost, missing or mixed up."""

from __future__ import annotations

import functools
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny_pictures
import tiny_voice
import torch
from command_line import error_of, unilatent
from ray_stand_in import StandIn

from latent import encoding
from latent.encoding import encode_corpus
from latent.file_job import join_file_jobs
from latent.image_encoding import encode_pictures
from latent.synthesis import records as speaking
from latent.synthesis.files import Summary
from latent.synthesis.on_cluster import synthesize_on_cluster
from latent.synthesis.records import synthesize_records
from latent.synthesis.requests import Unusable, Wanted, Wishes, read_requests
from latent.synthesis.voice import Voice
from latent.synthesis.voices import open_voice
from s2s.cluster import pool
from s2s.cluster.pool import ClusterOptions
from s2s.durable import claimed
from s2s.errors import InputError
from s2s.generation.job_array import Shard
from s2s.generation.shard_folders import folders_of
from s2s.ranks import Ranks
from unilatent.commands.join import join

ALONE = Ranks(0, 1, torch.device("cpu"))
OPTIONS = ["decoder.num_inference_steps=2", "decoder.stop_threshold=0.9", "decoder.min_frames=4"]
TEXTS = ["One.", "Two, and more.", "Three", "Four is a longer line.", "Five", "Six."]
CLUSTER = ClusterOptions(workers=2, device="cpu")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("voice")
    tiny_voice.write_voice(folder)
    return folder


@pytest.fixture(scope="module")
def voice(home: Path) -> Voice:
    return open_voice(home / "voice", overrides=OPTIONS)


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    records: list[dict[str, Any]] = [
        {"id": f"r{row}", "text": text, "speaker": "ann"} for row, text in enumerate(TEXTS)
    ]
    records.insert(3, {"id": "bad", "text": "So.", "speaker": "nobody"})
    (tmp_path / "lines.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    return tmp_path / "lines.jsonl"


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Callable[..., StandIn]:
    def install(*arguments: Any) -> StandIn:
        stand_in = StandIn(*arguments)
        monkeypatch.setattr(pool.packages, "load", lambda module, extra: stand_in)
        return stand_in

    return install


def read(voice: Voice, lines: Path) -> list[Wanted | Unusable]:
    return read_requests(voice, lines, Wishes())


def speak(voice: Voice, lines: Path, folder: Path, shard: Shard | None = None, **options: Any) -> Summary:
    return synthesize_records(voice, read(voice, lines), folder, ALONE, max_rows=2, shard=shard, **options)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("count", [1, 2, 5])
def test_joined_speech_is_the_folder_of_one_process(voice: Voice, lines: Path, tmp_path: Path, count: int) -> None:
    whole, output = tmp_path / "whole", tmp_path / "speech"
    speak(voice, lines, whole, subtitles="srt")
    made = [speak(voice, lines, output, Shard(number, count), subtitles="srt") for number in range(1, count + 1)]
    assert sum(summary.files for summary in made) == 6
    join(output, remove=True)
    assert tiny_voice.contents(output) == tiny_voice.contents(whole)
    assert len([*tmp_path.iterdir()]) == 3, "the shards are removed"
    assert speak(voice, lines, output, subtitles="srt").kept == 6, "one process finds it finished"


def test_a_shard_that_was_killed_goes_on_and_missing_ones_are_listed(
    voice: Voice, lines: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "speech"
    speak(voice, lines, output, Shard(1, 3))
    with pytest.raises(InputError, match=r"speech: of 3 shards, 2 are missing: 2-3; run them, then join again"):
        folders_of(output)
    with monkeypatch.context() as patch:
        patch.setattr(speaking, "write_audio", lambda *given: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            speak(voice, lines, output, Shard(2, 3))
    speak(voice, lines, output, Shard(3, 3))
    with pytest.raises(InputError, match=r"speech: of 3 shards, 1 are not finished: 2; run them, then join again"):
        folders_of(output)
    assert not output.exists()
    speak(voice, lines, output, Shard(2, 3))
    join(output)
    speak(voice, lines, tmp_path / "whole")
    assert tiny_voice.contents(output) == tiny_voice.contents(tmp_path / "whole")


def test_shards_that_do_not_belong_together_are_refused(voice: Voice, lines: Path, tmp_path: Path) -> None:
    output = tmp_path / "speech"
    speak(voice, lines, output, Shard(1, 2))
    lines.write_text(lines.read_text().replace("Five", "Fifty-five"))
    speak(voice, lines, output, Shard(2, 2))
    with pytest.raises(InputError, match=r"speech\.shard-2-of-2: is of another job than speech\.shard-1-of-2: input"):
        folders_of(output)
    speak(voice, lines, output, Shard(1, 2), overwrite=True)
    output.mkdir()
    (output / "r1.wav").write_text("mine")
    with pytest.raises(InputError, match=r"speech/r1\.wav: exists already; give --overwrite"):
        join_file_jobs(output, folders_of(output), overwrite=False)
    with claimed(output, output / ".synthesis.lock"), pytest.raises(InputError, match="another process is writing it"):
        join(output)
    (output / "r1.wav").unlink()
    join(output)
    with pytest.raises(InputError, match=r"speech/manifest\.jsonl: exists already"):
        join(output)
    join(output, overwrite=True)


def test_a_cluster_speaks_what_one_process_speaks(
    home: Path, voice: Voice, lines: Path, tmp_path: Path, use: Callable[..., StandIn]
) -> None:
    open = functools.partial(open_voice, home / "voice", overrides=OPTIONS)
    ray, output = use(lambda call: call == 2), tmp_path / "speech"

    def on_cluster(**options: Any) -> Summary:
        return synthesize_on_cluster(open, voice, read(voice, lines), output, CLUSTER, max_rows=2, **options)

    assert on_cluster().files == 6
    assert ray.hired == 3
    speak(voice, lines, tmp_path / "whole")
    assert tiny_voice.contents(output) == tiny_voice.contents(tmp_path / "whole")
    (output / "r4.wav").unlink()
    assert (on_cluster().kept, ray.hired) == (5, 5), "the same call makes what is not there"
    assert (on_cluster().kept, ray.hired) == (6, 5), "a finished job starts no worker"
    on_cluster(overwrite=True, shard=Shard(1, 2))
    with claimed(output, output / ".synthesis.lock"), pytest.raises(InputError, match="another process is writing it"):
        on_cluster()


@pytest.mark.parametrize("count", [1, 3, 7])
def test_joined_latents_are_the_store_of_one_process(home: Path, tmp_path: Path, count: int) -> None:
    manifest, run, output = next(home.rglob("manifest.jsonl")), home / "tokenizer", tmp_path / "latents"
    encode_corpus([manifest], run, tmp_path / "whole")
    for number in range(1, count + 1):
        encode_corpus([manifest], run, output, shard=Shard(number, count))
    join(output, remove=True)
    assert contents(output) == contents(tmp_path / "whole")
    with pytest.raises(InputError, match="no shard of it is there"):
        join(output)


def test_shards_of_latents_are_missing_changed_or_of_another_corpus(home: Path, tmp_path: Path) -> None:
    manifest, output = next(home.rglob("manifest.jsonl")), tmp_path / "latents"
    encode_corpus([manifest], home / "tokenizer", output, shard=Shard(2, 2))
    with pytest.raises(InputError, match="of 2 shards, 1 are missing: 1;"):
        join(output)
    other = tmp_path / "other.jsonl"
    records = [json.loads(line) for line in manifest.read_text().splitlines()]
    other.write_text(
        "".join(
            json.dumps({**one, "audio": str(manifest.parent / one["audio"]), "text": "So."}) + "\n" for one in records
        )
    )
    encode_corpus([other], home / "tokenizer", output, shard=Shard(1, 2))
    with pytest.raises(InputError, match=r"is of another job than latents\.shard-1-of-2: recordings differs"):
        join(output)
    encode_corpus([manifest], home / "tokenizer", output, shard=Shard(1, 2))
    join(output)
    with pytest.raises(InputError, match="latents: already has latents; give --overwrite"):
        join(output)
    join(output, overwrite=True)


def test_a_cluster_encodes_what_one_process_encodes(home: Path, tmp_path: Path, use: Callable[..., StandIn]) -> None:
    manifest = next(home.rglob("manifest.jsonl"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encoding, "_WINDOW", 1)
        use(lambda call: call in (1, 3))
        encode_corpus([manifest], home / "tokenizer", tmp_path / "on", cluster=CLUSTER)
    encode_corpus([manifest], home / "tokenizer", tmp_path / "alone")
    assert contents(tmp_path / "on") == contents(tmp_path / "alone")


def test_pictures_are_encoded_by_shards_and_on_a_cluster(tmp_path: Path, use: Callable[..., StandIn]) -> None:
    store = tiny_pictures.write_store(tmp_path, copies=3)
    given = [tmp_path / "pictures/pictures.jsonl"], tmp_path / "tokenizer"
    for number in (1, 2, 3):
        encode_pictures(*given, tmp_path / "divided", shard=Shard(number, 3))
    join(tmp_path / "divided", remove=True)
    found = contents(tmp_path / "divided")
    expected = contents(store)
    assert found["index.jsonl"] == expected["index.jsonl"]
    assert found.keys() == expected.keys()
    use(lambda call: call == 1)
    encode_pictures(*given, tmp_path / "on", cluster=CLUSTER)
    assert contents(tmp_path / "on") == expected


def test_the_commands_divide_and_refuse_in_one_line(
    home: Path, lines: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output, voice = str(tmp_path / "speech"), str(home / "voice")
    for number in (1, 2):
        unilatent("synthesize", voice, *OPTIONS, "--input", lines, "--output", output, "--shard", f"{number}/2")
    unilatent("join", output, "--remove")
    assert "2 shards, 6 files, 1 records could not be used" in capsys.readouterr().err
    assert "--shard: divides the records of a file" in error_of("synthesize", voice, "--text", "So.", "--shard", "1/2")
    assert "--ray: shares the records of a file" in error_of("synthesize", voice, "--text", "So.", "--ray", "local")
    shutil.rmtree(output)
    Path(f"{output}.shard-1-of-1").mkdir()
    assert "of 1 shards, 1 are not finished: 1" in error_of("join", output)
    Path(f"{output}.shard-1-of-1/shard.json").write_text("{}")
    assert "shard.json: is not the note of a shard" in error_of("join", output)
    note = {"kind": "soup", "job": {}, "facts": {}}
    Path(f"{output}.shard-1-of-1/shard.json").write_text(json.dumps(note))
    assert "shards of 'soup': are none that this version joins" in error_of("join", output)
