"""A voice says words as a lexicon has them, and a job with another lexicon is another job."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_voice import write_timed_voice, write_voice

from s2s.errors import InputError
from unilatent import Voice
from unilatent.commands.speech import synthesize


def test_a_voice_says_words_as_a_lexicon_has_them(tmp_path: Path) -> None:
    run = write_timed_voice(tmp_path)
    plain = Voice.load(run, device="cpu")
    words = [word for word in plain.vocabulary.front_end.pronunciations if len(word) > 2]  # type: ignore[attr-defined]
    known, other = words[:2]
    lexicon = tmp_path / "lexicon.txt"
    lexicon.write_text(f"quizzlewick {' '.join(known.upper())}\n", encoding="utf-8")
    voice = Voice.load(run, device="cpu", lexicon=lexicon)
    speaker = voice.speakers[0]
    said = voice.request("x", f"Quizzlewick {other}", speaker)
    assert said.tokens == plain.request("x", f"{known} {other}", speaker).tokens
    assert said.tokens == plain.request("x", f"[[{' '.join(known.upper())}]] {other}", speaker).tokens
    assert said.text == f"Quizzlewick {other}", "as it was given"
    assert voice.fingerprint() != plain.fingerprint()
    with pytest.raises(InputError, match=r"\[\[Qx\]\]: expected"):
        plain.request("x", "a [[Qx]]", speaker)


def test_the_command_line_takes_a_lexicon(tmp_path: Path) -> None:
    run, lexicon, output = write_timed_voice(tmp_path), tmp_path / "lexicon.txt", tmp_path / "speech.wav"
    lexicon.write_text("two Q9\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"lexicon\.txt:1: 'two': expected .*, found 'Q9?'"):
        synthesize(str(run), text="Two.", output=output, lexicon=lexicon, device="cpu")
    assert not output.exists()


def test_a_voice_without_phonemes_refuses_a_lexicon(tmp_path: Path) -> None:
    lexicon = tmp_path / "lexicon.txt"
    lexicon.write_text("cat kæt\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"lexicon\.txt:1: 'cat': this voice reads no phonemes"):
        Voice.load(write_voice(tmp_path), device="cpu", lexicon=lexicon)
