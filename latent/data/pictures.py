"""Lists of pictures: JSON lines with the file of each, and what it shows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from latent.data.manifest import string_field
from latent.images.files import Pixels, read_image
from s2s.data.jsonl import read_records
from s2s.errors import InputError


@dataclass(frozen=True)
class Picture:
    """One line of a list.

    Args:
        id: Unique in the list.
        image: The file; the list gives its path relative to its own folder, or an absolute one.
        text: What it shows, its class or a caption (`text`, else `tgt`); empty where the line has neither.
        where: File and line, for messages.
    """

    id: str
    image: Path
    text: str
    where: str

    def pixels(self, size: int, channels: int) -> Pixels:
        """Its pixels `(channels, size, size)`; InputError, with the line, if they cannot be read."""
        try:
            return read_image(self.image, size, channels)
        except InputError as error:
            raise InputError(f"{self.where}: 'image': {error}") from error


def read_pictures(path: str | Path) -> list[Picture]:
    """All pictures of a list.

    Raises:
        InputError: a line lacks id or image; a value has another type; two lines have the same id; a file is missing;
            the list has no line.
    """
    pictures: dict[str, Picture] = {}
    for where, record in read_records(path):
        identity = string_field(record, "id", where)
        if identity in pictures:
            raise InputError(f"{where}: 'id' {identity!r} is that of an earlier line; ids must differ")
        image = Path(path).parent / string_field(record, "image", where)
        if not image.is_file():
            raise InputError(f"{where}: 'image': {image}: there is no such file")
        caption = next((name for name in ("text", "tgt") if record.get(name) is not None), None)
        text = string_field(record, caption, where) if caption else ""
        pictures[identity] = Picture(identity, image, text, where)
    return list(pictures.values())
