"""Recordings to a speech corpus: audio cut, leveled and at one rate; manifests split by text; a data card."""

from __future__ import annotations

import hashlib
import logging
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from data_prep.corpus_files import publish_together, split_of_text
from data_prep.corpus_writer import SPLITS, listed
from data_prep.spoken_text import normal_form, spell_out
from latent.audio.files import Samples, checked, load_audio, write_audio
from latent.audio.levels import normalize_loudness, trim_silence
from latent.audio.resampling import resample
from latent.text.spoken import plain
from s2s.durable import WAY_OUT, claimed, read_journal, write_whole, writing
from s2s.errors import InputError
from s2s.generation.job_array import Shard
from s2s.generation.shard_folders import ShardFolder, begin_shard, link_files
from s2s.json_files import dump_json
from s2s.packages import load

SPEECH = "speech corpus"
"""What the folder of a shard holds."""
_CLIPS = "clips.jsonl"
_G722_RATE, _G722_BITS = 16000, 64000

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Recording:
    """One recording as a corpus has it, and its text.

    Args:
        id: Unique in the corpus; also the path of its audio, with parts separated by "/".
        audio: A file in any format that soundfile reads, or .g722.
        language: Code of two letters.
        split: The corpus's own split, if it has one.
        start: Where in the file it begins, in seconds.
        stop: Where it ends; None: at the end of the file.
    """

    id: str
    audio: Path
    text: str
    speaker: str
    language: str
    split: str | None = None
    start: float = 0.0
    stop: float | None = None


@dataclass(frozen=True)
class SpeechOptions:
    """What is done to recordings, and which are kept.

    Args:
        sample_rate: Sample rate of the corpus in Hz.
        trim_db: Cut ends this far below the loudest frame; 0: cut nothing.
        loudness_dbfs: Root-mean-square level of every recording; 0: as recorded.
        min_seconds, max_seconds: Leave out recordings that are shorter or longer after the cut.
        min_characters_per_second: Fewer suggest that the text lacks words.
        max_characters_per_second: More suggest that the text has words that are not in the audio.
        spell_out: Write numbers and signs as words.
        valid_percent, test_percent: Share of texts for these splits, where the corpus has none of its own.
        jobs: Threads.
    """

    sample_rate: int = 24000
    trim_db: float = 40.0
    loudness_dbfs: float = -25.0
    min_seconds: float = 0.3
    max_seconds: float = 30.0
    min_characters_per_second: float = 3.0
    max_characters_per_second: float = 30.0
    spell_out: bool = True
    valid_percent: int = 5
    test_percent: int = 5
    jobs: int = 2

    def __post_init__(self) -> None:
        if not 4000 <= self.sample_rate <= 192_000:
            raise InputError(f"--sample-rate: must be 4000 to 192000 Hz, found {self.sample_rate}")
        if not -120 <= self.loudness_dbfs <= 0:
            raise InputError(f"--loudness-dbfs: must be -120 to 0 (off), found {self.loudness_dbfs:g}")
        if not 0 < self.min_seconds <= self.max_seconds:
            bounds = f"{self.min_seconds:g} and {self.max_seconds:g}"
            raise InputError(f"--min-seconds and --max-seconds: must be above 0 and in this order, found {bounds}")
        if self.valid_percent < 0 or self.test_percent < 0 or self.valid_percent + self.test_percent >= 100:
            shares = f"{self.valid_percent} and {self.test_percent}"
            raise InputError(f"--valid-percent and --test-percent: must leave something to train on, found {shares}")


@dataclass(frozen=True)
class Clip:
    """One line of a manifest; the path of the audio is relative to the manifest's folder."""

    id: str
    audio: str
    seconds: float
    text: str
    speaker: str
    language: str
    alignment: Sequence[Sequence[object]] | None = None
    """When each unit of the text sounds, `[unit, start, end]` in seconds; known for synthesized speech."""

    def record(self) -> dict[str, object]:
        """The object of its line in JSON."""
        return {name: value for name, value in asdict(self).items() if value is not None}


def write_speech_corpus(
    recordings: Iterable[Recording],
    folder: str | Path,
    options: SpeechOptions,
    title: str,
    about: Sequence[str],
    skipped: Counter[str],
    shard: Shard | None = None,
) -> str:
    """Write OUT/audio/ID.flac, OUT/{train,valid,test}.jsonl and OUT/DATA_CARD.md; the manifests come last, together.

    Args:
        recordings: In the order of the manifests.
        folder: OUT; made if missing. An older corpus there is replaced.
        options: What to do to the recordings.
        title: First line of the data card.
        about: Paragraphs of the data card: origin, license.
        skipped: Reasons why recordings were left out before; more are added.
        shard: Write a part of the recordings alone, into a folder of its own, which `join_speech_corpora` reads.

    Returns:
        A summary in one line.

    Raises:
        InputError: the folder cannot be written, two recordings have the same id, or none is left.
    """
    kept = _split_by_text(_with_plain_texts(recordings, options, skipped), options, skipped)
    part, folder = (kept, Path(folder)) if shard is None else (shard.part(kept), shard.path(Path(folder)))
    with claimed(folder, folder / ".lock"), writing(folder):
        begin_shard(folder)
        (folder / "audio").mkdir(exist_ok=True)
        with ThreadPoolExecutor(options.jobs) as pool:
            work = pool.map(partial(_write_clip, folder, options), part)
            done = list(tqdm(work, total=len(part), desc=folder.name, unit=" clips", disable=None))
        clips: dict[str, list[Clip]] = {name: [] for name in SPLITS}
        left_out = Counter[str]()
        for recording, result in zip(part, done, strict=True):
            if isinstance(result, Clip):
                clips[str(recording.split)].append(result)
            else:
                left_out[result] += 1
        if shard is not None:
            job = {"title": title, "about": list(about), "options": asdict(options), "left out": dict(skipped)}
            return _finish_shard(folder, kept, clips, job, left_out)
        skipped.update(left_out)
        return _finish(folder, clips, title, about, asdict(options), skipped)


def _finish(
    folder: Path,
    clips: Mapping[str, Sequence[Clip]],
    title: str,
    about: Sequence[str],
    options: Mapping[str, object],
    skipped: Counter[str],
) -> str:
    if not any(clips.values()):
        raise InputError(f"{folder}: no recording to write; skipped {listed(skipped) or 'none, there was none'}")
    publish(folder, clips, data_card(title, about, options, clips, skipped))
    return summary(folder, clips, skipped)


def _finish_shard(
    folder: Path,
    recordings: Sequence[Recording],
    clips: Mapping[str, Sequence[Clip]],
    job: Mapping[str, object],
    left_out: Counter[str],
) -> str:
    lines = [{"split": name, **clip.record()} for name, part in clips.items() for clip in part]
    write_whole(folder / _CLIPS, "".join(f"{dump_json(line)}\n" for line in lines).encode())
    of_all = dump_json([[one.id, one.text, one.split] for one in recordings]).encode()
    job = {**job, "recordings": hashlib.sha256(of_all).hexdigest()}
    ShardFolder(folder, SPEECH, job, {"left out": dict(left_out)}).finish()
    return f"{folder}: {len(lines):,} clips of {len(recordings):,} recordings"


def join_speech_corpora(output: Path, shards: Sequence[ShardFolder], overwrite: bool) -> str:
    """Write the corpus of one process from those of all shards; a summary.

    Raises:
        InputError: the folder has a corpus already, or cannot be written, or no recording is left.
    """
    job, clips = shards[0].job, {name: list[Clip]() for name in SPLITS}
    skipped = Counter(job["left out"])
    with claimed(output, output / ".lock"), writing(output):
        for name in SPLITS:
            if (output / f"{name}.jsonl").exists() and not overwrite:
                raise InputError(f"{output / name}.jsonl: exists already; {WAY_OUT}")
        link_files(shards, output, [_CLIPS], overwrite)
        for shard in shards:
            skipped.update(shard.facts["left out"])
            for record in read_journal(shard.path / _CLIPS):
                clips[record.pop("split")].append(Clip(**record))
        return _finish(output, clips, job["title"], job["about"], job["options"], skipped)


def summary(folder: Path, clips: Mapping[str, Sequence[Clip]], skipped: Counter[str]) -> str:
    """One line on what was written and what was left out."""
    sizes = " / ".join(f"{len(part):,}" for part in clips.values())
    minutes = sum(clip.seconds for part in clips.values() for clip in part) / 60
    left_out = f"; skipped {listed(skipped)}" if skipped else ""
    return f"{folder}: {sizes} clips ({' / '.join(clips)}), {minutes:.1f} minutes{left_out}"


def _with_plain_texts(
    recordings: Iterable[Recording], options: SpeechOptions, skipped: Counter[str]
) -> list[Recording]:
    def skip(reason: str) -> None:
        skipped[reason] += 1

    kept: dict[str, Recording] = {}
    for recording in recordings:
        if not re.fullmatch(r"[^\s/\\]+(/[^\s/\\]+)*", recording.id) or ".." in recording.id.split("/"):
            raise InputError(f"{recording.audio}: its id must be names without blanks, found {recording.id!r}")
        name = recording.id.casefold()  # some file systems ignore case
        if name in kept:
            raise InputError(f"{recording.audio}: its id {recording.id!r} is also that of {kept[name].audio}")
        text: str | None = plain(recording.text)
        if text and options.spell_out:
            text = spell_out(text, recording.language, skip)
        elif not text:
            skip("without a text")
        if text:
            kept[name] = replace(recording, text=text)
    return list(kept.values())


def _split_by_text(recordings: list[Recording], options: SpeechOptions, skipped: Counter[str]) -> list[Recording]:
    """The recordings, each with a split; a text that is in two splits of the corpus stays in the smaller one."""
    owner: dict[str, str] = {}
    assigned = []
    for recording in recordings:
        text = normal_form(recording.text)
        shares = {"test": options.test_percent, "valid": options.valid_percent}
        split = recording.split or split_of_text(text, shares)
        assigned.append((text, replace(recording, split=split)))
        owner[text] = max(owner.get(text, "train"), split, key=SPLITS.index)
    kept = [recording for text, recording in assigned if recording.split == owner[text]]
    if len(kept) < len(assigned):
        skipped["texts that are in a smaller split as well"] += len(assigned) - len(kept)
    return kept


def _write_clip(folder: Path, options: SpeechOptions, recording: Recording) -> Clip | str:
    """The manifest line of a recording whose audio was written, or the reason why it was not."""
    try:
        samples = _load(recording, options.sample_rate)
    except InputError as error:
        logger.warning("left out: %s", error)
        return "whose audio cannot be read"
    if options.trim_db:
        samples = trim_silence(samples, options.sample_rate, options.trim_db)
    leveled = level(samples, recording.text, options)
    if isinstance(leveled, str):
        return leveled
    audio = f"audio/{recording.id}.flac"
    write_audio(folder / audio, leveled, options.sample_rate)
    seconds = round(len(leveled) / options.sample_rate, 4)
    return Clip(recording.id, audio, seconds, recording.text, recording.speaker, recording.language)


def level(samples: Samples, text: str, options: SpeechOptions) -> Samples | str:
    """Samples at the loudness of the corpus, or the reason why a recording of this length and text is left out."""
    seconds = len(samples) / options.sample_rate
    if seconds < options.min_seconds:
        return f"shorter than {options.min_seconds:g} s"
    if seconds > options.max_seconds:
        return f"longer than {options.max_seconds:g} s"
    if len(text) < options.min_characters_per_second * (seconds - 0.5):
        return f"with fewer than {options.min_characters_per_second:g} characters a second"
    if len(text) > options.max_characters_per_second * (seconds + 0.2):
        return f"with more than {options.max_characters_per_second:g} characters a second"
    return normalize_loudness(samples, options.loudness_dbfs) if options.loudness_dbfs else samples


def _load(recording: Recording, sample_rate: int) -> Samples:
    path = recording.audio
    if path.suffix.lower() != ".g722":
        return load_audio(path, sample_rate, recording.start, recording.stop)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    decoded = load("G722", "speech").G722(_G722_RATE, _G722_BITS).decode(content)
    samples = (np.asarray(decoded) / 32768).astype(np.float32)
    return resample(checked(samples, path), _G722_RATE, sample_rate)


def publish(folder: Path, clips: Mapping[str, Sequence[Clip]], card: str) -> None:
    """Write FOLDER/SPLIT.jsonl for each split that has clips, and the data card; all of them, or none."""
    documents = {"DATA_CARD.md": card}
    for name, part in clips.items():
        documents[f"{name}.jsonl"] = "".join(f"{dump_json(clip.record())}\n" for clip in part)
    publish_together(folder, documents)


def data_card(
    title: str,
    about: Sequence[str],
    choices: Mapping[str, object],
    clips: Mapping[str, Sequence[Clip]],
    skipped: Counter[str],
) -> str:
    """The data card of a corpus, Markdown; `choices` is how it was made."""
    parts = [f"# {title}", *about, "## Sizes", _table("file", clips)]
    everything = [clip for part in clips.values() for clip in part]
    voices: dict[str, list[Clip]] = {}
    for clip in everything:
        voices.setdefault(f"{clip.speaker} ({clip.language})", []).append(clip)
    longest = dict(sorted(voices.items(), key=lambda item: -sum(clip.seconds for clip in item[1]))[:20])
    parts += [f"## Voices\n\n{len(voices):,}, the longest {len(longest)}:", _table("voice", longest)]
    alphabet = Counter(letter for clip in everything for letter in clip.text)
    parts += ["## Characters", "`" + "".join(sorted(alphabet)).replace("`", "") + "`"]
    parts += ["## How it was made", "\n".join(f"- {name}: {value}" for name, value in choices.items())]
    parts.append("No text, compared by its letters and digits in lower case, is in two splits.")
    if skipped:
        parts += ["## Left out", "- " + listed(skipped, "\n- ")]
    return "\n\n".join(parts) + "\n"


def _table(heading: str, groups: Mapping[str, Sequence[Clip]]) -> str:
    rows = [f"| {heading} | clips | minutes | seconds: median, 95 %, maximum | texts | characters |", f"|{'---|' * 6}"]
    for name, clips in groups.items():
        if clips:
            seconds = np.array([clip.seconds for clip in clips])
            half, most = np.percentile(seconds, [50, 95])
            texts = len({normal_form(clip.text) for clip in clips})
            characters = sum(len(clip.text) for clip in clips)
            rows.append(
                f"| {name} | {len(clips):,} | {seconds.sum() / 60:.1f} | {half:.1f}, {most:.1f}, {seconds.max():.1f} "
                f"| {texts:,} | {characters:,} |"
            )
    return "\n".join(rows)
