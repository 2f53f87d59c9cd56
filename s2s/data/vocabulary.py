"""Vocabulary trimming: a tokenizer with only the pieces that some texts need, and text segmented as before.

Special and added tokens stay, and so do single characters (or bytes), so any word that the tokenizer could write can
still be written. A text whose pieces are all kept is segmented as before: the greedy segmentation (WordPiece) and the
most probable one (Unigram) stay the best among fewer, and BPE keeps every merge that leads to a kept piece.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from tokenizers import Tokenizer as Backend

from s2s.data.tokenizer import Tokenizer
from s2s.errors import InputError

_KINDS = ("WordPiece", "BPE", "Unigram")
_BYTE = re.compile("<0x[0-9A-F]{2}>")


def choose_pieces(
    tokenizer: Tokenizer, counts: Mapping[int, int], size: int | None = None, always: Iterable[int] = ()
) -> list[int]:
    """The ids to keep, ascending: what must stay, then the most frequent ones, each with the pieces it is merged from.

    Args:
        tokenizer: A tokenizer of the kind WordPiece, BPE or Unigram.
        counts: How often each id occurs in the texts; an id that does not occur is not chosen.
        size: Maximum number of ids. Default: all that occur.
        always: More ids that must stay.

    Raises:
        InputError: the tokenizer is of another kind, or `size` is too small for what must stay.
    """
    model = _model_of(tokenizer)
    parts = _merged_from(model)
    kept = set(always) | set(tokenizer.special_ids) | set(tokenizer.backend.get_added_tokens_decoder())
    kept |= {id for piece, id in tokenizer.backend.get_vocab().items() if _is_character(piece, model)}
    kept = _with_parts(kept, parts)
    if size is not None and size < len(kept):
        raise InputError(
            f"tokenizer {tokenizer.name}: a vocabulary of {size} pieces is too small; its special tokens and single "
            f"characters, which must stay, are {len(kept)}"
        )
    for id in sorted(counts, key=lambda id: (-counts[id], id)):
        wanted = kept | _with_parts({id}, parts) if id not in kept else kept
        if counts[id] and (size is None or len(wanted) <= size):
            kept = wanted
    return sorted(kept)


def trimmed(tokenizer: Tokenizer, kept: list[int]) -> Tokenizer:
    """The tokenizer with the pieces of `kept` alone; the piece `kept[i]` gets the id i. See `choose_pieces`.

    Raises:
        InputError: a special token is not among them.
    """
    if lost := tokenizer.tokens(set(tokenizer.special_ids) - set(kept)):
        raise InputError(f"tokenizer {tokenizer.name}: a smaller vocabulary must keep the special token {min(lost)!r}")
    ids = {old: new for new, old in enumerate(kept)}
    description = json.loads(tokenizer.backend.to_str())
    description["added_tokens"] = [
        token | {"id": ids[token["id"]]} for token in description["added_tokens"] if token["id"] in ids
    ]
    _trim_model(description["model"], ids)
    names = {piece: ids[id] for piece, id in tokenizer.backend.get_vocab().items() if id in ids}
    description["post_processor"] = _renumbered(description["post_processor"], names)
    return tokenizer.over(Backend.from_str(json.dumps(description)))


def _model_of(tokenizer: Tokenizer) -> dict[str, Any]:
    model: dict[str, Any] = json.loads(tokenizer.backend.to_str())["model"]
    if model["type"] not in _KINDS:
        raise InputError(
            f"tokenizer {tokenizer.name}: its vocabulary is of the kind {model['type']}; "
            f"only {', '.join(_KINDS)} can be trimmed"
        )
    return model


def _is_character(piece: str, model: Mapping[str, Any]) -> bool:
    bare = piece.removeprefix(model.get("continuing_subword_prefix") or "")
    bare = bare.removesuffix(model.get("end_of_word_suffix") or "")
    return len(bare) == 1 or bool(_BYTE.fullmatch(piece))


def _merges(model: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """The merges of a BPE model: left, right and result; none for other kinds."""
    inside = model.get("continuing_subword_prefix") or ""
    pairs = [merge.split(" ") if isinstance(merge, str) else merge for merge in model.get("merges", [])]
    return [(left, right, left + right.removeprefix(inside)) for left, right in pairs]


def _merged_from(model: Mapping[str, Any]) -> dict[int, set[int]]:
    """The pieces that each piece may be merged from."""
    parts: dict[int, set[int]] = defaultdict(set)
    for left, right, result in _merges(model):
        parts[model["vocab"][result]] |= {model["vocab"][left], model["vocab"][right]}
    return parts


def _with_parts(ids: set[int], parts: Mapping[int, set[int]]) -> set[int]:
    found, left = set(ids), list(ids)
    while left:
        new = parts.get(left.pop(), set()) - found
        found |= new
        left.extend(new)
    return found


def _trim_model(model: dict[str, Any], ids: Mapping[int, int]) -> None:
    if model["type"] == "Unigram":
        model["vocab"] = [item for id, item in enumerate(model["vocab"]) if id in ids]
        model["unk_id"] = None if model["unk_id"] is None else ids[model["unk_id"]]
        return
    vocabulary = {piece: ids[id] for piece, id in model["vocab"].items() if id in ids}
    model["vocab"] = vocabulary
    if model["type"] == "BPE":
        model["merges"] = [[left, right] for left, right, result in _merges(model) if result in vocabulary]


def _renumbered(part: Any, names: Mapping[str, int]) -> Any:
    """A post-processor whose special tokens, ["[SEP]", 102] or {"ids": [102], "tokens": ["[SEP]"]}, have new ids."""
    if isinstance(part, list):
        if len(part) == 2 and isinstance(part[0], str) and isinstance(part[1], int):
            return [part[0], names[part[0]]]
        return [_renumbered(item, names) for item in part]
    if isinstance(part, dict):
        new = {key: _renumbered(value, names) for key, value in part.items()}
        return new | {"ids": [names[token] for token in part["tokens"]]} if "tokens" in part else new
    return part
