"""Text that is being written: what is settled does not depend on the pieces, and tokens are those of the whole."""

from __future__ import annotations

import io
import itertools
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from latent.text.arriving import ArrivingText, arriving_sentences, arriving_words, pieces_of
from s2s.data.sentences import sentence_ends
from s2s.errors import InputError

QWEN = (  # how Qwen2.5, whose tokens VibeVoice reads, splits text before it merges bytes
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
CORPUS = ["It's 3 o'clock, isn't it? \n\nNo.  We'll see -- \u4f60\u597d\uff0c\u4e16\u754c\u3002 (e\u0301) 12.5%\n"] * 3
TEXTS = st.text(st.sampled_from("ab I'sl.,!?\u3002\uff0c\u4f60\u597d\u0301-_1 \n\t\r\u2019"), max_size=40)


@pytest.fixture(scope="module")
def qwen() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(QWEN), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=320, initial_alphabet=alphabet))
    return tokenizer


def cut(text: str, places: list[int]) -> list[str]:
    ends = sorted({place % (len(text) + 1) for place in places})
    return [text[start:end] for start, end in zip([0, *ends], [*ends, len(text)], strict=True)]


@given(TEXTS, st.lists(st.integers(0, 40), max_size=6))
def test_words_are_those_of_the_whole_text(qwen: Tokenizer, text: str, places: list[int]) -> None:
    words = list(arriving_words(cut(text, places)))
    assert words == list(arriving_words([text]))
    assert "".join(word.text for word in words) == text.strip()
    assert [word.is_last for word in words] == [False] * (len(words) - 1) + [True] * bool(words)
    tokens = [token for word in words for token in qwen.encode(word.text).ids]
    assert tokens == qwen.encode(text.strip()).ids


WORDS = "Dr.|St.|She|a.m.|Monday|1.|b)|No.|7|:)|Hi.|so|“No.”|你好。|etc.|Est|J.|R.|!|?”|…|it's"
SENTENCES = st.lists(st.sampled_from(WORDS.split("|")), max_size=9).map(" ".join)


@given(st.one_of(TEXTS, SENTENCES), st.lists(st.integers(0, 80), max_size=6))
def test_sentences_are_those_of_the_whole_text(text: str, places: list[int]) -> None:
    whole = " ".join(text.split())
    ends = [0, *sentence_ends(whole), len(whole)]
    sentences = [whole[start:end].strip() for start, end in itertools.pairwise(ends)]
    assert list(arriving_sentences(cut(text, places))) == [sentence for sentence in sentences if sentence]


def test_what_is_settled_comes_at_once() -> None:
    def written() -> Iterator[str]:
        for piece in ("Hel", "lo the", "re. I", "t works. "):
            yield piece
            taken.append(piece)

    taken: list[str] = []
    words = arriving_words(written())
    assert next(words) == ("Hello", False)
    assert taken == ["Hel"], "the second piece shows that the word is whole"
    assert next(words) == (" there.", False)
    said = arriving_sentences(["Dr. Lee lives on Elm St.", " She", " is", " here. So.", " Yes"])
    assert list(said) == ["Dr. Lee lives on Elm St.", "She is here.", "So.", "Yes"]


def test_time_spent_waiting_is_counted() -> None:
    def slow() -> Iterator[str]:
        time.sleep(0.02)
        yield "a"
        time.sleep(0.02)
        yield "b"

    text = ArrivingText(slow())
    assert list(text) == ["a", "b"]
    assert text.begun is not None
    assert 0.04 <= text.waited < 1


def test_a_pipe_gives_what_it_has() -> None:
    class Pipe(io.BytesIO):
        def read1(self, size: int = -1) -> bytes:
            return self.read(3)

    assert "".join(pieces_of(Pipe("\ufeffné, 你好".encode()), "x")) == "né, 你好"
    with pytest.raises(InputError, match="standard input: invalid UTF-8; expected UTF-8 text"):
        list(pieces_of(io.BytesIO(b"a\xff"), "standard input"))
    with pytest.raises(InputError, match="invalid UTF-8"):
        list(pieces_of(io.BytesIO("é".encode()[:1]), "standard input"))
