"""What pictures show, so that no picture of the same thing is in two splits: names without variants, and likeness."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

THUMBNAIL = 16
"""Pixels of a thumbnail, a side."""
LIKENESS = 0.1
"""Pictures are alike if thumbnails differ by less than this share of their contrast, both as roots of mean squares."""

_WORD = re.compile(r"[^\W\d_]+")
_VARIANTS = frozenset(
    _WORD.findall(
        """
        a an and at by for in is it of on or some that the this to with your
        adult baby boy child female girl guy lady male man men old people person woman women young
        dark light medium skin tone facing left right up down
        big black bw button cartoon clip clipart art drawing face icon large little outline photo sign simple small
        symbol white
        """
    )
)
"""Words that tell variants of a thing apart, not things."""
_BLOCK = 512


def concept_of(name: str) -> str:
    """The name of a thing without its variants: "Woman running: dark skin tone" and "men running" are "running".

    Words are in the singular and in the order of the alphabet; a name that has no others keeps its variants.
    """
    words = _WORD.findall(name.casefold())
    things = sorted({_singular(word) for word in words if word not in _VARIANTS and len(word) > 1})
    return " ".join(things or words) or name


def _singular(word: str) -> str:
    if len(word) > 4 and word.endswith("ies"):
        return f"{word[:-3]}y"
    if len(word) > 4 and word.endswith(("ches", "shes", "xes", "sses")):
        return word[:-2]
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")) else word


def families(concepts: Sequence[str], thumbnails: NDArray[np.uint8]) -> list[str]:
    """The family of each picture: pictures of one concept, and those that look alike, are of one.

    Args:
        concepts: Of N pictures.
        thumbnails: `(N, THUMBNAIL * THUMBNAIL * 3)`.

    Returns:
        The first of the concepts that a family joins, in the order of the alphabet.
    """
    joined = _Joined(concepts)
    pixels = thumbnails.astype(np.float32) / 255
    sizes = np.square(pixels).sum(1)
    limits = LIKENESS**2 * pixels.shape[1] * pixels.var(1)
    for start in range(0, len(pixels), _BLOCK):
        block = slice(start, start + _BLOCK)
        distances = sizes[block, None] + sizes[None, start:] - 2 * pixels[block] @ pixels[start:].T
        alike = distances < np.minimum(limits[block, None], limits[None, start:])
        for row, column in zip(*np.nonzero(alike), strict=True):
            joined.join(concepts[start + row], concepts[start + column])
    return [joined.family(concept) for concept in concepts]


class _Joined:
    """Sets of names, which grow together; each has its first name."""

    def __init__(self, names: Sequence[str]) -> None:
        self._parents = {name: name for name in names}

    def family(self, name: str) -> str:
        while (parent := self._parents[name]) != name:
            self._parents[name] = name = self._parents[parent]
        return name

    def join(self, one: str, other: str) -> None:
        first, second = sorted((self.family(one), self.family(other)))
        self._parents[second] = first
