import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from data_prep.picture_concepts import THUMBNAIL, concept_of, families
from data_prep.picture_corpus import Depicted, PictureOptions, write_picture_corpus
from latent.data.pictures import read_pictures
from s2s.errors import InputError


def picture(folder: Path, name: str, caption: str, plain: bool = False, **changes: Any) -> Depicted:
    """Noise that depends on the name, so pictures differ; or white."""
    noise = np.random.default_rng(list(name.encode())).integers(0, 256, (12, 24, 3)).astype(np.uint8)
    Image.fromarray(np.full_like(noise, 255) if plain else noise).save(folder / f"{name}.png")
    given = {"captions": [("en", caption)], "concept": concept_of(caption), "group": "things", "license": "CC0-1.0"}
    return Depicted(name, folder / f"{name}.png", **{**given, "attribution": "Ann", **changes})


def write(folder: Path, pictures: list[Depicted], **options: Any) -> dict[str, list[dict[str, str]]]:
    write_picture_corpus(pictures, folder, PictureOptions(**{"size": 16, **options}), "Things", ["Ours."], Counter())
    lists = {path.stem: path.read_text(encoding="utf-8").splitlines() for path in folder.glob("*.jsonl")}
    return {name: [json.loads(line) for line in lines] for name, lines in lists.items()}


@pytest.mark.parametrize("name", ["man running", "Women running: facing right", "person running: dark skin tone"])
def test_variants_of_a_thing_are_one_concept(name: str) -> None:
    assert concept_of(name) == "running"


def test_colors_tell_concepts_apart_and_names_of_variants_alone_are_kept() -> None:
    assert concept_of("blue heart") != concept_of("red heart")
    assert concept_of("A woman.") == concept_of("a woman")
    assert concept_of("123") == "123"
    assert concept_of("cherries") == concept_of("a cherry")


def test_pictures_that_look_alike_are_of_one_family_under_either_name() -> None:
    generator = np.random.default_rng(0)
    first, second = generator.integers(0, 256, (2, THUMBNAIL * THUMBNAIL * 3)).astype(np.uint8)
    near = np.clip(first.astype(int) + generator.integers(-3, 4, first.shape), 0, 255).astype(np.uint8)
    assert families(["norway", "chair", "bouvet", "chair"], np.stack([first, second, near, first[::-1]])) == [
        "bouvet",
        "chair",
        "bouvet",
        "chair",
    ]


def test_no_concept_is_in_two_splits(tmp_path: Path) -> None:
    pictures = [
        picture(tmp_path, f"{who}{n}", f"{who} with thing {chr(97 + n) * 3}")
        for n in range(20)
        for who in ("man", "woman")
    ]
    lists = write(tmp_path / "out", pictures, valid_percent=30, test_percent=30)
    concepts = [{record["concept"] for record in records} for records in lists.values()]
    assert len(concepts) == 3
    assert not set.intersection(*concepts)
    assert sum(map(len, concepts)) == len(set.union(*concepts))


def test_a_record_has_the_picture_and_its_rights_and_other_verbs_read_it(tmp_path: Path) -> None:
    captions = [("en", "a  ball"), ("de", "ein Ball"), ("en", "a toy")]
    lists = write(tmp_path / "out", [picture(tmp_path, "ball", "ball", captions=captions, split="train")])
    assert [record["id"] for record in lists["train"]] == ["ball.en", "ball.de", "ball.en2"]
    assert lists["train"][0] == {
        "id": "ball.en",
        "image": "pictures/000/ball.png",
        "tgt": "a ball",
        "language": "en",
        "concept": "ball",
        "group": "things",
        "license": "CC0-1.0",
        "attribution": "Ann",
    }
    read = read_pictures(tmp_path / "out" / "train.jsonl")[0]
    assert read.text == "a ball"
    pixels = read.pixels(16, 3)
    assert pixels[0, 0, 0] == 1.0 == pixels[2, -1, -1]  # white above and below a picture that is wide
    assert "CC0-1.0: Ann" in (tmp_path / "out" / "DATA_CARD.md").read_text(encoding="utf-8")


def test_photographs_keep_their_sides(tmp_path: Path) -> None:
    lists = write(tmp_path / "out", [picture(tmp_path, "a", "a ball", split="train")], square=False)
    with Image.open(tmp_path / "out" / lists["train"][0]["image"]) as image:
        assert image.size == (32, 16)


def test_the_same_input_gives_the_same_lists(tmp_path: Path) -> None:
    pictures = [picture(tmp_path, f"p{n}", f"thing {chr(97 + n) * 3}") for n in range(8)]
    assert write(tmp_path / "one", pictures) == write(tmp_path / "two", pictures)


def test_what_cannot_be_used_is_left_out_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    broken = picture(tmp_path, "broken", "a star")
    broken.image.write_bytes(broken.image.read_bytes()[:60])
    pictures = [
        picture(tmp_path, "ball", "a ball"),
        broken,
        picture(tmp_path, "silent", "x", captions=[("en", " ")]),
        picture(tmp_path, "white", "a cloud", plain=True),
        picture(tmp_path, "more", "the ball"),
    ]
    options = PictureOptions(16, most_of_concept=1)
    summary = write_picture_corpus(pictures, tmp_path / "out", options, "Things", [], Counter())
    for reason in (
        "1 whose file cannot be read",
        "1 without a caption",
        "1 of a single color",
        "1 beyond 1 of a concept",
    ):
        assert reason in summary
    assert f"{broken.image}: truncated or damaged" in caplog.text


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a", "A"], "its id 'A' is also that of"),
        (["a/b"], "its id must be a name without blanks and slashes, found 'a/b'"),
        ([], "no picture to write"),
    ],
)
def test_bad_ids_and_empty_corpora_are_refused(tmp_path: Path, names: list[str], message: str) -> None:
    pictures = [Depicted(name, tmp_path / "x.png", [("en", "x")], "x", "", "", "") for name in names]
    with pytest.raises(InputError, match=message):
        write(tmp_path / "out", pictures)


def test_shares_and_sizes_are_checked() -> None:
    with pytest.raises(InputError, match="--size: must be 8 to 2048 pixels, found 4"):
        PictureOptions(size=4)
    with pytest.raises(InputError, match="must leave something to train on, found 60 and 40"):
        PictureOptions(valid_percent=60, test_percent=40)
