"""The texts that a recognizer learns to write, and units of texts that are learned from them: characters or pieces."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from typing import Literal

from tokenizers import AddedToken, decoders, models, normalizers, pre_tokenizers, trainers
from tokenizers import Tokenizer as Backend

from latent.text.spoken import plain, spoken
from s2s.data.tokenizer import Tokenizer

Writing = Literal["words", "as_written"]

_SPECIAL = {"pad": "[PAD]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
_UNKNOWN = "[UNK]"
_JOINERS = "'"


def written(text: str, language: str, writing: Writing) -> str:
    """A text as a recognizer writes it.

    "words": as it is spoken, numbers and signs as words, in lower case, without punctuation: what can be heard.
    "as_written": unchanged, but for plain quotes and dashes and single blanks.
    """
    if writing == "as_written":
        return plain(text)
    kept = (sign if _is_heard(sign) else " " for sign in spoken(text, language).casefold())
    return " ".join(word for part in "".join(kept).split() if (word := part.strip(_JOINERS)))


def character_tokenizer(texts: Iterable[str]) -> Tokenizer:
    """A tokenizer whose items are the characters of some texts; others become [UNK]."""
    alphabet = sorted({sign for text in texts for sign in text})
    items = [*_SPECIAL.values(), _UNKNOWN, *alphabet]
    model = models.BPE(vocab={item: id for id, item in enumerate(items)}, merges=[], unk_token=_UNKNOWN)
    backend = Backend(model)
    backend.add_special_tokens([AddedToken(item, special=True) for item in (*_SPECIAL.values(), _UNKNOWN)])
    backend.decoder = decoders.Fuse()
    return Tokenizer(backend, dict(_SPECIAL), "characters")


def piece_tokenizer(texts: Iterable[str], size: int, lower_case: bool, added_tokens: Sequence[str] = ()) -> Tokenizer:
    """A tokenizer of at most `size` pieces, frequent parts of the words of some texts (byte-pair encoding).

    `added_tokens` come in addition. Characters that the texts lack become [UNK].
    """
    backend = Backend(models.BPE(unk_token=_UNKNOWN))
    lowered = [normalizers.Lowercase()] if lower_case else []
    backend.normalizer = normalizers.Sequence([normalizers.NFC(), *lowered])
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Metaspace()
    special = [AddedToken(item, special=True) for item in (*_SPECIAL.values(), _UNKNOWN)]
    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=special, show_progress=False)
    backend.train_from_iterator(texts, trainer)
    backend.add_tokens([AddedToken(token, normalized=False) for token in added_tokens])
    return Tokenizer(backend, dict(_SPECIAL), "pieces")


def _is_heard(sign: str) -> bool:
    return sign in _JOINERS or unicodedata.category(sign)[0] in "LMN"
