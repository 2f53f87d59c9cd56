"""Create data_prep/sample/speech from a prepared speech corpus: short clips as Opus, and their manifests.

    unilatent prepare asterisk-prompts CORPUS --language en
    python scripts/sample_speech.py CORPUS data_prep/sample/speech

Clips last 0.8 to 8 s and are taken in the order of the md5 of their ids: first those of test and valid, then those of
train until the folder is full. So the choice is the same everywhere, and no text is in two splits, as in the corpus.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import soundfile

from latent.audio.files import audio_info, load_audio
from latent.data.manifest import Utterance, read_manifest

SECONDS = (0.8, 8.0)
BITS_PER_SECOND = 12_000
MAX_BYTES = 1_400_000


def main() -> None:
    corpus, out = Path(sys.argv[1]), Path(sys.argv[2])
    out.mkdir(parents=True, exist_ok=True)
    room = MAX_BYTES
    for split in ("test", "valid", "train"):
        found = [spoken for spoken in read_manifest(corpus / f"{split}.jsonl") if fits(spoken)]
        kept = []
        for spoken in sorted(found, key=lambda spoken: hashlib.md5(spoken.id.encode()).digest()):
            name = f"{spoken.id.replace('/', '-')}.ogg"
            size = encode(spoken.audio, out / name)
            if size > room:
                (out / name).unlink()
                break
            room -= size
            fields = {"text": spoken.text, "speaker": spoken.speaker, "language": spoken.language}
            kept.append({"id": spoken.id, "audio": name, "seconds": round(spoken.seconds, 4), **fields})
        kept.sort(key=lambda record: str(record["id"]))
        lines = (json.dumps(record, ensure_ascii=False) + "\n" for record in kept)
        (out / f"{split}.jsonl").write_text("".join(lines), encoding="utf-8")
        minutes = sum(float(str(record["seconds"])) for record in kept) / 60
        print(f"{split}: {len(kept)} of {len(found)} clips, {minutes:.2f} minutes")


def fits(spoken: Utterance) -> bool:
    return SECONDS[0] <= spoken.seconds <= SECONDS[1]


def encode(source: Path, target: Path) -> int:
    """Write a clip as Opus; returns the size of the file."""
    rate = audio_info(source).sample_rate
    level = 1 - BITS_PER_SECOND / 256_000  # libsndfile derives the bit rate of Opus from it
    with soundfile.SoundFile(target, "w", rate, 1, format="OGG", subtype="OPUS", compression_level=level) as file:
        file.write(load_audio(source, rate))
    return target.stat().st_size


if __name__ == "__main__":
    main()
