"""What a sentence's hypotheses become in an output line, and rerank options that would do nothing."""

from types import SimpleNamespace

import pytest
from command_line import error_of

from s2s.decoding.base import Hypothesis
from s2s.generation.window_work import output_record

TASK = SimpleNamespace(output=lambda tokens, _: " ".join("ab"[token % 2] for token in tokens))


def hypotheses(*rows):
    return [Hypothesis(list(tokens), score, score, True) for tokens, score in rows]


def test_equal_texts_come_once_with_their_best_score():
    made = output_record(TASK, 7, hypotheses(([0, 1], -1.0), ([2, 3], -2.0), ([1], -3.0)), "")
    assert made == {
        "id": 7,
        "tgt": "a b",
        "score": -1.0,
        "nbest": [{"tgt": "a b", "score": -1.0}, {"tgt": "b", "score": -3.0}],
    }
    assert output_record(TASK, 7, hypotheses(([0], -1.0)), "") == {"id": 7, "tgt": "a", "score": -1.0}


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--length-penalty", "nan"], "'--length-penalty': must be "),
        (["--length-penalty", "-1"], "'--length-penalty': must be "),
        (["--length-penalty", "inf"], "'--length-penalty': must be "),
        (["--length-reward", "nan"], "'--length-reward': must be a finite number, found nan"),
        (["--length-reward", "-inf"], "'--length-reward': must be a finite number, found -inf"),
        (
            ["--length-reward", "1", "--expected-length", "inf"],
            "'--expected-length': must be a finite number, found inf",
        ),
        (["--length-reward", "1", "--expected-length", "-3"], "'--expected-length': must be "),
        (["--length-penalty", "1", "--expected-length", "3"], "--expected-length: needs --length-reward"),
        (["--length-reward", "1", "--length-penalty-form", "power"], "--length-penalty-form: needs --length-penalty"),
        ([], "give either --length-penalty or --length-reward"),
    ],
)
def test_rerank_refuses_numbers_and_flags_that_do_nothing(tmp_path, flags, message):
    assert message in error_of("rerank", tmp_path, "--trace", "x", *flags)


@pytest.mark.parametrize("flag", ["--window", "--max-tokens", "--max-sentences"])
@pytest.mark.parametrize("value", ["0", "-1", "1" + "0" * 20])
def test_decode_refuses_sizes_that_cannot_be(tmp_path, flag, value):
    assert f"'{flag}': must be " in error_of("decode", tmp_path, flag, value)
