"""Words said as a text or a lexicon says: in IPA or phonemes, untouched by other rules; what is neither is named."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latent.text.byte_text import ByteFrontEnd
from latent.text.labels import without_directions
from latent.text.lexicon import Lexicon
from latent.text.phonemes import PhonemeFrontEnd
from latent.text.pronunciation import units_of
from latent.text.splitting import split_text
from latent.text.spoken import spoken
from s2s.errors import InputError

VOWELS = re.findall(r"\w+", "AA AE AH AO AW AY EH ER EY IH IY OW OY UH UW")
CONSONANTS = re.findall(r"\w+", "B CH D DH F G HH JH K L M N NG P R S SH T TH V W Y Z ZH")
STRESSED = [*CONSONANTS, *(vowel + stress for vowel in VOWELS for stress in "012")]
ENGLISH = PhonemeFrontEnd({"all": tuple(STRESSED), "the": ("DH", "AH0"), "cat": ("K", "AE1", "T")})


@pytest.mark.parametrize(
    ("written", "units"),
    [
        ("ˈkʌmpəni", "K AH1 M P AH0 N IY0"), ("K AH1 M P AH0 N IY0", "K AH1 M P AH0 N IY0"), ("kæt", "K AE1 T"),
        ("həˈloʊ", "HH AH0 L OW1"), ("t͡ʃɜːtʃ", "CH ER1 CH"), ("ˈbʌtl̩", "B AH1 T AH0 L"), ("ðə", "DH AH0"),
        ("ˌmʌltiˈmiːdiə", "M AH2 L T IY0 M IY1 D IY0 AH0"), ("əˈbaʊt", "AH0 B AW1 T"),
        ("/ˈvɪʒ.ən/", "V IH1 ZH AH0 N"),
        ("θɪŋ", "TH IH1 NG"), ("dʒɔɪ", "JH OY1"), ("ˈwɔɹtɚ", "W AO1 R T ER0"), ("nɪə", "N IH1 R"),
    ],
)  # fmt: skip
def test_ipa_and_phonemes_are_units_of_the_voice(written: str, units: str) -> None:
    assert units_of(written, STRESSED) == tuple(units.split())


def test_stress_is_left_out_where_the_voice_has_none() -> None:
    assert " ".join(units_of("ˈkʌmpəni", [*VOWELS, *CONSONANTS])) == "K AH M P AH N IY"
    assert units_of("K AH1 T", [*VOWELS, *CONSONANTS]) == ("K", "AH", "T")


def test_other_languages_have_units_of_their_own() -> None:
    spanish = ["a", "t", "tʃ", "o", "ˈo"]
    assert units_of("tʃ a t ˈo", spanish) == units_of("tʃatˈo", spanish) == ("tʃ", "a", "t", "ˈo")
    with pytest.raises(InputError, match=r"\[\[tʃø\]\]: expected a phoneme of this voice, found 'ø'"):
        units_of("tʃø", spanish)


@pytest.mark.parametrize(
    ("written", "error"),
    [
        ("yø", r"\[\[yø\]\]: expected an English sound in IPA, .*, found 'y' \(latin small letter y\)"),
        ("K AH9", r"\[\[K AH9\]\]: expected a phoneme of this voice, found 'AH9'"),
        ("K AH", r"found 'AH'.*[Dd]id you mean 'AH\d'"),
        (" ", r"\[\[ \]\]: expected a pronunciation, found none"),
    ],
)
def test_an_unknown_symbol_is_named(written: str, error: str) -> None:
    with pytest.raises(InputError, match=error):
        units_of(written, STRESSED)


@given(st.lists(st.sampled_from(STRESSED), min_size=1, max_size=9))
def test_every_phoneme_of_the_voice_can_be_written(units: list[str]) -> None:
    assert ENGLISH.pronounce(" ".join(units)) == tuple(units)
    names = ENGLISH.names_by_part(f"the [[{' '.join(units)}]].")
    assert names == [["/DH", "/AH0"], [" "], [f"/{unit}" for unit in units], ["."]]


def test_nothing_else_reads_a_pronunciation() -> None:
    text = "On 3/4 the [[K AE1 T]] paid $5 to **[[ˈkʌmpəni]]**, e.g. 1st."
    said = spoken(text, "en")
    assert "[[K AE1 T]]" in said
    assert "[[ˈkʌmpəni]]" in said
    assert "five dollars" in said
    assert spoken(said, "en") == said
    assert spoken("[[a 1]] 2", "de") == "[[a 1]] zwei"
    assert without_directions("(laughs) The [[K AE1 T]] [sighs] sat.")[0] == "The [[K AE1 T]] sat."
    assert split_text("a [[K AE1 T]] b", lambda piece: len(piece) < 12) == ["a", "[[K AE1 T]]", "b"]


def test_a_word_in_s_follows_the_pronunciation() -> None:
    assert ENGLISH.names_by_part("[[K AE1 T]]'s") == [["/K", "/AE1", "/T", "/S"]]
    assert ENGLISH.read("the [[K AE1 T]]").guessed == {}
    assert ENGLISH.read("the [[K AE1 T]]").spelled == []


def test_front_ends_without_phonemes_refuse_pronunciations() -> None:
    with pytest.raises(InputError, match=r"\[\[x\]\]: this voice reads no phonemes, .* 'bytes'"):
        ByteFrontEnd().pronounce("x")


LEXICON = """# how we say things
kubernetes  ˌkuːbɚˈnɛtiz
SQL S IY1 K W AH0 L
us [[ʌs]]
US\tY UW2 EH1 S
C++ ˌsiː ˌplʌsˈplʌs
"""


def test_a_lexicon_says_words_by_their_case(tmp_path: Path) -> None:
    path = tmp_path / "lexicon.txt"
    path.write_text(LEXICON, encoding="utf-8-sig")
    lexicon = Lexicon.read(path, ENGLISH)
    text = "Kubernetes told us: the US has SQL, not MySQL or sql; C++ is [[kæt]] kubernetes's."
    assert lexicon.apply(text) == (
        "[[ˌkuːbɚˈnɛtiz]] told [[ʌs]]: the [[Y UW2 EH1 S]] has [[S IY1 K W AH0 L]], not MySQL or sql; "
        "[[ˌsiː ˌplʌsˈplʌs]] is [[kæt]] [[ˌkuːbɚˈnɛtiz]]'s."
    )
    path.write_text("cat kæt\n")
    assert Lexicon.read(path, ENGLISH).fingerprint != lexicon.fingerprint


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ("cat kæt\ndog døg\n", r"lexicon\.txt:2: 'dog': expected an English sound in IPA, .*, found 'ø'"),
        ("\n# x\ncat K AE4 T\n", r"lexicon\.txt:3: 'cat': expected a phoneme of this voice, found 'AE4'"),
        ("cat\n", r"lexicon\.txt:1: 'cat': expected a pronunciation, found none"),
        ("# nothing\n", r"lexicon\.txt: expected lines of a word and its pronunciation, found none"),
    ],
)
def test_a_wrong_line_of_a_lexicon_is_named(tmp_path: Path, content: str, error: str) -> None:
    (tmp_path / "lexicon.txt").write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=error):
        Lexicon.read(tmp_path / "lexicon.txt", ENGLISH)


def test_a_lexicon_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.txt: cannot be read"):
        Lexicon.read(tmp_path / "none.txt", ENGLISH)
    (tmp_path / "latin").write_bytes(b"caf\xe9 k")
    with pytest.raises(InputError, match="latin: cannot be read"):
        Lexicon.read(tmp_path / "latin", ENGLISH)
    (tmp_path / "words.txt").write_text("cat kæt\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"words\.txt:1: 'cat': this voice reads no phonemes"):
        Lexicon.read(tmp_path / "words.txt", ByteFrontEnd())
