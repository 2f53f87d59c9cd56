"""Songs as Standard MIDI Files with lyric events, by mido.

Each syllable is a lyric event at its first note. As in karaoke files a hyphen says that its word goes on, and a
carriage return that its line ends (MIDI Association, RP-026).
"""

from __future__ import annotations

import io
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

from s2s.data.melody import REST, Note
from s2s.data.song import Line, Song
from s2s.durable import write_whole
from s2s.errors import InputError, reason_of
from s2s.packages import load

EXTRA = "music"
TICKS = 480
"""Of a beat, in files that are written."""
GRID = 48
"""Parts of a beat to which times are rounded when files are read: sixteenths, and triplets."""
EARLY = Fraction(1, 8)
"""Beats by which a tone may begin before its lyric event."""
LONG_REST = 2
"""Beats of silence that end a line where no lyric event says so."""

_VOICE, _VELOCITY = 52, 90  # General MIDI: choir
_BEFORE_LINE, _AFTER_LINE = ("/", "\\"), ("\r", "\n")
_MARKS = "\r\n/\\ "


class _Tone(NamedTuple):
    start: Fraction
    end: Fraction
    pitch: int


def write_midi(path: Path, song: Song) -> None:
    """Write a song with its lyrics; InputError if mido is not installed."""
    mido: Any = load("mido", EXTRA)
    file = mido.MidiFile(ticks_per_beat=TICKS, charset="utf-8")
    track = mido.MidiTrack()
    file.tracks.append(track)
    track.append(mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(song.beats_per_minute)))
    track.append(mido.Message("program_change", program=_VOICE))
    now = 0
    for tick, message in _messages(mido, song):
        track.append(message.copy(time=tick - now))
        now = tick
    content = io.BytesIO()
    file.save(file=content)
    write_whole(path, content.getvalue())


def _messages(mido: Any, song: Song) -> Iterator[tuple[int, Any]]:
    for note in song.sung():
        start, end = (round(beats * TICKS) for beats in (note.start, note.start + note.beats))
        if note.syllable is not None:
            yield start, mido.MetaMessage("lyrics", text=note.syllable)
        yield start, mido.Message("note_on", note=note.pitch, velocity=_VELOCITY)
        yield end, mido.Message("note_off", note=note.pitch, velocity=0)
        if note.ends_line:
            yield end, mido.MetaMessage("lyrics", text="\r")


def open_midi(path: Path) -> Any:
    """The `mido.MidiFile` of a file; InputError if mido is not installed, or the file cannot be read."""
    mido: Any = load("mido", EXTRA)
    try:
        file = mido.MidiFile(path, charset="utf-8")
    except OSError as error:
        if error.strerror is None:  # of mido's own
            raise InputError(f"{path}: cannot be read as a MIDI file: {reason_of(error)}") from error
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except EOFError as error:
        raise InputError(f"{path}: cannot be read as a MIDI file: it is cut off, or empty") from error
    except Exception as error:  # mido raises many kinds for broken files
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{path}: cannot be read as a MIDI file: {reason}") from error
    if not 0 < file.ticks_per_beat < 0x8000:
        raise InputError(f"{path}: counts time in frames of film, which has no beats")
    return file


def read_midi(path: Path) -> Song:
    """The song in a MIDI file; where tones overlap, a tone ends when the next one begins.

    Raises:
        InputError: mido is not installed; the file cannot be read; or it has no lyrics, or no notes under them.
    """
    mido: Any = load("mido", EXTRA)
    file = open_midi(path)
    tracks = file.tracks
    lyrics = [_lyrics(track, file.ticks_per_beat) for track in tracks]
    tones = [_tones(track, file.ticks_per_beat) for track in tracks]
    if not any(lyrics):
        raise InputError(f"{path}: has no lyrics; expected a lyric event at each syllable")
    chosen = max(range(len(tracks)), key=lambda index: (len(lyrics[index]), -index))
    sung = tones[chosen] or next((one for one in tones if one), [])
    tempo = next((message.tempo for track in tracks for message in track if message.type == "set_tempo"), 500_000)
    lines = list(_lines(sung, lyrics[chosen]))
    if not lines:
        raise InputError(f"{path}: has no notes under its lyrics")
    return Song(lines, mido.tempo2bpm(tempo))


def _at(messages: Iterable[Any], ticks: int) -> Iterator[tuple[Fraction, Any]]:
    """Messages with their times in beats, rounded."""
    now = 0
    for message in messages:
        now += message.time
        yield Fraction(round(Fraction(now * GRID, ticks)), GRID), message


def _lyrics(track: Sequence[Any], ticks: int) -> list[tuple[Fraction, str]]:
    return [(time, message.text) for time, message in _at(track, ticks) if message.type == "lyrics" and message.text]


def _tones(track: Sequence[Any], ticks: int) -> list[_Tone]:
    """The tones of a track, one at a time."""
    sounding: dict[int, Fraction] = {}
    found: list[_Tone] = []
    for time, message in _at(track, ticks):
        if message.type == "note_on" and message.velocity > 0:
            sounding[message.note] = time
        elif message.type in ("note_on", "note_off") and message.note in sounding:
            found.append(_Tone(sounding.pop(message.note), time, message.note))
    found.sort(key=lambda tone: (tone.start, -tone.pitch))
    alone = [tone for place, tone in enumerate(found) if not place or tone.start > found[place - 1].start]
    ends = [tone.start for tone in alone[1:]] + [alone[-1].end] if alone else []
    cut = (tone._replace(end=min(tone.end, end)) for tone, end in zip(alone, ends, strict=True))
    return [tone for tone in cut if tone.end > tone.start]


def _lines(tones: Sequence[_Tone], lyrics: Sequence[tuple[Fraction, str]]) -> Iterator[Line]:
    """The lines of a song; tones before its first syllable are left out."""
    words = _words(lyrics, [tone.start for tone in tones]) if tones else {}
    is_marked = any(begins for _, begins in words.values())
    line: list[tuple[_Tone, str | None]] = []
    for place, tone in enumerate(tones):
        word, begins = words.get(place, (None, False))
        rest = tone.start - tones[place - 1].end if place else 0
        if line and word and (begins or (not is_marked and rest >= LONG_REST)):
            yield _line(line)
            line = []
        if line or word:
            line.append((tone, word))
    if line:
        yield _line(line)


def _words(lyrics: Sequence[tuple[Fraction, str]], starts: Sequence[Fraction]) -> dict[int, tuple[str, bool]]:
    """Syllables by the tone that begins with them or next, and whether a new line begins with each.

    Syllables of one tone become one, as where a vowel is left out in singing.
    """
    words: dict[int, tuple[str, bool]] = {}
    begins = False
    for time, text in lyrics:
        begins |= text.startswith(_BEFORE_LINE)
        if word := _syllable(text.strip(_MARKS)):
            place = min(bisect_left(starts, time - EARLY), len(starts) - 1)
            before, began = words.get(place, ("", False))
            words[place] = (before.rstrip("-") + word, began or begins)
            begins = False
        begins |= text.endswith(_AFTER_LINE)
    return words


def _syllable(text: str) -> str:
    """The text of an event as one syllable, with a hyphen only at its end; empty if it only holds a tone on."""
    if not any(character.isalnum() for character in text):
        return ""
    return "‿".join(text.replace("-", " ").split()) + ("-" if text.endswith("-") else "")


def _line(tones: Sequence[tuple[_Tone, str | None]]) -> Line:
    notes: list[Note] = []
    for place, (tone, _) in enumerate(tones):
        before = tones[place - 1][0].end if place else tone.start
        if tone.start > before:
            notes.append(Note(REST, tone.start - before, False))
        ends = place + 1 == len(tones) or tones[place + 1][1] is not None
        notes.append(Note(tone.pitch, tone.end - tone.start, ends))
    return Line([syllable for _, syllable in tones if syllable is not None], notes)
