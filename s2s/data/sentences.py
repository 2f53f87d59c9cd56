"""Text into paragraphs and sentences, by rules that hold for most languages with an end-of-sentence mark."""

from __future__ import annotations

import re
from collections.abc import Iterator

_PARAGRAPH_END = re.compile(r"\n[^\S\n]*\n")
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")
_END = re.compile(r"[.!?…]+[\"'”’»)\]]*(?:\s[:;]-?[)(DP](?=\s))?\s+|[。！？]+[」』”’）]*\s*")
_NEXT = re.compile(r"[\"'“‘«(\[]*(\w[\w'’]*)(.?)")
_ITEM = re.compile(r"\w{1,2}\)\s")  # of a list: "b) "
_INITIALS = re.compile(r"(?:[^\W\d_]\.)*[^\W\d_]")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_NEVER = _words("""
dr mr mrs ms mx messrs prof gen sgt cpl capt cmdr lt maj col sen rep rev gov pres hon adm insp mt ft fr e.g i.e cf vs
approx ca resp viz z.b d.h u.a bzw usw nr p.ej ej sra srta mme mlle""")
"""Abbreviations, in lower case, that something follows: "Dr.", "e.g."."""
_NUMBERED = _words("""
no nos nr fig figs eq eqs sec ch chap vol vols p pp art ext rm pt par para op bd s ft in yd mi lb lbs oz hr hrs min est
jan feb mar apr jun jul aug sep sept oct nov dec""")
"""Those that no sentence ends with where a number follows: "No. 7", "5 ft. 11"."""
_SELDOM = _words("""
etc inc ltd co corp bros llc plc jr sr esq st ave av rd blvd ln ct pl sq hwy pkwy dept univ assn est eds al avg temp apt
misc jan feb apr jun jul aug sept oct nov dec tue tues thu thur thurs fri""")
"""Those that a sentence ends with only where the next word is one that sentences begin with: "Elm St. She left."."""
_TIMES = frozenset(("a.m", "p.m"))
_AFTER_TIMES = _words("""
monday tuesday wednesday thursday friday saturday sunday january february march april may june july august september
october november december est edt cst cdt mst mdt pst pdt gmt utc bst cet cest""")
_BEGINNERS = _words("""
a after all also an and another any are as at because before both but by can come could did do does each even every
few for from get go had has have he her here his how however i if in is it its let many maybe meanwhile most my never no
not now of on once one only or other our perhaps please she should since so some still such take thank that the their
then there these they this those though thus to today tomorrow under until was we were what when where whether which
while who why will with would yes yesterday yet you your it's i'm he's she's that's there's they're we're you're don't
let's nobody nothing something everyone shares
el la los las un una uno se en y pero él ella es no su sus este esta por para con cuando como
le les une il elle ils elles on ce cette nous vous je mais dans pour avec quand comme c'est
der die das ein eine er sie wir ich und aber im am wenn als""")
"""Words, in lower case, that often begin a sentence and are hardly ever part of a name."""


def sentences(text: str) -> list[str]:
    """The sentences of a text, with single blanks between words; a paragraph's end ends a sentence.

    "Dr. Smith lives on Elm St. He uses v. 2." → ["Dr. Smith lives on Elm St.", "He uses v. 2."]
    """
    found: list[str] = []
    for paragraph in _PARAGRAPH_END.split(_CONTROL.sub("", text.replace("\r", ""))):
        found += _divide(" ".join(paragraph.split()))
    return found


def sentence_ends(paragraph: str) -> Iterator[int]:
    """Where sentences end inside one paragraph with single blanks, behind their last blank."""
    start = 0
    for mark in _END.finditer(paragraph):
        if _ends_sentence(paragraph, start, mark):
            start = mark.end()
            yield start


def _divide(paragraph: str) -> Iterator[str]:
    start = 0
    for end in sentence_ends(paragraph):
        yield paragraph[start:end].rstrip()
        start = end
    if start < len(paragraph):
        yield paragraph[start:]


def _ends_sentence(paragraph: str, start: int, mark: re.Match[str]) -> bool:
    """Whether a mark ends the sentence that began at `start`."""
    if mark[0][0] in "。！？":
        return True
    if paragraph[mark.end() : mark.end() + 1].islower() and not _ITEM.match(paragraph, mark.end()):
        return False
    before = paragraph[start : mark.start()]
    return mark[0].rstrip() != "." or not _abbreviates(before, _NEXT.match(paragraph, mark.end()))


def _abbreviates(before: str, following: re.Match[str] | None) -> bool:
    """Whether the period after the beginning of a sentence is one of an abbreviation, an initial or a list's number."""
    word = before[before.rfind(" ") + 1 :].lstrip("\"'(“‘[«").casefold()
    following_word, mark = (following[1].casefold(), following[2]) if following else ("", "")
    if word in _NEVER or (word in _NUMBERED and following_word[:1].isdigit()):
        return True
    if word in _TIMES:
        return following_word in _AFTER_TIMES
    if word.isdecimal():
        return before.strip() == word and len(word) < 3  # "1. Wash it."
    begins = following_word in _BEGINNERS and mark != "."
    return (word in _SELDOM or _INITIALS.fullmatch(word) is not None) and not begins
