"""The quality of a voice at several settings: word errors, DistillMOS, likeness to prompts, real-time factor.

    python benchmarks/voice_quality.py demo
    python benchmarks/voice_quality.py runs/voice --sweep num_inference_steps=2,4,8,16 --sweep guidance_scale=1,1.3,1.6
    python benchmarks/voice_quality.py runs/with_cues runs/without --prompts prompts.jsonl --output ablation

Speaks everyday sentences (`benchmarks/everyday_sentences.jsonl`) with each voice at each value of each sweep, the
other options as they are, and prints a table. The speakers of a voice take turns. With `--prompts`, JSON lines with
`audio`, these recordings take turns instead. Needs the extra speech-eval. Audio and reports stay in
the folder of `--output`; the same command goes on where it was stopped. Stop other jobs where the real-time factor
counts.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from commands import unilatent

SENTENCES = Path(__file__).with_name("everyday_sentences.jsonl")
STEPS = "num_inference_steps=2,4,8,16"
COLUMNS = ("WER %", "DistillMOS", "similarity to the prompt", "questions above others, semitones", "real-time factor")


def settings(voices: Sequence[str], sweeps: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    """Name, voice and override of each setting."""
    for voice in voices:
        for sweep in sweeps:
            option, _, values = sweep.partition("=")
            for value in values.split(","):
                yield f"{Path(voice).name} {option}={value}", voice, f"decoder.{option}={value}"


def write_lines(sentences: Path, number: int, field: str, speakers: Sequence[str], output: Path) -> None:
    """The sentences as lines to speak, with the speakers or recordings of `field` in turn."""
    records = [json.loads(line) for line in sentences.read_text(encoding="utf-8").splitlines()][:number]
    turns = itertools.cycle([{field: speaker} for speaker in speakers] or [{}])
    lines = [
        {"id": str(record["id"]), "text": record["text"]} | turn for record, turn in zip(records, turns, strict=False)
    ]
    output.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")


def speakers_of(voice: str) -> list[str]:
    from latent.synthesis.voices import open_voice
    from s2s.shipped import run_folder

    return open_voice(run_folder(voice)).speakers


def recordings_of(prompts: Path) -> list[str]:
    """The recordings of a manifest, with their places in full."""
    read = [json.loads(line) for line in prompts.read_text(encoding="utf-8").splitlines()]
    return [str((prompts.parent / record["audio"]).resolve()) for record in read]


def measure(lines: Path, voice: str, override: str, folder: Path) -> dict[str, Any]:
    """Speak the lines into a folder and evaluate them; returns the scores."""
    read = [json.loads(line) for line in lines.read_text(encoding="utf-8").splitlines()]
    recordings = sorted({line["voice"] for line in read if "voice" in line})
    consent = [part for recording in recordings for part in ("--consent-for", recording)]
    unilatent(
        "synthesize", voice, override, "--input", str(lines), "--output", str(folder), "--max-rows", "1", *consent
    )
    report = folder.with_suffix(".json")
    if not report.is_file():
        wanted = ["wer", "distillmos", "intonation", *(["prompt_similarity"] if recordings else [])]
        metrics = [part for metric in wanted for part in ("--metric", metric)]
        unilatent("evaluate", "speech", "--manifest", str(folder / "manifest.jsonl"), "--json", str(report), *metrics)
    (system,) = json.loads(report.read_text(encoding="utf-8"))["systems"]
    scores: dict[str, Any] = system["quality"] | system["form"]
    return scores


def row(name: str, scores: dict[str, Any]) -> str:
    cells = []
    for column in COLUMNS:
        score = scores.get(column)
        cells.append("-" if score is None else f"{score['value']:.2f} ±{(score['high'] - score['low']) / 2:.2f}")
    return f"| {name} | {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("voices", nargs="+", help="run folders, or demo")
    parser.add_argument("--sweep", action="append", help=f"OPTION=VALUE,VALUE of the decoder; default {STEPS}")
    parser.add_argument("--sentences", type=Path, default=SENTENCES, help="JSON lines with id and text")
    parser.add_argument("--number", type=int, default=100, help="how many of them")
    parser.add_argument("--prompts", type=Path, help="JSON lines with audio: voices to speak as, with their consent")
    parser.add_argument("--output", type=Path, default=Path("voice_quality"), help="folder for audio and reports")
    given = parser.parse_args()
    given.output.mkdir(parents=True, exist_ok=True)
    table = [f"| setting | {' | '.join(COLUMNS)} |", "|---" * (len(COLUMNS) + 1) + "|"]
    for name, voice, override in settings(given.voices, given.sweep or [STEPS]):
        folder = given.output / name.replace(" ", "-").replace("=", "-")
        lines = folder.with_suffix(".lines.jsonl")
        field, speakers = ("voice", recordings_of(given.prompts)) if given.prompts else ("speaker", speakers_of(voice))
        write_lines(given.sentences, given.number, field, speakers, lines)
        table.append(row(name, measure(lines, voice, override, folder)))
    print("\n".join(table))


if __name__ == "__main__":
    main()
