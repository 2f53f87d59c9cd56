"""Text into paragraphs and sentences, by rules that hold for most languages with an end-of-sentence mark."""

from __future__ import annotations

import re
from collections.abc import Iterator

_PARAGRAPH_END = re.compile(r"\n[^\S\n]*\n")
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")
_END = re.compile(r"[.!?…]+[\"'”’»)\]]*\s+|[。！？]+[」』”’）]*\s*")
_ABBREVIATIONS = """
e.g i.e etc cf vs dr mr mrs ms prof st no vol fig figs sec eq ca approx resp inc ltd co jr sr ed eds al
z.b d.h u.a bzw usw nr p.ej ej sra mme"""
_NO_ENDS = frozenset(_ABBREVIATIONS.split())


def sentences(text: str) -> list[str]:
    """The sentences of a text, with single blanks between words; a paragraph's end ends a sentence.

    "Dr. Smith uses v. 2. It works, e.g. here." → ["Dr. Smith uses v. 2.", "It works, e.g. here."]
    """
    found: list[str] = []
    for paragraph in _PARAGRAPH_END.split(_CONTROL.sub("", text.replace("\r", ""))):
        found += _divide(" ".join(paragraph.split()))
    return found


def sentence_ends(paragraph: str) -> Iterator[int]:
    """Where sentences end inside one paragraph with single blanks, behind their last blank."""
    return (mark.end() for mark in _END.finditer(paragraph) if _ends_sentence(paragraph, mark))


def _divide(paragraph: str) -> Iterator[str]:
    start = 0
    for end in sentence_ends(paragraph):
        yield paragraph[start:end].rstrip()
        start = end
    if start < len(paragraph):
        yield paragraph[start:]


def _ends_sentence(paragraph: str, mark: re.Match[str]) -> bool:
    if mark[0][0] in "。！？":
        return True
    following = paragraph[mark.end() : mark.end() + 1]
    if following.islower():
        return False
    if mark[0].rstrip() != ".":
        return True
    word = paragraph[paragraph.rfind(" ", 0, mark.start()) + 1 : mark.start()].lstrip("\"'(“‘[«")
    return not (word.lower() in _NO_ENDS or (len(word) == 1 and word.isalpha()))
