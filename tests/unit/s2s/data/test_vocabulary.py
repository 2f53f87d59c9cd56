"""Vocabulary trimming: segmentations stay, anything can still be written, what is asked for is kept."""

from __future__ import annotations

import json
import re
from collections import Counter
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer as Backend
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers

from s2s.data.tokenizer import Tokenizer
from s2s.data.vocabulary import choose_pieces, trimmed
from s2s.errors import InputError

BERT = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
ROBERTA = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
SAMPLE = Path(__file__).parents[4] / "data_prep/sample/en/train.jsonl"
TEXTS = [json.loads(line)["src"] for line in SAMPLE.read_text(encoding="utf-8").splitlines()[:150]]
KINDS = ("WordPiece", "BPE", "Unigram")


@lru_cache
def tokenizer_of(kind: str) -> Tokenizer:
    """A tokenizer of 700 pieces, learned from real texts."""
    if kind == "WordPiece":
        backend = Backend(models.WordPiece(unk_token="[UNK]"))
        backend.normalizer, backend.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
        trainer = trainers.WordPieceTrainer(vocab_size=700, special_tokens=BERT, show_progress=False)
    elif kind == "BPE":
        backend = Backend(models.BPE())
        backend.pre_tokenizer, backend.decoder = pre_tokenizers.ByteLevel(), decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        options = {"special_tokens": ROBERTA, "initial_alphabet": alphabet, "show_progress": False}
        trainer = trainers.BpeTrainer(vocab_size=700, **options)
    else:
        backend = Backend(models.Unigram())
        backend.normalizer, backend.pre_tokenizer = normalizers.NFKC(), pre_tokenizers.Metaspace()
        backend.decoder = decoders.Metaspace()
        options = {"special_tokens": ROBERTA, "unk_token": "<unk>", "show_progress": False}
        trainer = trainers.UnigramTrainer(vocab_size=700, **options)
    backend.train_from_iterator(TEXTS, trainer)
    names = BERT if kind == "WordPiece" else ROBERTA
    begin, end = ("[CLS]", "[SEP]") if kind == "WordPiece" else ("<s>", "</s>")
    around = [(token, backend.token_to_id(token)) for token in (begin, end)]
    backend.post_processor = processors.TemplateProcessing(f"{begin} $A {end}", special_tokens=around)
    with TemporaryDirectory() as folder:
        backend.save(f"{folder}/tokenizer.json")
        settings = {"cls_token": begin, "sep_token": end, "mask_token": names[-1]}
        (Path(folder) / "tokenizer_config.json").write_text(json.dumps(settings))
        return Tokenizer.load(folder, added_tokens=["[X_SEP]"])


def words_of(tokenizer: Tokenizer, text: str) -> list[str]:
    return tokenizer.tokens(tokenizer.encode(text))


def smaller(tokenizer: Tokenizer, texts: list[str], size: int | None = None) -> tuple[Tokenizer, list[int]]:
    counts = Counter(id for ids in tokenizer.encode_many(texts) for id in ids)
    kept = choose_pieces(tokenizer, counts, size)
    return trimmed(tokenizer, kept), kept


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=25, deadline=None)
@given(chosen=st.lists(st.sampled_from(TEXTS), min_size=1, max_size=6))
def test_texts_whose_pieces_are_kept_are_segmented_as_before(kind: str, chosen: list[str]) -> None:
    whole = tokenizer_of(kind)
    small, kept = smaller(whole, chosen)
    assert small.vocab_size == len(kept) < whole.vocab_size
    for text in [*chosen, *TEXTS]:
        pieces = words_of(whole, text)
        if set(whole.encode(text)) <= set(kept):
            assert words_of(small, text) == pieces
            assert small.text(small.encode(text)) == whole.text(whole.encode(text))
    assert all(set(whole.encode(text)) <= set(kept) for text in chosen)


@pytest.mark.parametrize("kind", KINDS)
def test_any_text_can_still_be_written(kind: str) -> None:
    whole = tokenizer_of(kind)
    small, _ = smaller(whole, TEXTS[:3])
    for text in TEXTS:
        assert small.unknown is None or small.unknown not in small.encode(text)
        assert small.text(small.encode(text)) == whole.text(whole.encode(text))
        assert len(small.encode(text)) >= len(whole.encode(text))


@pytest.mark.parametrize("kind", KINDS)
def test_special_and_added_tokens_stay_and_go_around_texts(kind: str) -> None:
    whole = tokenizer_of(kind)
    small, kept = smaller(whole, TEXTS[:3])
    for role in ("cls", "sep", "mask", "pad"):
        (before,), (after,) = whole.tokens([getattr(whole.special, role)]), small.tokens([getattr(small.special, role)])
        assert before == after
    assert small.tokens([small.token_id("[X_SEP]")]) == ["[X_SEP]"]
    assert small.tokens(range(small.vocab_size)) == whole.tokens(kept)
    ids = small.backend.encode(TEXTS[0]).ids
    assert ids == [small.special.cls, *small.encode(TEXTS[0]), small.special.sep]


@pytest.mark.parametrize("kind", KINDS)
def test_the_size_is_a_limit_and_frequent_pieces_come_first(kind: str) -> None:
    whole = tokenizer_of(kind)
    counts = Counter(id for ids in whole.encode_many(TEXTS) for id in ids)
    must = len(choose_pieces(whole, {}))
    kept = choose_pieces(whole, counts, must + 20)
    assert must + 10 <= len(kept) <= must + 20
    assert {id for id, _ in counts.most_common(5)} <= set(kept)
    with pytest.raises(InputError, match=f"a vocabulary of {must - 1} pieces is too small; .* are {must}"):
        choose_pieces(whole, counts, must - 1)


def test_another_kind_of_vocabulary_is_refused(tmp_path: Path) -> None:
    backend = Backend(models.WordLevel({token: id for id, token in enumerate([*BERT, "word"])}, unk_token="[UNK]"))
    backend.save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(InputError, match="is of the kind WordLevel; only WordPiece, BPE, Unigram can be trimmed"):
        choose_pieces(Tokenizer.load(tmp_path), {})


@pytest.mark.parametrize("kind", KINDS)
def test_a_vocabulary_without_a_special_token_is_refused_by_its_name(kind: str) -> None:
    tokenizer = tokenizer_of(kind)
    for lost in tokenizer.special_ids:
        kept = [id for id in range(tokenizer.vocab_size) if id != lost]
        (name,) = tokenizer.tokens([lost])
        with pytest.raises(InputError, match=rf"must keep the special token {re.escape(repr(name))}$"):
            trimmed(tokenizer, kept)
