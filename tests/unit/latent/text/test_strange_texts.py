"""Texts that nobody meant a voice to read: each is read, or refused in one line, and what was lost is told."""

from __future__ import annotations

import time

import pytest

pytest.importorskip("num2words")

from latent.data.vocabulary import SpeechVocabulary
from latent.text.front_end import NothingToSay
from latent.text.g2p.guesser import Guesser
from latent.text.phonemes import PhonemeFrontEnd
from latent.text.spoken import spoken

LETTERS = {
    **{"a.": "EY1", "b": "B IY1", "e": "IY1", "h": "EY1 CH", "i": "AY1", "l": "EH1 L", "n": "EH1 N", "p": "P IY1"},
    **{"t": "T IY1", "v": "V IY1"},
}
WORDS = {"one": "W AH1 N", "alpha": "AE1 L F AH0", "cat": "K AE1 T", "heart": "HH AA1 R T"}
DICTIONARY = {word: tuple(said.split()) for word, said in (LETTERS | WORDS).items()}


class _Voweless:
    """A model that says each letter as a consonant."""

    def sounds(self, word: str) -> tuple[str, ...] | None:
        return tuple({"e": "IY1"}.get(letter, "T") for letter in word) if word.isascii() else None


FRONT_END = PhonemeFrontEnd(DICTIONARY, Guesser(DICTIONARY, _Voweless()))  # type: ignore[arg-type]


def vocabulary(language: str = "en") -> SpeechVocabulary:
    return SpeechVocabulary(["ann"], 1.0, FRONT_END, language)


@pytest.mark.parametrize("language", ["en", "fr", "de", "xx"])
def test_ten_thousand_digits_are_read_one_by_one_in_time(language: str) -> None:
    begin = time.monotonic()
    said = spoken("1" * 10_000, language)
    assert len(said.split()) == 10_000 or language == "xx"
    assert vocabulary(language).read("1" * 10_000).tokens
    assert time.monotonic() - begin < 30


def test_a_language_without_numbers_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    assert spoken("Only 5 of 10.", "tlh") == spoken("Only 5 of 10.", "tlh") == "Only 5 of 10."
    assert caplog.messages == ["numbers are not read as in the language 'tlh', which num2words does not know"]


@pytest.mark.parametrize("text", ["😀", "❤️ 👍🏽", "👨‍👩‍👧!", "🎉… 🎉", "漢字", "?!"])
def test_pictures_alone_say_nothing(text: str) -> None:
    with pytest.raises(NothingToSay, match="'text' must hold more than punctuation and emoji"):
        vocabulary().read(text)


def test_pictures_among_words_are_named_and_told() -> None:
    assert vocabulary().read("cat ❤️").spelled == ["❤"]


def test_other_scripts_are_spelled_by_the_names_of_letters_or_left_out_and_told() -> None:
    read = vocabulary().read("cat Ва cat 漢字 α")
    assert read.spelled == ["ва", "α"]
    assert read.dropped == ["漢字"]
    assert FRONT_END.names_by_part("α")[0] == [" ", "/AE1", "/L", "/F", "/AH0", " "]


def test_a_word_without_a_vowel_is_its_letters_and_told() -> None:
    read = FRONT_END.read("tbh pet ab")
    assert read.guessed == {"tbh": "T IY1 B IY1 EY1 CH", "pet": "T IY1 T", "ab": "EY1 B IY1"}
    assert read.spelled == []
