"""Draw word errors over training: every kept checkpoint of a voice speaks the texts of a manifest.

    unilatent train my_voice.yaml --output runs/voice train.keep_last=99
    python scripts/voice_curve.py runs/voice data/asterisk/valid.jsonl curve.png [decoder.temperature=0 ...]

Checkpoints speak as in `unilatent synthesize`; a recognizer transcribes their audio and the recordings. Beside
curve.png are curve.json, the report of `unilatent evaluate speech` with one system per checkpoint, and curve/ with
the audio. Given the same command again, only new checkpoints speak. To choose a checkpoint, use validation texts, not
test texts.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from eval.report import Report, present
from eval.speech import RECORDINGS, SpeechSettings, evaluate_speech
from latent.synthesis.records import synthesize_records
from latent.synthesis.requests import Wishes, read_requests
from latent.synthesis.voices import open_voice
from s2s import checkpoint
from s2s.data.jsonl import read_records
from s2s.errors import InputError
from s2s.ranks import join_ranks

RATES = {"WER %": "C3", "CER %": "C1"}
LOSS = "latent_loss"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="run folder of a voice")
    parser.add_argument("manifest", help="JSON lines with id, audio and text")
    parser.add_argument("picture", type=Path, help="picture to write, such as curve.png")
    parser.add_argument("overrides", nargs="*", help="decoder options, key.path=value")
    parser.add_argument("--recognizer", default="whisper", help="whisper, whisper:MODEL or pocketsphinx")
    given = parser.parse_intermixed_args(arguments)
    kept = checkpoint.checkpoints(given.run)
    if not kept:
        raise InputError(f"{given.run}: found no checkpoints; train with train.keep_last=N to keep the last N")
    audio = {str(checkpoint.step_of(path)): given.picture.with_suffix("") / path.name for path in kept}
    for step, folder in audio.items():
        speak(given.run, step, given.manifest, folder, given.overrides)
    settings = SpeechSettings(metrics=("wer",), recognizer=given.recognizer)
    report = evaluate_speech(given.manifest, {step: str(folder) for step, folder in audio.items()}, settings)
    present(report, str(given.picture.with_suffix(".json")))
    draw(report, validation_losses(given.run), given.picture)


def speak(run: Path, step: str, manifest: str, folder: Path, overrides: Sequence[str]) -> None:
    """Speak the texts of a manifest with the weights of a checkpoint, averaged ones if the run has them."""
    voice = open_voice(run, overrides=overrides, checkpoint_name=step)
    requests = read_requests(voice, manifest, Wishes())
    with join_ranks("cpu") as ranks:
        print(f"{folder}: {synthesize_records(voice, requests, folder, ranks, suffix='.flac')}")


def validation_losses(run: Path) -> list[tuple[int, float]]:
    """Numbers of updates with the diffusion loss on validation recordings."""
    records = [record for _, record in read_records(run / "log.jsonl")]
    return [(record["step"], record[LOSS]) for record in records if record.get("split") == "valid" and LOSS in record]


def draw(report: Report, losses: list[tuple[int, float]], picture: Path) -> None:
    """Draw error rates over updates, those of the recordings as a line, and losses on a second axis."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4.2), dpi=150, layout="constrained")
    systems = {system.name: system.quality for system in report.systems}
    recordings: Any = systems.pop(RECORDINGS)
    for name, color in RATES.items():
        found = [(int(step), quality[name]) for step, quality in systems.items()]
        steps, intervals = [step for step, _ in found], [interval for _, interval in found]
        axes.plot(steps, [one.value for one in intervals], f"{color}o-", label=name.replace(" %", ""))
        band = [one.low for one in intervals], [one.high for one in intervals]
        axes.fill_between(steps, *band, color=color, alpha=0.12, linewidth=0)
    word_errors = next(iter(RATES))
    axes.axhline(recordings[word_errors].value, color=RATES[word_errors], linestyle="--", label="WER of the recordings")
    axes.set(xlabel="updates", ylabel=f"% ({report.examples} texts)", xlim=(0, None), ylim=(0, None))
    right = axes.twinx()
    right.plot(*zip(*losses, strict=True), color="C0", marker=".", alpha=0.7, label="validation loss")
    right.set(ylabel="diffusion loss of latents")
    lines = [*axes.get_lines(), *right.get_lines()]
    axes.legend(lines, [line.get_label() for line in lines], frameon=False)
    axes.grid(alpha=0.25)
    figure.savefig(picture)
    pyplot.close(figure)


if __name__ == "__main__":
    main()
