"""The text tokenizer of a released language model."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from s2s.errors import InputError, reason_of
from s2s.json_files import read_object


class TextEncoder:
    """Text to tokens by a tokenizer of transformers, without special tokens, also where the text spells them out."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._special = re.compile("|".join(map(re.escape, tokenizer.get_added_vocab())) or r"(?!)")

    def __len__(self) -> int:
        return len(self._tokenizer)

    def __call__(self, text: str) -> Sequence[int]:
        tokens: list[int] = self._tokenizer.encode(self._special.sub("", text), add_special_tokens=False)
        return tokens

    def save(self, folder: Path) -> None:
        """Write the tokenizer's files into a folder."""
        self._tokenizer.save_pretrained(folder)

    def decode(self, tokens: Iterable[int]) -> str:
        """The text of tokens, without special ones."""
        text: str = self._tokenizer.decode(list(tokens), skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return text

    def special(self, token: str) -> int | None:
        """The id of a special token, or None if the tokenizer has none of that spelling."""
        found: int | None = self._tokenizer.get_added_vocab().get(token)
        return found


def load_text_encoder(folder: Path, name: str | None) -> TextEncoder:
    """The tokenizer of a checkpoint.

    Args:
        folder: The checkpoint, which may hold the tokenizer, or name it in preprocessor_config.json.
        name: A folder or hub id to use instead.

    Raises:
        InputError: no tokenizer is named, or it cannot be loaded.
    """
    from transformers import AutoTokenizer

    if name is None and not (folder / "tokenizer.json").is_file():
        facts = folder / "preprocessor_config.json"
        name = read_object(facts).get("language_model_pretrained_name") if facts.is_file() else None
        if name is None:
            raise InputError(f"{folder}: has no text tokenizer and names none; give --tokenizer (Qwen/Qwen2.5-1.5B)")
    try:
        tokenizer = AutoTokenizer.from_pretrained(name or str(folder))
    except (OSError, ValueError) as error:
        raise InputError(f"--tokenizer {name}: cannot be loaded: {reason_of(error)}") from error
    return TextEncoder(tokenizer)
