"""Word and character error rates of recognized speech."""

from __future__ import annotations

from collections.abc import Sequence

from eval.extras import load, version_of
from eval.metric import Metric, ratio


def word_errors(heard: Sequence[str], meant: Sequence[str], language: str, recognizer: str) -> list[Metric]:
    """WER and CER in per cent of the reference's words and characters, after Whisper's normalization of both.

    The normalizer writes English numbers as digits and spells out contractions; it strips case and punctuation, and in
    other languages only that. A rate can exceed 100 where much is inserted.
    """
    jiwer = load("jiwer", "speech-eval")
    whisper = load("transformers.models.whisper.english_normalizer")
    normalize = whisper.EnglishTextNormalizer({}) if language == "en" else whisper.BasicTextNormalizer()
    words: list[tuple[int, int]] = []
    characters: list[tuple[int, int]] = []
    for hypothesis, reference in zip(heard, meant, strict=True):
        said, wanted = normalize(hypothesis).strip(), normalize(reference).strip()
        for counts, process in ((words, jiwer.process_words), (characters, jiwer.process_characters)):
            if not wanted:
                counts.append((0, 0))
                continue
            result = process(wanted, said)
            edits = result.substitutions + result.deletions + result.insertions
            counts.append((edits, result.hits + result.substitutions + result.deletions))
    signature = f"{recognizer}; Whisper's normalizer; jiwer {version_of('jiwer')}"
    return [
        ratio(f"{name} %", [edits for edits, _ in counts], [length for _, length in counts], signature)
        for name, counts in (("WER", words), ("CER", characters))
    ]
