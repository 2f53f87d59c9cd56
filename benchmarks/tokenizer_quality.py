"""The quality of audio tokenizers: recordings beside what tokenizers make of them.

    python benchmarks/tokenizer_quality.py runs/tokenizer --manifest data/teacher/test.jsonl
    python benchmarks/tokenizer_quality.py runs/spectra runs/adversarial --manifest data/teacher/strangers.jsonl

Encodes and decodes the recordings of a manifest, without noise in the latents, and prints a table: word errors,
DistillMOS, likeness of the voice, mel distance, PESQ and STOI. A voice that is trained with a tokenizer can hardly
sound better than this. Needs the extra speech-eval. Recordings of a lower sample rate are resampled; bandwidth that
they lack is not judged. Audio and reports stay in the folder of `--output`; the same command goes on where it was
stopped.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from commands import unilatent

METRICS = ("wer", "distillmos", "similarity", "mel", "pesq", "stoi")
COLUMNS = ("WER %", "DistillMOS", "speaker similarity", "mel distance", "PESQ", "STOI")


def spread(manifest: Path, number: int) -> list[dict[str, Any]]:
    """So many records of a manifest, from all parts of it, with the places of their recordings in full."""
    records = [json.loads(line) for line in manifest.read_text(encoding="utf-8").splitlines()]
    count = min(number, len(records))
    chosen = [records[place * len(records) // count] for place in range(count)]
    return [record | {"audio": str((manifest.parent / record["audio"]).resolve())} for record in chosen]


def reconstruct(run: str, records: Sequence[dict[str, Any]], folder: Path) -> None:
    """Write what a tokenizer makes of each recording, ID.flac, unless it is there."""
    import torch

    from latent.audio.files import load_audio, write_audio
    from latent.audio_tokenizer import encode_samples, load_tokenizer

    tokenizer = load_tokenizer(run)
    rate = tokenizer.config.sample_rate
    for record in records:
        path = folder / f"{record['id']}.flac"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            samples = load_audio(record["audio"], rate)
            with torch.inference_mode():
                audio = tokenizer.decode(encode_samples(tokenizer, samples, "cpu")[None])
            write_audio(path, audio[0, 0, : len(samples)].numpy().clip(-1, 1), rate)


def evaluate(manifest: Path, folder: Path) -> dict[str, dict[str, Any]]:
    """The scores of what a tokenizer made of recordings, under the name of its folder, and theirs."""
    report = folder.with_suffix(".json")
    if not report.is_file():
        files = ["--manifest", str(manifest), "--audio", str(folder), "--json", str(report)]
        metrics = [part for metric in METRICS for part in ("--metric", metric)]
        unilatent("evaluate", "speech", *files, "--aligned", *metrics)
    systems = json.loads(report.read_text(encoding="utf-8"))["systems"]
    return {system["name"]: system["quality"] | system["form"] for system in systems}


def row(name: str, scores: dict[str, Any]) -> str:
    cells = [
        f"{score['value']:.2f} ±{(score['high'] - score['low']) / 2:.2f}" for score in map(scores.__getitem__, COLUMNS)
    ]
    return f"| {name} | {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tokenizers", nargs="+", help="run folders")
    parser.add_argument("--manifest", type=Path, required=True, help="recordings that they were not trained on")
    parser.add_argument("--number", type=int, default=50, help="how many of them")
    parser.add_argument("--output", type=Path, default=Path("tokenizer_quality"), help="folder for audio and reports")
    given = parser.parse_args()
    given.output.mkdir(parents=True, exist_ok=True)
    records = spread(given.manifest, given.number)
    manifest = given.output / "recordings.jsonl"
    manifest.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    rows: dict[str, dict[str, Any]] = {}
    for run in given.tokenizers:
        folder = given.output / Path(run).name
        reconstruct(run, records, folder)
        rows |= evaluate(manifest, folder)
    print(f"| | {' | '.join(COLUMNS)} |", "|---" * (len(COLUMNS) + 1) + "|", sep="\n")
    print("\n".join(row(name, scores) for name, scores in rows.items()))


if __name__ == "__main__":
    main()
