"""A prepared corpus as `fairseq-preprocess` takes it: vocabulary items between spaces, and their dictionary."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from data_prep.corpus_writer import SPLITS
from data_prep.fairseq_names import SPECIAL
from s2s.data.jsonl import read_records, text_field
from s2s.data.tokenizer import Tokenizer
from s2s.durable import whole_file, writing
from s2s.errors import InputError, shown

DICTIONARY = "dict.txt"
_SIDES = {"src": "src", "tgt": "tgt"}
"""Suffix of a file, which fairseq calls its language, and field of a record."""


def write(folder: Path, corpus: Path, name: str) -> str:
    """Write FOLDER/SPLIT.src and SPLIT.tgt for each split of a corpus, and FOLDER/dict.txt; returns the summary.

    The dictionary holds every item of the tokenizer, but its special ones: fairseq has its own, and our plugin reads
    `<s>`, `<pad>`, `</s>` and `<unk>` as the tokenizer's [CLS], [PAD], [SEP] and [UNK].

    Args:
        name: Folder or hub id of the tokenizer.

    Raises:
        InputError: the corpus holds no split, one of its records is bad, or the tokenizer cannot be read.
    """
    files = {split: corpus / f"{split}.jsonl" for split in SPLITS if (corpus / f"{split}.jsonl").is_file()}
    if not files:
        raise InputError(f"{corpus}: expected a prepared corpus with train.jsonl, valid.jsonl or test.jsonl")
    tokenizer = Tokenizer.load(name)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    counts = {split: _write_split(folder, split, path, tokenizer) for split, path in files.items()}
    items = list(_items(tokenizer))
    with whole_file(folder / DICTIONARY) as file:
        file.writelines(f"{item} 1\n".encode() for item in items)
    pairs = ", ".join(f"{count:,} of {split}" for split, count in counts.items())
    return f"{folder}: {pairs}; a dictionary of {len(items):,} items"


def _write_split(folder: Path, split: str, path: Path, tokenizer: Tokenizer) -> int:
    count = 0
    with contextlib.ExitStack() as stack:
        files = {
            field: stack.enter_context(whole_file(folder / f"{split}.{suffix}")) for suffix, field in _SIDES.items()
        }
        for where, record in read_records(path):
            lines = {field: _line(text_field(record, field, where), field, where, tokenizer) for field in files}
            for field, file in files.items():
                file.write(lines[field].encode())
            count += 1
    return count


def _line(text: str | list[str], field: str, where: str, tokenizer: Tokenizer) -> str:
    ids = tokenizer.encode(text)
    items = tokenizer.tokens(ids)
    if not items:
        raise InputError(f"{where}: {field!r} holds no token (only blanks or control characters)")
    if split := next((item for item in items if not _is_one_word(item)), None):
        raise InputError(f"{where}: {field!r} holds the item {shown(split)}, which fairseq would divide")
    return " ".join("<unk>" if id == tokenizer.unknown else item for id, item in zip(ids, items, strict=True)) + "\n"


def _items(tokenizer: Tokenizer) -> Iterator[str]:
    left_out = {*vars(tokenizer.special).values()} - {tokenizer.special.mask, tokenizer.special.pseudo}
    left_out |= {tokenizer.unknown} if tokenizer.unknown is not None else set()
    for id, item in enumerate(tokenizer.tokens(range(tokenizer.vocab_size))):
        if id not in left_out and item not in SPECIAL and _is_one_word(item):
            yield item


def _is_one_word(item: str) -> bool:
    return item.split() == [item]
