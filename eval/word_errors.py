"""Word and character error rates of recognized speech."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from eval.metric import Metric, ratio
from s2s.data.words import WORDS, has_blanks_between_words, nfc, words
from s2s.packages import load, version_of


def word_errors(heard: Sequence[str], references: Sequence[str], language: str, recognizer: str) -> list[Metric]:
    """WER and CER in per cent of the reference's words and characters; a rate can exceed 100 after insertions.

    Texts are normalized first. English: Whisper's normalizer, which writes numbers as digits and spells out
    contractions. Other languages: the words of `s2s.data.words`, because Whisper's normalizer tears words apart at
    combining marks; in scripts without blanks each character is a word.
    """
    jiwer = load("jiwer", "speech-eval")
    normalize, rule = normalizer(language)
    targets = [normalize(reference) for reference in references]
    joined = " " if has_blanks_between_words(targets) else ""  # blanks between characters are not characters
    pairs = list(zip(targets, map(normalize, heard), strict=True))
    characters = [(target.replace(" ", joined), hypothesis.replace(" ", joined)) for target, hypothesis in pairs]
    signature = f"{recognizer}; {rule}; jiwer {version_of('jiwer')}"
    return [
        ratio(f"{name} %", *_edits(process, texts), signature, note="no text has a word")
        for name, process, texts in (
            ("WER", jiwer.process_words, pairs),
            ("CER", jiwer.process_characters, characters),
        )
    ]


def normalizer(language: str) -> tuple[Callable[[str], str], str]:
    """What texts are compared as, and the name of that rule."""
    if language == "en":
        whisper = load("transformers.models.whisper.english_normalizer", "eval").EnglishTextNormalizer({})
        return lambda text: str(whisper(nfc(text))).strip(), "Whisper's normalizer"
    return lambda text: " ".join(words(text)), WORDS


def _edits(process: Callable[[str, str], Any], pairs: Sequence[tuple[str, str]]) -> tuple[list[int], list[int]]:
    """Edits, and length of the target, of each pair (target, hypothesis); 0 where the target is empty."""
    found = [process(*pair) if pair[0] else None for pair in pairs]
    edits = [one.substitutions + one.deletions + one.insertions if one else 0 for one in found]
    return edits, [one.hits + one.substitutions + one.deletions if one else 0 for one in found]
