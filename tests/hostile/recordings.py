"""Recordings that are text, cut, lying, silent, or of sizes that nobody recorded."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import soundfile

from hostile.cases import Case, Command, Ending
from hostile.damage import JUNK
from hostile.home import SPEAK, Home

RATE = 2000


def _wav(
    frames: bytes, rate: int = RATE, channels: int = 1, bits: int = 16, claimed: int | None = None, kind: int = 1
) -> bytes:
    """A RIFF file whose header says what we want it to."""
    block = channels * bits // 8
    form = struct.pack("<HHIIHH", kind, channels, rate, (rate * block) % 2**32, block % 2**16, bits)
    size = len(frames) if claimed is None else claimed
    body = b"WAVEfmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", size) + frames
    return b"RIFF" + struct.pack("<I", (4 + len(body)) % 2**32) + body


def _noise(seconds: float, rate: int = RATE, channels: int = 1) -> np.ndarray:
    return (0.1 * np.random.default_rng(0).standard_normal((int(seconds * rate), channels))).astype(np.float32)


def _saved(samples: np.ndarray, rate: int = RATE, subtype: str = "PCM_16") -> Callable[[Path], None]:
    return lambda path: soundfile.write(path, samples, rate, subtype=subtype, format="WAV")


def _bytes(content: bytes) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(content) and None


def _lying_flac(path: Path) -> None:
    """A FLAC whose header claims 2**36 - 1 samples."""
    soundfile.write(path, _noise(1.0), RATE, format="FLAC")
    content = bytearray(path.read_bytes())
    content[8 + 13] |= 0x0F
    content[8 + 14 : 8 + 18] = b"\xff\xff\xff\xff"
    path.write_bytes(bytes(content))


_SAMPLES = (3000 * _noise(1.0)[:, 0]).astype("<i2").tobytes()
_NAN = np.full((RATE, 1), np.nan, np.float32)
_INF = np.concatenate([_noise(0.5), np.full((RATE // 2, 1), np.inf, np.float32)])

BAD: dict[str, Callable[[Path], None]] = {
    **{name: _bytes(content) for name, content in JUNK.items()},
    "a header alone": _bytes(_wav(b"")),
    "half a header": _bytes(_wav(_SAMPLES)[:20]),
    "with a rate of 0": _bytes(_wav(_SAMPLES, rate=0)),
    "with a rate of 4 GHz": _bytes(_wav(_SAMPLES, rate=2**32 - 1)),
    "with no channel": _bytes(_wav(_SAMPLES, channels=0)),
    "with 60,000 channels": _bytes(_wav(_SAMPLES, channels=60_000)),
    "of an unknown coding": _bytes(_wav(_SAMPLES, kind=0x7777)),
    "a FLAC that claims 2**36 samples": _lying_flac,
    "full of NaN": _saved(_NAN, subtype="FLOAT"),
    "half infinite": _saved(_INF, subtype="FLOAT"),
}
SHORT: dict[str, Callable[[Path], None]] = {
    "cut in its middle": _bytes(_wav(_SAMPLES)[:2400]),
    "with a header that claims 1 GB": _bytes(_wav(_SAMPLES, claimed=2**30)),
}
ODD: dict[str, Callable[[Path], None]] = {
    "of one sample": _saved(_noise(1.0)[:1]),
    "with 3 bits": _bytes(_wav(_SAMPLES, bits=3)),
    "silent": _saved(np.zeros((RATE, 1), np.float32)),
    "of 64 channels": _saved(_noise(1.0, channels=64)),
    "at 1 Hz": _saved(_noise(30, rate=1), rate=1),
    "at 384 kHz": _saved(_noise(0.5, rate=384_000), rate=384_000),
    "half a minute long": _saved(np.zeros((30 * RATE, 1), np.float32)),
    "of samples of 1e30": _saved(1e30 * _noise(1.0), subtype="FLOAT"),
}


def cases() -> Iterator[Case]:
    """Each bad recording for the commands that read audio."""
    for number, (name, make) in enumerate({**BAD, **SHORT, **ODD}.items()):
        ending = Ending.EITHER if name in ODD else Ending.TOLD if name in SHORT else Ending.REFUSED
        limited = "claims" in name or "channels" in name
        verbs = ("encode", "voice", "provenance", "speech", "transcripts")
        for place, verb in enumerate(verbs):
            if verb == "encode" or (number + place) % 2:
                if verb == "transcripts":
                    again = Ending.EITHER
                elif verb == "provenance":
                    again = Ending.EITHER if name not in JUNK else Ending.REFUSED
                else:
                    again = ending
                yield Case(f"recording/{verb}: {name}", _command(verb, make), r"bad\.wav|1 ", again, limited)


def _command(verb: str, make: Callable[[Path], None]) -> Command:
    def command(home: Home) -> list[str]:
        make(Path("bad.wav"))
        record = {"id": "a", "audio": "bad.wav", "text": "Good."}
        Path("bad.jsonl").write_text(json.dumps(record) + "\n")
        if verb == "encode":
            home.take("audio_tokenizer")
            return ["encode", "bad.jsonl", "--tokenizer", "audio_tokenizer", "--output", "out", "--device", "cpu"]
        if verb == "voice":
            home.take("voice")
            speak = [option for option in SPEAK if option not in ("--speaker", "ann")]
            more = ["--text", "Good.", "--voice", "bad.wav", "--i-have-consent", "--output", "out.wav"]
            return ["synthesize", "voice", *speak, *more]
        if verb == "provenance":
            return ["provenance", "bad.wav"]
        if verb == "speech":
            return ["evaluate", "speech", "--manifest", "bad.jsonl", "--metric", "mel", "--resamples", "2"]
        Path("corpus").mkdir()
        Path("bad.wav").rename("corpus/bad.wav")
        Path("corpus/transcripts.tsv").write_text("bad.wav\tGood.\n")
        return ["prepare", "transcripts", "corpus", "out", "--sample-rate", "4000", "--jobs", "1"]

    return command
