"""A script spoken into one file: hours long, in constant memory, and continued where a kill stopped it.

    OUTPUT                    the audio; it appears complete
    .OUTPUT.part.wav          the audio while it grows, a valid file at any instant
    OUTPUT.journal.jsonl      lines that are finished, and where they end in the audio; removed when all is done
    OUTPUT.report.json        the text and time of each line
    OUTPUT.png                the same as a picture
    OUTPUT.srt or .vtt        the same as subtitles, in place of the audio's suffix

The voice decides what is generated in one go (a take). A LatentLM speaks line by line, so its memory is bounded by the
longest line; the voice prompt ties a speaker's lines together, and so do the last latents of the previous line, which
serve as one. VibeVoice speaks as many lines together as its context holds. A take depends on these and on its seed; a
continued job has them from the journal, and ends with the bytes of one that was never stopped (except for the serial
number in every .ogg).
"""

from __future__ import annotations

import base64
import logging
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from latent.audio.files import AudioWriter
from latent.audio.watermark import Mark
from latent.data.latent_store import Latents
from latent.longform.cast import Role, find_roles
from latent.longform.narrator import LongFormOptions, Narrator
from latent.longform.report import ScriptSummary, SpokenLine, draw_report, read_report, read_spans, write_report
from latent.longform.script import read_script
from latent.longform.subtitling import script_subtitles
from latent.subtitles import write_subtitles
from latent.synthesis.requests import warn_of_spelling
from latent.synthesis.takes import Take
from latent.synthesis.voice import Voice, prompt_digest
from s2s.durable import WAY_OUT, Journal, check_target, claimed, fingerprint, former_fingerprint, refuse_other_job
from s2s.errors import InputError
from s2s.packages import load
from s2s.progress import Meter, audio

logger = logging.getLogger(__name__)


def synthesize_script(
    voice: Voice,
    script: str | Path,
    output: str | Path,
    cast: Mapping[str, Role] | None = None,
    options: LongFormOptions | None = None,
    *,
    tags: Mapping[str, str] | None = None,
    mark: Mark | None = None,
    overwrite: bool = False,
    picture: bool = True,
    subtitles: str | None = None,
    show_progress: bool = True,
) -> ScriptSummary:
    """Speak a script into a file; the same call continues a job that was killed.

    Args:
        voice: Who speaks.
        script: See `latent.longform.script`.
        output: A .wav, .flac or .ogg.
        cast: Speakers or voice prompts for names in the script; see `latent.longform.cast`.
        tags: Metadata of the audio, the voice's own by default; a continued job keeps those that it began with.
        mark: A watermark, applied to the samples of every take.
        overwrite: Start over, whatever is there.
        picture: Whether to draw OUTPUT.png.
        subtitles: The format of those to write beside the audio, "srt" or "vtt".

    Raises:
        InputError: the script or the cast has a mistake (nothing is generated then), the output is another job's or
            another process is writing it, or the disk is full (what is written stays, the same call continues).
    """
    options, output = options or LongFormOptions.model_validate({}), Path(output)
    if picture:
        load("matplotlib", "speak")  # fails now, not in an hour
    names = [*(cast or {}), *voice.speakers]
    lines = read_script(script, lambda text: voice.fits(text, options.max_characters), names)
    roles = find_roles(script, lines, cast or {}, voice.speakers, voice.names_speakers)
    narrator = Narrator(voice, roles, options, mark)
    takes = narrator.plan(lines)
    job = {
        "script": fingerprint(script),
        "cast": {name: [role.speaker, _digest(role.prompt)] for name, role in roles.items()},
        "options": options.model_dump(mode="json", exclude={"speed"} if options.speed == 1 else None),
        "voice": voice.fingerprint(),
        "watermark": mark is not None,
    }
    former = {**job, "script": former_fingerprint(script), "voice": voice.former_fingerprint()}
    with claimed(output):
        files = _Files.of(output, AudioWriter(output, voice.sample_rate).part)
        for path in files:
            check_target(path)
        if overwrite:
            files.remove()
        warn_of_spelling(take.request for take in takes)
        if files.finished(job, former):
            logger.info("%s: is already finished", output)
            if subtitles is not None:
                write_subtitles(output, subtitles, script_subtitles(voice, takes, read_spans(files.report)))
            return read_report(files.report)[0]
        head = {"job": job, "tags": dict(voice.tags(options.seed) if tags is None else tags)}
        journal = files.open_journal(head, former)
        if not output.exists():
            _speak(narrator, takes, journal, output, show_progress)
        files.part.unlink(missing_ok=True)
        spoken = [SpokenLine(**record["line"]) for record in list(journal)[1:]]
        summary = write_report(files.report, output, voice.sample_rate, spoken, job)
        if picture:
            draw_report(files.picture, output, voice.sample_rate, spoken)
        if subtitles is not None:
            spans = [(line.start / voice.sample_rate, line.stop / voice.sample_rate) for line in spoken]
            write_subtitles(output, subtitles, script_subtitles(voice, takes, spans))
        journal.remove()
        return summary


class _Files(NamedTuple):
    """The files of a job. A kill leaves a journal and a part, a journal and the audio, or a report and the audio."""

    audio: Path
    part: Path
    journal: Path
    report: Path
    picture: Path

    @classmethod
    def of(cls, audio: Path, part: Path) -> _Files:
        others = (audio.with_name(f"{audio.name}.{kind}") for kind in ("journal.jsonl", "report.json", "png"))
        return cls(audio, part, *others)

    def remove(self) -> None:
        for path in (self.journal, self.report, self.picture, self.part, self.audio):
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise InputError(f"{path}: cannot be removed: {error.strerror}") from error

    def finished(self, job: Mapping[str, Any], former: Mapping[str, Any]) -> bool:
        """Whether the audio exists; raises InputError if it is not this job's."""
        if self.journal.exists() or not self.audio.exists():
            return False
        if not self.report.exists():
            raise InputError(f"{self.audio}: exists already; {WAY_OUT}")
        refuse_other_job(self.audio, read_report(self.report)[1], job, former)
        return True

    def open_journal(self, head: Mapping[str, Any], former: Mapping[str, Any]) -> Journal:
        """The journal of a job to begin or continue; raises InputError if it is another job's."""
        journal = Journal(self.journal)
        found = next(iter(journal), None)
        if found is None:
            journal.add(head)
        else:
            refuse_other_job(self.audio, found.get("job", {}), head["job"], former)
        return journal


def _speak(narrator: Narrator, takes: list[Take], journal: Journal, output: Path, show_progress: bool) -> None:
    """Generate what the journal does not have yet; at the end the audio takes its name."""
    head, *done = journal
    rate, begun, end = narrator.voice.sample_rate, len(done), done[-1]["line"]["end"] if done else 0
    for record in done:
        narrator.remember(record["line"]["speaker"], _decoded(record["said"]))
    if begun:
        logger.info("continuing after %d of %d lines, %.1f s", begun, len(takes), end / rate)
    expected = [narrator.voice.expected_seconds(take.request) + take.pause for take in takes]
    writer = AudioWriter(output, rate, head["tags"], resume_at=end)
    with writer, Meter(sum(expected[begun:]), show_progress, "synthesized", audio) as meter:
        for index, take in enumerate(takes[begun:], start=begun):
            try:
                spoken, said = narrator.speak(take, writer)
                writer.sync()
                journal.add({"line": asdict(spoken), "said": _encoded(said)})
            except InputError as error:
                state = f"{index} of {len(takes)} lines are done, and the same command continues after them"
                raise InputError(f"{error}; {state}") from error
            seconds = (spoken.end - spoken.start) / rate
            meter.correct(seconds - expected[index])
            meter.advance(seconds)


def _digest(prompt: Any) -> str | None:
    return None if prompt is None else prompt_digest(prompt)[:16]


def _encoded(latents: Latents | None) -> list[Any] | None:
    """Latents as JSON that gives back every bit."""
    if latents is None:
        return None
    return [latents.shape[1], base64.b64encode(latents.astype("<f4").tobytes()).decode()]


def _decoded(record: list[Any] | None) -> Latents | None:
    if record is None:
        return None
    width, content = record
    found: Latents = np.frombuffer(base64.b64decode(content), "<f4").reshape(-1, width).astype(np.float32)
    return found
