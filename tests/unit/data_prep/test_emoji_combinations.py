"""Emoji whose names combine parts: how names are read, and which pairs of parts training never has together."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data_prep.emoji_combinations import THING, held_out, kinds_of, parts_of, split_combinations
from data_prep.picture_corpus import Depicted, PictureOptions, write_picture_corpus

TONES = ("light", "medium-light", "medium", "medium-dark", "dark")
PEOPLE = [f"{who} {verb}" for who in ("woman", "man", "person") for verb in "abcdefghij"]
NAMES = [
    *PEOPLE,
    *(f"{who}: {tone} skin tone" for who in PEOPLE for tone in TONES),
    *(f"{color} {thing}" for color in ("red", "green", "blue", "brown") for thing in ("heart", "circle", "square")),
]
SHARES = {"test": 40, "valid": 10}


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("woman running: dark skin tone", {"thing": "running", "who": "woman", "tone": "dark"}),
        ("men holding hands: medium-light skin tone", {"thing": "holding hands", "who": "man", "tone": "medium-light"}),
        ("woman: light skin tone, curly hair", {"thing": "curly hair", "who": "woman", "tone": "light"}),
        ("kiss: woman, man, light skin tone", {"thing": "kiss woman man", "tone": "light"}),
        ("woman: light skin tone", {"thing": "woman", "tone": "light"}),
        ("thumbs up: medium skin tone", {"thing": "thumbs up", "tone": "medium"}),
        ("red heart", {"thing": "heart", "color": "red"}),
        ("three-thirty", {"thing": "thirty", "hour": "three"}),
        ("twelve o’clock", {"thing": "o’clock", "hour": "twelve"}),
        ("people holding hands: light skin tone, dark skin tone", {}),
        ("thumbs up", {}),
        ("woman", {}),
        ("kiss: woman, man", {}),
        ("snowman", {}),
    ],
)
def test_a_name_is_read_as_its_parts(name: str, parts: dict[str, str]) -> None:
    assert parts_of(name) == parts


def depicted(names: list[str], image: Path = Path("none.png")) -> list[Depicted]:
    """A picture of each name by two artists."""
    return [
        Depicted(f"{artist}-{n}", image, [("en", name)], name, "things", "CC0-1.0", "Ann", parts=parts_of(name))
        for artist in ("x", "y")
        for n, name in enumerate(names)
    ]


def test_both_parts_of_a_held_out_pair_are_learned_but_never_together() -> None:
    found = split_combinations(depicted(NAMES), SHARES, print)
    learned = [picture.parts for picture in found if picture.split == "train"]
    together = {(parts[THING], kind, value) for parts in learned for kind, value in parts.items()}
    alone = {part for parts in learned for part in parts.items()}
    held = [picture.parts for picture in found if picture.split != "train"]
    assert {picture.split for picture in found} == {"train", "valid", "test"}
    for parts in held:
        assert alone.issuperset(parts.items())
        new = [kind for kind, value in parts.items() if (parts[THING], kind, value) not in together]
        assert len(new) == 1, "one pair is held out of a name"
    names = {split: {one.concept for one in found if one.split == split} for split in ("train", "valid", "test")}
    assert not names["train"] & (names["valid"] | names["test"])
    assert not names["valid"] & names["test"]


def test_the_split_does_not_depend_on_the_order_and_grows_with_its_share() -> None:
    known = kinds_of(map(parts_of, NAMES))
    pairs = held_out(known, SHARES)
    assert pairs == held_out(kinds_of(map(parts_of, NAMES[::-1])), SHARES)
    assert held_out(known, {"test": 0, "valid": 0}) == {}
    more = held_out(known, {"test": 60, "valid": 10})
    tests = [{thing for (thing, _, _), split in found.items() if split == "test"} for found in (pairs, more)]
    assert tests[0] < tests[1]


def test_things_with_few_variants_and_other_names_are_left_out() -> None:
    reasons: Counter[str] = Counter()
    names = ["black cat", "grinning face", "red heart", "green heart", "blue heart"]
    found = split_combinations(depicted(names), {"test": 0}, lambda reason: reasons.update([reason]))
    assert {picture.parts[THING] for picture in found} == {"heart"}
    assert reasons == {"whose name is no combination": 2, "of things with fewer than 3 variants": 2}


def test_a_held_out_picture_that_training_has_under_another_name_is_left_out(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (2, 12, 12, 3)).astype(np.uint8)
    for number, pixels in enumerate(noise):
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    given = [("a", 0, "train"), ("b", 0, "test"), ("c", 1, "test"), ("d", 0, "train")]
    parts = {"thing": "running", "who": "man"}
    pictures = [
        Depicted(name, tmp_path / f"{number}.png", [("en", name)], name, "g", "CC0-1.0", "Ann", split, parts)
        for name, number, split in given
    ]
    skipped: Counter[str] = Counter()
    options = PictureOptions(size=16, by_concept=False)
    write_picture_corpus(pictures, tmp_path / "out", options, "Things", ["Ours."], skipped)
    lists = {
        split: [json.loads(line) for line in (tmp_path / f"out/{split}.jsonl").read_text().splitlines()]
        for split in ("train", "test")
    }
    assert [[record["id"] for record in records] for records in lists.values()] == [["a.en", "d.en"], ["c.en"]]
    assert lists["test"][0]["parts"] == parts
    assert skipped == {"that are in training under another name": 1}
    assert sorted(path.stem for path in (tmp_path / "out/pictures").rglob("*.png")) == ["a", "c", "d"]
