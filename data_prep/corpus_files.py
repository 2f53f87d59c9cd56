"""What corpora of files beside lists share: the split of a name, and lists that appear together or not at all."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Mapping
from pathlib import Path

from s2s.durable import whole_file


def split_of_text(text: str, percents: Mapping[str, int]) -> str:
    """The split of a normal form, "train" outside the shares: the same in every corpus and version."""
    bucket = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") % 100
    for split, percent in percents.items():
        if bucket < percent:
            return split
        bucket -= percent
    return "train"


def publish_together(folder: Path, documents: Mapping[str, str]) -> None:
    """Write files by name, all of them or none; of those that would be empty, older ones are removed."""
    with contextlib.ExitStack() as files:  # all take their names when all are written
        for name, content in documents.items():
            if content:
                file = files.enter_context(whole_file(folder / name))
                file.write(content.encode())
                file.flush()  # a full disk shows here, before anything is replaced
    for name, content in documents.items():
        if not content:
            (folder / name).unlink(missing_ok=True)
