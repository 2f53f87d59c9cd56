"""What is to be prepared."""

from __future__ import annotations

from dataclasses import dataclass

from data_prep.pretrain_text.raw_text import Unit


@dataclass(frozen=True)
class Settings:
    """The options of `prepare pretrain-text`, whose help explains the fields."""

    inputs: tuple[str, ...]
    tokenizer: str
    document: Unit
    field: str
    exclude: tuple[str, ...]
    exclude_words: int
    exclude_shortest: int
    max_length: int
    min_tokens: int
    valid_share: float
    shard_tokens: int
    seed: int
