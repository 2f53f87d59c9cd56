"""Word and character error rates of recognized speech."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from eval.metric import Metric, ratio
from eval.words import WORDS, has_blanks_between_words, nfc, words
from s2s.packages import load, version_of


def word_errors(heard: Sequence[str], references: Sequence[str], language: str, recognizer: str) -> list[Metric]:
    """WER and CER in per cent of the reference's words and characters; a rate can exceed 100 after insertions.

    Texts are normalized first. English: Whisper's normalizer, which writes numbers as digits and spells out
    contractions. Other languages: the words of `eval.words`, because Whisper's normalizer tears words apart at
    combining marks; in scripts without blanks each character is a word.
    """
    jiwer = load("jiwer", "speech-eval")
    normalize, rule = _normalizer(language)
    targets = [normalize(reference) for reference in references]
    joined = "" if not has_blanks_between_words(targets) else " "  # blanks between characters are not characters
    word_edits: list[tuple[int, int]] = []
    character_edits: list[tuple[int, int]] = []
    for hypothesis, target in zip(map(normalize, heard), targets, strict=True):
        word_edits.append(_edits(jiwer.process_words, target, hypothesis))
        character_edits.append(
            _edits(jiwer.process_characters, target.replace(" ", joined), hypothesis.replace(" ", joined))
        )
    signature = f"{recognizer}; {rule}; jiwer {version_of('jiwer')}"
    return [
        ratio(
            f"{name} %",
            [edits for edits, _ in counts],
            [length for _, length in counts],
            signature,
            note="no text has a word",
        )
        for name, counts in (("WER", word_edits), ("CER", character_edits))
    ]


def _normalizer(language: str) -> tuple[Callable[[str], str], str]:
    if language == "en":
        whisper = load("transformers.models.whisper.english_normalizer", "eval").EnglishTextNormalizer({})
        return lambda text: str(whisper(nfc(text))).strip(), "Whisper's normalizer"
    return lambda text: " ".join(words(text)), WORDS


def _edits(process: Callable[[str, str], Any], target: str, hypothesis: str) -> tuple[int, int]:
    """`(edits, length)` of one pair."""
    if not target:
        return 0, 0
    result = process(target, hypothesis)
    edits = result.substitutions + result.deletions + result.insertions
    return edits, result.hits + result.substitutions + result.deletions
