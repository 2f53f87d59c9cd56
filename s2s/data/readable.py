"""Words and marks joined as people write them.

A WordPiece tokenizer makes every punctuation mark and every ideograph a token of its own and drops the blanks:
"don't (3,000.50)" becomes `don ' t ( 3 , 000 . 50 )`. The rules here join most marks correctly;
`s2s.data.spelling` corrects the others by the source.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_CLOSING = frozenset(",;:!?)]}%…”°™®©")
_OPENING = frozenset("([{“‘¿¡$£€¥#~")
_JOINING = frozenset("/_@\\")
_QUOTES = {"'": "'`", "’": "‘", '"': '"„', "`": "`", "»": "»«", "«": "»«"}
"""Quotation marks, and what each may close."""
_OPERATORS = frozenset("+-*=<>|~^")
_CONTRACTED = frozenset(["s", "t", "re", "ve", "ll", "d", "m"])  # it's
_ELIDED = frozenset(  # l'eau, dell'acqua, O'Neill
    "l d j n c m qu jusqu lorsqu puisqu quelqu aujourd o dell nell sull dall quest quell sant anch".split()  # noqa: SIM905
)
_NAME_ENDS = frozenset("com org net edu gov io js py pl html xml txt yml json ini conf so exe x".split())  # noqa: SIM905
_SPLIT = "\u3001-\u3029\u3030-\u303f\u30fb\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff01-\uff65\U00020000-\U0003134f"
_EAST_ASIAN = re.compile(f"[{_SPLIT}\u3041-\u30ff0-9][{_SPLIT}]|[{_SPLIT}][\u3041-\u30ff0-9]")


def join_words(words: Sequence[str]) -> str:
    """A readable text of words and marks; each mark is a word by itself."""
    joined = [False] * (len(words) + 1)  # whether there is no blank before word i
    padded = ["", *words, "", ""]
    opened: set[str] = set()
    for i, word in enumerate(words):
        before, after, second = padded[i], padded[i + 2], padded[i + 3]
        if before and _EAST_ASIAN.fullmatch(before[-1] + word[0]):
            joined[i] = True
        if word in _QUOTES:
            left, right = _quote(word, before, after, opened, word in words[i + 1 :])
        elif len(word) == 1 and not word.isalnum():
            left, right = _sides(word, before, after, second)
        else:
            continue
        joined[i] |= left
        joined[i + 1] |= right
    return "".join(word if joined[i] or not i else f" {word}" for i, word in enumerate(words))


def _quote(mark: str, before: str, after: str, opened: set[str], comes_again: bool) -> tuple[bool, bool]:
    """Whether no blank comes before and after a quotation mark or apostrophe."""
    if (
        mark in "'’"
        and before[-1:].isalnum()
        and (after.lower() in _CONTRACTED or (before.lower() in _ELIDED and after.isalpha()))
    ):
        return True, True
    if mark == "’" or opened.intersection(_QUOTES[mark]) or (mark == "'" and before.endswith("s") and not comes_again):
        opened.difference_update(_QUOTES[mark])
        return True, False
    opened.add(mark)
    return False, True


def _sides(mark: str, before: str, after: str, second: str) -> tuple[bool, bool]:
    """As `_quote`, for any other mark; `second` follows `after`."""
    is_word, was_word = after[:1].isalnum(), before[-1:].isalnum()
    digits = before[-1:].isdigit() and after[:1].isdigit()
    if mark == before or (mark in _OPERATORS and before and before in _OPERATORS):
        return True, mark in "/:_"
    match mark:
        case ".":
            letter = len(before) == len(after) == 1 and was_word and second == "."  # e.g.
            call = second == "(" and len(before) > 1 and was_word and is_word
            name = after in _NAME_ENDS or before in ("www", "*", "`", "(", "")
            return before != ",", (digits or letter or call or name) and is_word
        case ",":
            return True, digits and len(after) == 3
        case ":":
            return after != "=", digits or (after != "" and after in ":/=")
        case "-":
            hangs = after in ("and", "or", "und", "oder") and second != "-"  # pre- and postprocessing
            left = (was_word and is_word) or before == "+"
            return left or (was_word and hangs), is_word and not hangs and (left or not before)
        case "(":
            return was_word and (after == ")" or (second == ")" and (after.isdigit() or after == "s"))), True
        case "+" | "#":
            return before.isalpha() and (after == mark or len(before) == 1), mark == "#" and not before.isalpha()
        case "&":
            return (was_word and is_word and len(before + after) <= 3,) * 2  # R&D
    return mark in _CLOSING or mark in _JOINING, mark in _OPENING or mark in _JOINING
