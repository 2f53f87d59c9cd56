"""Who said what in conversations: recordings of two speakers joined, cut at silences, told apart, and recognized.

    python benchmarks/conversations.py FOLDER data/asterisk/test.jsonl data/michael/manifest.jsonl \
        --recognizer runs/recognizer --recognizer pocketsphinx --recognizer whisper

FOLDER gets the conversations, their reference, and what each recognizer wrote. Turns are told apart by embeddings of
their voices (Resemblyzer), for all recognizers alike; so DER is that of this division, and cpWER differs.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from data_prep.conversations import join_recordings
from eval.recognizers import SAMPLE_RATE, Recognizer, open_recognizer
from eval.report import as_text
from eval.transcripts import TranscriptSettings, evaluate_transcripts
from eval.voice import VoiceEncoder
from latent.audio.files import Samples, load_audio
from latent.audio.levels import frame_levels
from latent.data.manifest import read_manifest
from s2s.data.jsonl import read_records
from s2s.json_files import dump_json
from s2s.packages import load

_HOP_SECONDS = 0.01
_SILENCE_DB, _SILENCE_SECONDS = 40.0, 0.15
_SHORTEST_SECONDS = 1.0


class Turn(NamedTuple):
    """A stretch of one speaker, in samples."""

    start: int
    stop: int
    speaker: int


def pieces(samples: Samples) -> list[tuple[int, int]]:
    """Stretches of speech between silences."""
    levels = frame_levels(samples, SAMPLE_RATE)
    loud = np.flatnonzero(levels > levels.max() - _SILENCE_DB)
    cuts = np.flatnonzero(np.diff(loud) > _SILENCE_SECONDS / _HOP_SECONDS)
    hop = round(_HOP_SECONDS * SAMPLE_RATE)
    firsts, lasts = loud[[0, *(cuts + 1)]], loud[[*cuts, -1]]
    return [(int(first) * hop, (int(last) + 2) * hop) for first, last in zip(firsts, lasts, strict=True)]


def speakers_of(voices: NDArray[np.float64], count: int = 2) -> list[int]:
    """The speaker of each voice `(N, D)`, numbered, by agglomerative clustering of cosines."""
    if len(voices) <= count:
        return list(range(len(voices)))
    hierarchy = load("scipy.cluster.hierarchy", "recognition")
    found = hierarchy.fcluster(hierarchy.linkage(voices, "average", "cosine"), count, "maxclust")
    return [int(number) - 1 for number in found]


def turns(samples: Samples, encoder: VoiceEncoder) -> list[Turn]:
    """Pieces with their speakers; those of one speaker in a row are one turn."""
    spans = pieces(samples)
    speakers = speakers_of(np.stack([encoder(samples[start:stop]) for start, stop in spans]))
    found: list[Turn] = []
    for (start, stop), speaker in zip(spans, speakers, strict=True):
        if found and found[-1].speaker == speaker:
            start = found.pop().start
        found.append(Turn(start, stop, speaker))
    return found


def write(path: Path, recognizer: Recognizer, divided: dict[str, tuple[Samples, list[Turn]]]) -> None:
    """What a recognizer hears in each turn, as `transcribe` writes it."""
    with path.open("w", encoding="utf-8") as file:
        for id, (samples, told) in divided.items():
            segments = [
                {
                    "start": turn.start / SAMPLE_RATE,
                    "end": turn.stop / SAMPLE_RATE,
                    "speaker": str(turn.speaker),
                    "text": recognizer(samples[turn.start : turn.stop]),
                }
                for turn in told
            ]
            file.write(dump_json({"id": id, "segments": segments}) + "\n")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("manifests", nargs="+", help="recordings of two speakers or more")
    parser.add_argument("--recognizer", action="append", required=True, help="as in `unilatent evaluate recognition`")
    parser.add_argument("--set", action="append", default=[], help="options of runs, such as decoder.name=ctc")
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--turns", type=int, default=8)
    given = parser.parse_args(arguments)
    spoken = [one for path in given.manifests for one in read_manifest(path) if one.seconds >= _SHORTEST_SECONDS]
    reference = join_recordings(spoken, given.folder, given.count, given.turns, SAMPLE_RATE)
    encoder = VoiceEncoder()
    divided = {}
    for _, line in read_records(reference):
        samples = load_audio(reference.parent / line["audio"], SAMPLE_RATE)
        divided[line["id"]] = (samples, turns(samples, encoder))
    systems = {}
    for name in given.recognizer:
        path = given.folder / f"{Path(name).name}.jsonl"
        write(path, open_recognizer(name, "en", given.set), divided)
        systems[path.stem] = str(path)
    print(as_text(evaluate_transcripts(str(reference), systems, TranscriptSettings(baseline=path.stem))))


if __name__ == "__main__":
    main()
