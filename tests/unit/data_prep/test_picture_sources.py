"""Emoji, stamps, clip art and captions of photographs, from small copies of what their packages hold."""

import io
import json
import tarfile
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from data_prep import emoji, open_clip_art, tuxpaint_stamps
from data_prep.caption_files import read_captions
from data_prep.npm_archives import fetch_archives, unpack_archive
from data_prep.picture_corpus import Depicted
from s2s.errors import InputError


def png() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (4, 4), "red").save(file, "PNG")
    return file.getvalue()


def package(path: Path, files: dict[str, bytes | str]) -> Path:
    """A .tgz as npm packs them."""
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            data = content.encode() if isinstance(content, str) else content
            member = tarfile.TarInfo(f"package/{name}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def annotations(kind: str, names: dict[str, str]) -> str:
    return json.dumps({kind: {"annotations": {symbol: {"tts": [name]} for symbol, name in names.items()}}})


def emoji_entry(code: str, category: str = "Symbols") -> dict[str, object]:
    return {"unified": code, "image": f"{code.lower()}.png", "category": category, "has_img_google": True}


@pytest.fixture
def names(tmp_path: Path) -> list[Path]:
    basic = {"annotations/en/annotations.json": annotations("annotations", {"❤️": "red heart", "👍": "thumbs up"})}
    basic["annotations/de/annotations.json"] = annotations("annotations", {"❤": "rotes Herz"})
    tones = {"👍🏽": "thumbs up: medium skin tone"}
    derived = {"annotationsDerived/en/annotations.json": annotations("annotationsDerived", tones)}
    derived["annotationsDerived/de/annotations.json"] = annotations("annotationsDerived", {})
    return [package(tmp_path / "names.tgz", {**basic}), package(tmp_path / "derived.tgz", {**derived})]


def read_emoji(
    tmp_path: Path, names: list[Path], languages: list[str], tones: bool
) -> tuple[list[Depicted], Counter[str]]:
    thumb = emoji_entry("1F44D") | {"skin_variations": {"1F3FD": emoji_entry("1F44D-1F3FD")}}
    entries = [emoji_entry("2764-FE0F"), thumb, emoji_entry("1F3FB", "Component"), emoji_entry("1F600")]
    files: dict[str, bytes | str] = {f"img/google/64/{entry['image']}": png() for entry in entries}
    files["img/google/64/1f44d-1f3fd.png"] = png()
    pictures = package(tmp_path / "pictures.tgz", files | {"emoji.json": json.dumps(entries)})
    skipped: Counter[str] = Counter()
    known = emoji.read_names(names, languages, tmp_path / "names")
    found = emoji.read_emoji(pictures, known, languages, tones, tmp_path / "p", lambda reason: skipped.update([reason]))
    return list(found), skipped


def test_emoji_have_names_in_each_language_and_their_rights(tmp_path: Path, names: list[Path]) -> None:
    found, skipped = read_emoji(tmp_path, names, ["de", "en"], tones=False)
    heart, thumb = found
    assert heart.captions == [("de", "rotes Herz"), ("en", "red heart")]
    assert (heart.id, heart.license, heart.concept) == ("noto-2764-fe0f", "Apache-2.0", "heart red")
    assert thumb.captions == [("en", "thumbs up")]
    assert skipped == {"without a name or a picture of their own": 2}


def test_emoji_in_skin_tones_are_of_the_concept_without(tmp_path: Path, names: list[Path]) -> None:
    found, _ = read_emoji(tmp_path, names, ["en"], tones=True)
    assert [entry.captions[0][1] for entry in found[1:]] == ["thumbs up", "thumbs up: medium skin tone"]
    assert found[1].concept == found[2].concept


def test_an_unknown_language_and_pictures_of_other_vendors_are_refused(tmp_path: Path, names: list[Path]) -> None:
    with pytest.raises(InputError, match=r"--language: names.tgz has no 'xx'; it has de, en"):
        emoji.read_names(names, ["xx"], tmp_path / "n")
    apple = package(tmp_path / "apple.tgz", {"img/apple/64/1f600.png": png(), "emoji.json": "[]"})
    with pytest.raises(InputError, match="must be emoji-datasource-google or -twitter"):
        list(emoji.read_emoji(apple, {"en": {}}, ["en"], False, tmp_path / "a", print))


@pytest.mark.parametrize("content", ["{}x", '[{"unified": 3}]', "[3]", '{"a": 1}'])
def test_a_broken_list_of_emoji_is_one_line(tmp_path: Path, content: str) -> None:
    broken = package(tmp_path / "broken.tgz", {"img/google/64/a.png": png(), "emoji.json": content})
    with pytest.raises(InputError, match=r"emoji\.json"):
        list(emoji.read_emoji(broken, {"en": {}}, ["en"], False, tmp_path / "b", print))


def test_a_damaged_package_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.tgz").write_bytes(b"no archive")
    with pytest.raises(InputError, match=r"x\.tgz: must be a package of npm"):
        unpack_archive(tmp_path / "x.tgz", ["*"], tmp_path / "out")


def test_npm_is_asked_for_and_its_refusal_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="npm: not found; get a@1 elsewhere"):
        fetch_archives(["a@1"], tmp_path / "f")
    (tmp_path / "npm").write_text("#!/bin/sh\necho 'npm error 404' >&2\nexit 1\n")
    (tmp_path / "npm").chmod(0o755)
    with pytest.raises(InputError, match="npm pack a@1: npm error 404"):
        fetch_archives(["a@1"], tmp_path / "f")


def test_stamps_have_their_sentence_in_each_language(tmp_path: Path) -> None:
    folder = tmp_path / "usr/share/tuxpaint/stamps/animals/birds"
    folder.mkdir(parents=True)
    for name in ("duck", "duck_mirror"):
        (folder / f"{name}.png").write_bytes(png())
    (folder / "duck.txt").write_text("A duck.\nde.utf8=Eine Ente.\nfr.utf8= \n", encoding="utf-8")
    skipped: Counter[str] = Counter()
    found = list(tuxpaint_stamps.read_stamps([tmp_path], ["en", "de"], lambda reason: skipped.update([reason])))
    assert [entry.captions for entry in found] == [[("en", "A duck."), ("de", "Eine Ente.")]]
    assert (found[0].id, found[0].group, found[0].concept) == ("animals-birds-duck", "animals", "duck")
    assert skipped == {"without a description": 1}
    with pytest.raises(InputError, match="--language: no stamp has 'xx'; they have de, en"):
        list(tuxpaint_stamps.read_stamps([tmp_path], ["xx"], print))
    with pytest.raises(InputError, match="--packages: no stamps in usr/share/tuxpaint/stamps"):
        list(tuxpaint_stamps.read_stamps([tmp_path / "usr"], ["en"], print))


SVG = "<svg><dc:title>{}</dc:title><dc:creator><cc:Agent><dc:title>{}</dc:title></cc:Agent></dc:creator>{}</svg>"


def test_clip_art_takes_titles_and_authors_and_leaves_out_other_licenses(tmp_path: Path) -> None:
    free, other = (f'<cc:license rdf:resource="http://{name}"/>' for name in ("x/PublicDomain", "x/GPL/2.0/"))
    metadata = {
        "food/apple": SVG.format("Red &amp; ripe apple", "Ann", free),
        "food/pear": SVG.format("Pear", "Ann", other),
        "tools/my_saw_bob_mil_01": SVG.format("", "Bob Miller", ""),
        "tools/53": SVG.format("", "", ""),
        **{
            f"icons/old_{name}": SVG.format("Flat Collection", "", free)
            for name in ("a_disk", "b_disk", "c_disk", "d_disk")
        },
    }
    for name, text in metadata.items():
        for kind, content in (("svg", text.encode()), ("png", png())):
            path = tmp_path / "usr/share/openclipart" / kind / f"{name}.{kind}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    skipped: Counter[str] = Counter()
    found = list(open_clip_art.read_clip_art([tmp_path], lambda reason: skipped.update([reason])))
    said = {entry.id: (entry.captions[0][1], entry.attribution) for entry in found}
    assert said["food-apple"] == ("Red ripe apple", "Ann")
    assert said["tools-my_saw_bob_mil_01"] == ("my saw", "Bob Miller")
    assert said["icons-old_a_disk"] == ("old a disk", "Open Clip Art")
    assert skipped == {"under other licenses": 1, "without a word in their names": 1}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("flickr8k.txt", "a.jpg#0\tA dog runs.\na.jpg#1\tA dog, running\n"),
        ("flickr30k.csv", "image_name| comment_number| comment\na.jpg| 0| A dog runs.\na.jpg| 1| A dog, running\n"),
        ("captions.txt", "image,caption\na.jpg,A dog runs.\na.jpg,A dog, running\n"),
        (
            "captions_train.json",
            json.dumps(
                {
                    "licenses": [{"id": 4, "name": "CC-BY-2.0"}],
                    "images": [{"id": 7, "file_name": "a.jpg", "license": 4, "flickr_url": "http://f/7"}],
                    "annotations": [{"image_id": 7, "caption": text} for text in ("A dog runs.", "A dog, running")],
                }
            ),
        ),
        (
            "dataset.json",
            json.dumps(
                {
                    "images": [
                        {
                            "filename": "a.jpg",
                            "split": "restval",
                            "sentences": [{"raw": "A dog runs."}, {"raw": "A dog, running"}],
                        }
                    ]
                }
            ),
        ),
    ],
)
def test_captions_are_read_in_each_published_format(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / "a.jpg").write_bytes(png())
    (tmp_path / name).write_text(content, encoding="utf-8")
    (found,) = read_captions(tmp_path / name, tmp_path, "en", None)
    assert found.captions == [("en", "A dog runs."), ("en", "A dog, running")]
    assert found.split == ("train" if name == "dataset.json" else None)
    if name == "captions_train.json":
        assert (found.license, found.attribution) == ("CC-BY-2.0", "http://f/7")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", "no caption here\n", r"a\.txt:1: expected FILE#N, a tab and a caption"),
        ("a.txt", "a.jpg#0\tA dog.\n", "names a picture that is missing"),
        ("a.txt", "../a.jpg#0\tA dog.\n", "expected the name of a file inside"),
        ("a.json", '{"images": [{}]}', r"a\.json: must be captions of COCO or splits of Karpathy; missing: 'split'"),
        ("a.json", '{"images": [], "annotations": [{"image_id": 1}]}', "a picture that it does not list: 1"),
    ],
)
def test_broken_captions_are_refused_in_one_line(tmp_path: Path, name: str, content: str, message: str) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        list(read_captions(tmp_path / name, tmp_path / "images", "en", None))
