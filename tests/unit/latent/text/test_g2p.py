"""Words that a dictionary lacks are said by what it teaches, and what was guessed is told."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latent.text.g2p.alignment import align
from latent.text.g2p.guesser import Guesser
from latent.text.g2p.joint_model import JointModel
from latent.text.g2p.ngrams import EDGE, Ngrams
from latent.text.phonemes import MARKS, PhonemeFrontEnd

CONSONANTS = {"b": "B", "d": "D", "k": "K", "s": "S", "t": "T", "z": "Z"}
VOWELS = {"a": "AE", "e": "EH", "i": "IH"}
"""A language that is said as it is spelled, but that "x" is two sounds, and "h" none; its first vowel is stressed."""


def sounds(word: str) -> tuple[str, ...]:
    said: list[str] = []
    for letter in word:
        if letter in VOWELS:
            said.append(VOWELS[letter] + ("0" if any(unit[-1] == "1" for unit in said) else "1"))
        elif letter != "h":
            said += {"x": ["K", "S"]}.get(letter, [CONSONANTS.get(letter, "")])
    return tuple(said)


def all_words() -> list[str]:
    syllables = [c + v for c in [*CONSONANTS, "x", "kh"] for v in VOWELS]
    return ["".join(each) for each in itertools.product(syllables, syllables, ["", *syllables])]


WORDS = all_words()
NEW = next(word for word in WORDS[1::3] if word.startswith("ta") and "kh" in word)
TAUGHT = {word: sounds(word) for word in WORDS[::3]} | {"cat": ("K", "AE1", "T"), "IH0": ("IH0",)}


@pytest.fixture(scope="module")
def model() -> JointModel:
    return JointModel.learn(TAUGHT)


def test_letters_are_aligned_with_their_sounds() -> None:
    aligned = dict(zip(TAUGHT, align(list(TAUGHT.items())), strict=True))
    assert (
        aligned["xaba"] == [("x", ("K", "S")), ("a", ("AE1",)), ("b", ("B",)), ("a", ("AE0",))] or "xaba" not in TAUGHT
    )
    for word, path in aligned.items():
        assert "".join(letter for letter, _ in path) == word
        assert tuple(unit for _, made in path for unit in made) == TAUGHT[word]


def test_words_with_too_many_sounds_for_their_letters_are_left_out() -> None:
    said = [("ab", ("AE1", "B")), ("w", ("D", "AH1", "B"))]
    assert ["".join(letter for letter, _ in path) for path in align(said)] == ["ab"]


def test_words_never_seen_are_said_by_the_rules_of_the_others(model: JointModel) -> None:
    new = WORDS[1::45]
    right = sum(model.sounds(word) == sounds(word) for word in new)
    assert right > 0.98 * len(new)
    assert model.sounds("kwa") is None, "no word has this letter"
    assert model.sounds("") is None


def test_a_model_comes_back_from_its_bytes(model: JointModel) -> None:
    again = JointModel.unpack(model.pack())
    assert again.pack() == model.pack()
    assert all(again.sounds(word) == model.sounds(word) for word in WORDS[1::200])
    for broken in (b"", b"xz", model.pack()[:-40]):
        with pytest.raises(ValueError, match="broken model of pronunciations"):
            JointModel.unpack(broken)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(st.integers(1, 4), max_size=7), min_size=3, max_size=12), st.integers(1, 40))
def test_probabilities_of_what_follows_add_up_to_one(sequences: list[list[int]], most: int) -> None:
    ngrams = Ngrams.learn(sequences, 5, most)
    state = ngrams.start()
    for number in [*sequences[0], EDGE]:
        scores, after = ngrams.after(state, np.arange(5))
        assert np.exp(scores).sum() == pytest.approx(1, abs=0.15), "but for rounding to a byte"
        state = after[:, number]


def test_english_forms_in_s_are_said_by_their_stems() -> None:
    known = {
        "cat": "K AE1 T",
        "dog": "D AO1 G",
        "box": "B AA1 K S",
        "pony": "P OW1 N IY0",
        "it": "IH0 T",
        "zoo": "Z UW1",
    }
    guesser = Guesser({word: tuple(said.split()) for word, said in known.items()})
    forms = {"cats": "S", "dog's": "Z", "box's": "IH0 Z", "ponies": "Z", "cats'": None, "zoos": "Z"}
    stems = {"ponies": "pony"}
    for form, added in forms.items():
        stem = known[stems.get(form, form.split("'")[0].removesuffix("s"))] if added else None
        expected = None if added is None else tuple(f"{stem} {added}".split())
        assert guesser.inflected(form) == expected, form
    assert guesser.inflected("catss") is guesser.inflected("cat") is None
    assert Guesser({"gato": ("g", "a", "t", "o")}).inflected("gatos") is None, "no English dictionary"


@pytest.fixture(scope="module")
def front_end(model: JointModel) -> PhonemeFrontEnd:
    return PhonemeFrontEnd(TAUGHT, Guesser(TAUGHT, model))


def test_guesses_are_told_and_known_words_are_not(front_end: PhonemeFrontEnd) -> None:
    accented = NEW.replace("a", "á", 1)
    read = front_end.read(f"Cat, {NEW} cats' {accented.title()} qux!")
    assert read.guessed == {word: " ".join(sounds(NEW)) for word in (NEW, accented)}
    assert read.spelled == ["cats'", "qux"], "letters that no word of the dictionary has"
    assert read.dropped == []
    assert front_end.names_by_part(accented) == [[f"/{unit}" for unit in sounds(NEW)]]


def test_a_saved_front_end_guesses_the_same(front_end: PhonemeFrontEnd, tmp_path: Path) -> None:
    front_end.save(tmp_path)
    again = PhonemeFrontEnd.load(tmp_path)
    assert again.read(NEW) == front_end.read(NEW)
    assert again.read(NEW).guessed
    (tmp_path / "guesses.xz").write_bytes(b"broken")
    with pytest.raises(ValueError, match="broken model"):
        PhonemeFrontEnd.load(tmp_path)


def test_runs_without_guesses_spell_as_before(tmp_path: Path) -> None:
    PhonemeFrontEnd(TAUGHT).save(tmp_path)
    read = PhonemeFrontEnd.load(tmp_path).read(NEW)
    assert (read.guessed, read.spelled) == ({}, [NEW])


@settings(deadline=None)
@given(text=st.text(st.sampled_from("abkhxé'A漢 .-€❤ÅıßФ"), max_size=30))
def test_no_word_is_too_strange(front_end: PhonemeFrontEnd, text: str) -> None:
    read = front_end.read(text)
    assert all(0 <= token < len(front_end) for token in read.tokens)
    assert all(unit in front_end._ids for said in read.guessed.values() for unit in map("/{}".format, said.split()))
    assert not set(read.guessed) & {*read.spelled, *read.dropped, *MARKS}


@pytest.mark.parametrize(
    ("text", "letters"),
    [("A cat and a dog.", 0), ("U S A", 1), ("the A A A", 3), ("plan A.", 1), ("vitamin A, or", 1),
     ("Q and A session", 1), ("got an A in math", 1), ("A-list", 1), ("A B", 1), ("Once Upon A Time", 0),
     ("I saw A, A and B", 2)],
)  # fmt: skip
def test_the_letter_a_has_its_name(text: str, letters: int) -> None:
    front_end = PhonemeFrontEnd({"a": ("AH0",), "a.": ("EY1",)})
    assert sum(names == ["/EY1"] for names in front_end.names_by_part(text)) == letters
