"""JSON lists of objects, item by item, each with the line of the file that it begins on."""

from __future__ import annotations

import json
from collections.abc import Iterator

from s2s.errors import InputError


def list_items(text: str, where: str) -> Iterator[tuple[int, str]]:
    """`(line, JSON)` of every item of a JSON list; `where` names the file in messages.

    Raises:
        InputError: broken JSON, or no list.
    """
    try:
        whole = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"{where}:{error.lineno}: broken JSON: {error.msg} at column {error.colno}") from error
    except (ValueError, RecursionError) as error:  # a number of thousands of digits; lists in lists in lists
        raise InputError(f"{where}: JSON that cannot be read: {error}") from error
    if not isinstance(whole, list):
        raise InputError(f"{where}: expected a list of objects, found {text.strip()[:20]!r}")
    decoder, position, line = json.JSONDecoder(), text.index("[") + 1, 1
    counted = 0
    while True:
        while text[position] in " \t\r\n,":
            position += 1
        if text[position] == "]":
            return
        line += text.count("\n", counted, position)
        counted = start = position
        _, position = decoder.raw_decode(text, position)
        yield line, text[start:position]
