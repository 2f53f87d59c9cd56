"""Pictures with captions: their records, and how one is laid out for a model that learns to write about pictures.

    ⟂ ⟂ ⟂ ⟂ ⟂ [CLS] | a c a t [SEP] | [M] [M] [M] [M] [M]
    0 0 0 0 0   1     2 3 4 5   6     -2  -3  -4  -5  -6

⟂ is a place of a picture; the numbers are step codes, by which the picture does not see the text. The token of a
language follows [CLS], with the same code. A source of a picture and a text has step code 0 everywhere, so both see
each other: ⟂ ⟂ ⟂ [CLS] w h a t [SEP].
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from latent.data.batch import SeenBatch
from latent.data.manifest import string_field
from latent.images.files import Pixels, read_image
from s2s.data.batch import PADDING, Ids, TokenBatch
from s2s.data.layout import Layout, Method, Noise, layout, pack
from s2s.data.records import Records
from s2s.data.tokenizer import SpecialIds
from s2s.errors import InputError, shown
from s2s.json_files import describe
from s2s.registry import nearest

IMAGE, SOURCE, LANGUAGE = "image", "src", "language"
"""Fields of a record: a file; a text to read with it; the language of its captions."""
CAPTION = ("tgt", "text")
"""Its caption, or a list of them; lists of pictures have the second."""


@dataclass(frozen=True)
class Pictured:
    """A picture of a record, to be read.

    Args:
        image: The file.
        where: File and line of the record, for messages.
    """

    image: Path
    where: str

    @classmethod
    def of(cls, record: Mapping[str, Any], where: str) -> Pictured:
        """The picture that a record names; InputError if it names none, or there is no such file."""
        if IMAGE not in record:
            found = ", ".join(map(repr, record)) or "no field"
            raise InputError(f"{where}: {IMAGE!r} is missing; this run reads pictures, found {found}")
        name = string_field(dict(record), IMAGE, where)
        beside = Path(where.rpartition(":")[0]).parent / name
        path = next((path for path in (beside, Path(name)) if _is_file(path)), None)
        if path is None:
            raise InputError(f"{where}: {IMAGE!r}: {beside}: there is no such file")
        return cls(path, where)

    def pixels(self, size: int, channels: int) -> Pixels:
        """Its pixels `(channels, size, size)`; InputError, with the line, if they cannot be read."""
        try:
            return read_image(self.image, size, channels)
        except InputError as error:
            raise InputError(f"{self.where}: {IMAGE!r}: {error}") from error


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # names that no file can have
        return False


@dataclass(frozen=True)
class Captioned:
    """A picture and one of its captions; `source` and `language` are empty where the record has none."""

    picture: Pictured
    caption: str
    source: str
    language: str


def read_captions(records: Records, with_source: bool, languages: Sequence[str]) -> Iterator[list[Captioned]]:
    """The pictures of some records, each once with each of its captions.

    Raises:
        InputError: a field is missing, empty or of another type; a language is none of `languages`.
    """
    for where, record in records:
        picture = Pictured.of(record, where)
        source = string_field(record, SOURCE, where) if with_source else ""
        language = language_of(record, where, languages)
        yield [Captioned(picture, caption, source, language) for caption in _captions_of(record, where)]


def language_of(record: Mapping[str, Any], where: str, languages: Sequence[str]) -> str:
    """The language of a record, "" if there are no `languages` to choose from; InputError if it is none of them."""
    if not languages:
        return ""
    given = record.get(LANGUAGE)
    if given not in languages:
        found = "nothing" if given is None else shown(given)
        hint = nearest(given, languages) if isinstance(given, str) else ""
        raise InputError(f"{where}: {LANGUAGE!r} must be one of {', '.join(languages)}, found {found}{hint}")
    return str(given)


def _captions_of(record: dict[str, Any], where: str) -> list[str]:
    field = next((field for field in CAPTION if field in record), CAPTION[0])
    given = record.get(field)
    if not isinstance(given, list):
        return [string_field(record, field, where)]
    if not given:
        raise InputError(f"{where}: {field!r} must be a caption or a list of them, found {describe(given)}")
    return [string_field({field: caption}, field, where) for caption in given]


def lay_out_caption(
    caption: Ids,
    read: Ids,
    alone: bool,
    places: int,
    method: Method,
    special: SpecialIds,
    limits: tuple[int, int],
    noise: Noise,
    generator: np.random.Generator,
) -> Layout:
    """One example, with pad tokens at the places of the picture.

    Args:
        caption: Its tokens.
        read: Tokens that are read after [CLS]: a language, a text.
        alone: Whether there is no text among them.
        places: Of the picture.
        limits: Maximum slots of the text that is read and of the caption, special tokens counted.
    """
    laid_out = layout(read, caption, method, special, limits, noise, generator)
    after = laid_out.source[: 1 + len(read)] if alone else laid_out.source
    return replace(laid_out, source=np.concatenate([np.full(places, special.pad), after]))


def pack_captions(
    layouts: Sequence[Layout], images: Sequence[Pixels], places: int, alone: bool, pad_id: int
) -> SeenBatch:
    """A batch of examples; `alone`: what follows the picture, which is equally long in all, is not seen by it."""
    batch = pack(layouts, pad_id)
    if alone:
        batch = _after_picture(batch, places)
    return SeenBatch(**vars(batch), images=torch.from_numpy(np.stack(images)), places=places)


def _after_picture(batch: TokenBatch, places: int) -> TokenBatch:
    """The same batch with the rest of the source as the first step of the text."""
    later = batch.steps + batch.steps.sign()
    steps = torch.where(batch.steps == PADDING, batch.steps, later)
    steps[:, places : batch.context] = 1
    return replace(batch, steps=steps, context=places)
