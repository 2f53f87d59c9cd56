"""The clean-up of the s2s-ft scripts. The whole golden case is run by tests/golden; here are the rules one by one.

Expected texts marked (s2s-ft) come from running the original evaluation scripts (golden case postprocess, 2026-11).
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.postprocess import fix_tokenization, one_line, postprocess

CORPORA = ["xsum", "cnndm", "gigaword", "qg"]
plain_words = st.lists(st.text("abcxyz", min_size=1, max_size=6), min_size=1, max_size=12)


@pytest.mark.parametrize("corpus", CORPORA)
@pytest.mark.parametrize(
    ("torn", "joined"),
    [
        ("the company didn ' t pay", "the company did n't pay"),  # (s2s-ft)
        ("$ 3 , 000 or 4 . 5 %", "$ 3,000 or 4.5 %"),  # (s2s-ft)
        ("she ' d said it ' s", "she 'd said it 's"),  # (s2s-ft)
        ("fled . . . then", "fled ... then"),  # (s2s-ft)
        ("U . S . A . officials", "U.S. . A . officials"),  # (s2s-ft), odd but published
    ],
)
def test_torn_tokens_are_joined_in_every_corpus(corpus: str, torn: str, joined: str) -> None:
    assert fix_tokenization(torn, corpus) == joined


def test_quotes_open_and_close_but_not_in_xsum() -> None:
    text = "\" we \" ' so '"
    assert fix_tokenization(text, "cnndm") == "`` we '' ` so '"
    assert fix_tokenization(text, "xsum") == text


def test_dashes_are_joined_but_not_in_xsum() -> None:
    text = "- a 2 - 1 win - - well - known -"
    assert fix_tokenization(text, "gigaword") == "- a 2-1 win -- well-known -"
    assert fix_tokenization(text, "xsum") == text


@pytest.mark.parametrize(
    ("corpus", "expected"),
    [
        ("xsum", "( [UNK] & <unk> )"),
        ("cnndm", "-LRB- [UNK] & <unk> -RRB-"),
        ("gigaword", "-lrb- UNK &amp; UNK -rrb-"),
        ("qg", "-lrb- UNK &amp; <unk> -rrb-"),
    ],
)
def test_brackets_and_unknowns_are_written_as_the_corpus_does(corpus: str, expected: str) -> None:
    assert fix_tokenization("( [UNK] & <unk> )", corpus) == expected


@pytest.mark.parametrize("corpus", CORPORA)
@given(tokens=plain_words)
def test_plain_words_stay_as_they_are(corpus: str, tokens: list[str]) -> None:
    assert fix_tokenization("  ".join(tokens), corpus) == " ".join(tokens)


@pytest.mark.parametrize("corpus", CORPORA)
@given(text=st.text("ntsAB3 .,'\"-()[]&", max_size=40))
def test_no_text_breaks_the_clean_up(corpus: str, text: str) -> None:
    assert fix_tokenization(text, corpus).replace(" ", "") or not text.strip()


def test_gigaword_writes_the_digit_one_as_a_hash() -> None:
    assert postprocess("in 1 9 9 1", "gigaword") == "in # 9 9 #"  # (s2s-ft)


def test_cnndm_drops_short_and_repeated_sentences() -> None:
    said = "too short to keep [X_SEP] police said the man fled [X_SEP] The man fled police said"
    said += " [X_SEP] he was caught on sunday"
    assert postprocess(said, "cnndm", duplicate_rate=0.7) == "police said the man fled\nhe was caught on sunday"
    assert postprocess(said, "cnndm").count("\n") == 2  # without a rate nothing counts as repeated


def test_cnndm_sentences_may_be_marked_by_newlines_too() -> None:
    marked, lines = "a b c d e [X_SEP] f g h i j", "a b c d e\nf g h i j"
    assert postprocess(marked, "cnndm") == postprocess(lines, "cnndm") == lines
    assert one_line(lines) == marked


@given(lengths=st.lists(st.integers(5, 9), min_size=1, max_size=4), limit=st.integers(1, 40))
def test_truncation_counts_words_over_all_sentences(lengths: list[int], limit: int) -> None:
    text = " [X_SEP] ".join(" ".join(f"w{n}x{i}" for i in range(length)) for n, length in enumerate(lengths))
    kept = postprocess(text, "cnndm", trunc_len=limit)
    assert kept.split() == postprocess(text, "cnndm").split()[:limit]
    assert not kept.endswith("\n")


def test_questions_are_lower_cased() -> None:
    assert postprocess("What is NASA ' s budget ?", "qg") == "what is nasa 's budget ?"
