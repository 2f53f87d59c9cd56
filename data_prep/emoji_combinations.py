"""Emoji whose names combine parts, split so that some pairs of parts are never together in training.

    woman running: dark skin tone    {"thing": "running", "who": "woman", "tone": "dark"}
    red heart                        {"thing": "heart", "color": "red"}
    three-thirty                     {"thing": "thirty", "hour": "three"}

Of some things one kind of part is held out, in a quarter of its values: no woman rides a mountain bike in training, in
whatever tone, but men do, and women do other things. So both parts of a pair are learned, each with others.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from data_prep.corpus_files import split_of_text
from data_prep.picture_corpus import Depicted

THING = "thing"
"""The part that every name has; the others vary it."""
_HOURS = "one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve"
_COLORS = "black|blue|brown|green|grey|orange|pink|purple|red|white|yellow"
_WHO = {"man": "man", "men": "man", "person": "person", "people": "person", "woman": "woman", "women": "woman"}
_TONE = re.compile(r"(light|medium-light|medium|medium-dark|dark) skin tone")
_CLOCK = re.compile(rf"({_HOURS})[ -](o’clock|thirty)")
_COLORED = re.compile(rf"({_COLORS}) (.+)")
_LEAST, _HELD_OUT = 3, 4
"""Values that a kind of part must have with a thing to be held out; of so many one is."""

ABOUT = """Only emoji whose names combine parts (`parts` in the records), split by combinations: pairs of a thing and a
person, a tone, a color or an hour in the validation and test lists are not in training, where both parts are, with
others. `concept` is the name without its set."""


def parts_of(name: str) -> dict[str, str]:
    """The parts of an English name by kind: a `thing` and at least one other; none for other names."""
    if clock := _CLOCK.fullmatch(name):
        return {THING: clock[2], "hour": clock[1]}
    if colored := _COLORED.fullmatch(name):
        return {THING: colored[2], "color": colored[1]}
    tones = _TONE.findall(name)
    words = re.findall(r"[^\s:,]+", _TONE.sub("", name))
    who = [word for word in words if word in _WHO]
    if len(tones) > 1 or not (tones or who):
        return {}
    parts = {THING: " ".join(words)}
    if len(who) == 1 and len(words) > 1:
        parts = {THING: " ".join(word for word in words if word not in _WHO), "who": _WHO[who[0]]}
    parts |= {"tone": tones[0]} if tones else {}
    return parts if len(parts) > 1 else {}


def kinds_of(names: Iterable[Mapping[str, str]]) -> dict[str, dict[str, set[str]]]:
    """What varies things enough, a thing at a time: its kinds of parts, each with at least three values."""
    known: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for parts in names:
        for kind, value in parts.items():
            if kind != THING:
                known[parts[THING]][kind].add(value)
    enough = {
        thing: {kind: values for kind, values in sorted(kinds.items()) if len(values) >= _LEAST}
        for thing, kinds in known.items()
    }
    return {thing: kinds for thing, kinds in enough.items() if kinds}


def held_out(known: Mapping[str, Mapping[str, set[str]]], shares: Mapping[str, int]) -> dict[tuple[str, str, str], str]:
    """The split of each held-out pair: a thing, a kind, a value.

    Args:
        known: See `kinds_of`.
        shares: Percentages of the things of which pairs are held out, by split.
    """
    splits = {thing: split_of_text(thing, shares) for thing in known}
    learned: dict[str, set[str]] = defaultdict(set)
    for thing, kinds in known.items():
        for kind, values in kinds.items():
            learned[kind] |= values if splits[thing] == "train" else set()
    pairs: dict[tuple[str, str, str], str] = {}
    for thing, kinds in known.items():
        if splits[thing] != "train":
            kind = _shuffled(list(kinds), thing)[0]
            shuffled = _shuffled(sorted(kinds[kind] & learned[kind]), thing)
            pairs |= {
                (thing, kind, value): splits[thing] for value in shuffled[: max(1, len(kinds[kind]) // _HELD_OUT)]
            }
    return pairs


def _shuffled(values: Sequence[str], thing: str) -> list[str]:
    """Values in an order that is as good as random, and the same everywhere."""
    return sorted(values, key=lambda value: hashlib.blake2b(f"{thing}/{value}".encode()).digest())


def split_combinations(
    pictures: Iterable[Depicted], shares: Mapping[str, int], skip: Callable[[str], None]
) -> list[Depicted]:
    """The pictures whose names combine parts, each with its split; `skip` is told why others are left out."""
    pictures = list(pictures)
    known = kinds_of(picture.parts for picture in pictures)
    pairs = held_out(known, shares)
    combined = []
    for picture in pictures:
        parts = picture.parts
        if parts.get(THING) not in known:
            skip("whose name is no combination" if not parts else f"of things with fewer than {_LEAST} variants")
            continue
        found = {pairs.get((parts[THING], kind, value)) for kind, value in parts.items()}
        split = next((name for name in shares if name in found), "train")
        combined.append(replace(picture, split=split, concept=" ".join(parts.values())))
    return combined
