"""The sub-commands of `prepare` that make corpora of pictures with captions, one per corpus or format."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from s2s.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from data_prep.picture_corpus import Depicted

app = typer.Typer()

Out = Annotated[Path, typer.Argument(metavar="OUT", help="Folder of the corpus: pictures/, lists and DATA_CARD.md.")]
Size = Annotated[int, typer.Option(help="Pixels of a side; what is not square gets white beside it.")]
Language = Annotated[list[str] | None, typer.Option(help="Language of captions, en by default; repeat for more.")]
ValidPercent = Annotated[int, typer.Option(min=0, help="Share of concepts.")]
TestPercent = Annotated[int, typer.Option(min=0, help="Share of concepts.")]
MostOfConcept = Annotated[int, typer.Option(min=1, help="Leave out further pictures of a concept.")]
Debs = Annotated[
    list[Path] | None,
    typer.Option(help=".deb files, a folder of them, or one unpacked from them; else apt-get fetches them."),
]


@app.command(short_help="Captions: emoji and their names in many languages.")
def emoji(
    out: Out,
    pictures: Annotated[
        list[Path] | None,
        typer.Option(
            help="emoji-datasource-google-*.tgz or -twitter-*.tgz of npm, or unpacked; else npm fetches both."
        ),
    ] = None,
    names: Annotated[
        list[Path] | None,
        typer.Option(help="cldr-annotations-full-*.tgz and -derived-full-*.tgz, or unpacked; else npm fetches them."),
    ] = None,
    language: Language = None,
    skin_tones: Annotated[bool, typer.Option("--skin-tones", help="People in five skin tones, too.")] = False,
    combinations: Annotated[
        bool,
        typer.Option(
            "--combinations",
            help="Only names that combine parts, also skin tones; some pairs of parts are never in training. The "
            "percentages are those of the things of which pairs are held out.",
        ),
    ] = False,
    size: Size = 64,
    valid_percent: ValidPercent = 10,
    test_percent: TestPercent = 10,
    most_of_concept: MostOfConcept = 20,
) -> None:
    """Captions and drawing: Noto's and Twemoji's pictures, 1,900 each, with Unicode's names in 100 languages.

    Without --pictures and --names, `npm pack` fetches them (147 MB); nothing is installed.
    """
    import tempfile

    from data_prep import emoji as reading
    from data_prep import emoji_combinations
    from data_prep.npm_archives import fetch_archives
    from data_prep.picture_corpus import PictureOptions, write_picture_corpus

    options = PictureOptions(size, True, valid_percent, test_percent, most_of_concept, by_concept=not combinations)
    languages = list(dict.fromkeys(language or ["en"]))
    skipped: Counter[str] = Counter()

    def skip(reason: str) -> None:
        skipped[reason] += 1

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        packages = pictures or fetch_archives(list(reading.PICTURES.values()), folder)
        annotations = names or fetch_archives(reading.NAMES, folder)
        known = reading.read_names(annotations, languages, folder)

        def found() -> Iterator[Depicted]:
            for number, package in enumerate(packages):
                place, toned = folder / f"pictures{number}", skin_tones or combinations
                yield from reading.read_emoji(package, known, languages, toned, place, skip)

        about = [
            reading.ABOUT.format(*(", ".join(path.name for path in paths) for paths in (packages, annotations))),
            *([emoji_combinations.ABOUT] if combinations else []),
            reading.LICENSE,
        ]
        shares = {"test": test_percent, "valid": valid_percent}
        shown = emoji_combinations.split_combinations(found(), shares, skip) if combinations else found()
        typer.echo(write_picture_corpus(shown, out, options, "Emoji", about, skipped))


@app.command(short_help="Captions: Tux Paint's stamps, in many languages.")
def tuxpaint_stamps(
    out: Out,
    packages: Debs = None,
    language: Language = None,
    size: Size = 64,
    valid_percent: ValidPercent = 10,
    test_percent: TestPercent = 10,
    most_of_concept: MostOfConcept = 20,
) -> None:
    """Captions: 700 stamps of the drawing program Tux Paint, each with a sentence in up to 80 languages.

    Without --packages, apt-get fetches tuxpaint-stamps-default of Debian (161 MB), without root.
    """
    import tempfile

    from data_prep import tuxpaint_stamps as reading
    from data_prep.debian_archives import fetch_archives
    from data_prep.picture_corpus import PictureOptions, write_picture_corpus

    options = PictureOptions(size, True, valid_percent, test_percent, most_of_concept)
    skipped: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as temporary:
        debs = packages or fetch_archives([reading.PACKAGE], Path(temporary) / "packages")
        roots = reading.unpack(debs, Path(temporary) / "unpacked")
        languages = list(dict.fromkeys(language or ["en"]))
        stamps = reading.read_stamps(roots, languages, lambda reason: skipped.update([reason]))
        about = [reading.ABOUT, reading.LICENSE]
        typer.echo(write_picture_corpus(stamps, out, options, "Tux Paint's stamps", about, skipped))


@app.command(short_help="Captions: Open Clip Art, titled drawings.")
def openclipart(
    out: Out,
    packages: Debs = None,
    size: Size = 64,
    valid_percent: ValidPercent = 10,
    test_percent: TestPercent = 10,
    most_of_concept: MostOfConcept = 20,
) -> None:
    """Captions: thousands of drawings of Open Clip Art with their titles, in the public domain.

    Without --packages, apt-get fetches openclipart-png and openclipart-svg of Debian (156 MB), without root.
    """
    import tempfile

    from data_prep import open_clip_art as reading
    from data_prep.debian_archives import fetch_archives
    from data_prep.picture_corpus import PictureOptions, write_picture_corpus

    options = PictureOptions(size, True, valid_percent, test_percent, most_of_concept)
    skipped: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as temporary:
        debs = packages or fetch_archives(list(reading.PACKAGES), Path(temporary) / "packages")
        roots = reading.unpack(debs, Path(temporary) / "unpacked")
        drawings = reading.read_clip_art(roots, lambda reason: skipped.update([reason]))
        about = [reading.ABOUT, reading.LICENSE]
        typer.echo(write_picture_corpus(drawings, out, options, "Open Clip Art", about, skipped))


@app.command(short_help="Captions: photographs, in the formats of COCO and Flickr.")
def captioned_photos(
    out: Out,
    train: Annotated[tuple[Path, Path] | None, typer.Option(help="File of captions and folder of pictures.")] = None,
    valid: Annotated[tuple[Path, Path] | None, typer.Option(help="The two of validation.")] = None,
    test: Annotated[tuple[Path, Path] | None, typer.Option(help="The two of the test set.")] = None,
    captions: Annotated[
        tuple[Path, Path] | None,
        typer.Option(help="The two of all: split as Karpathy's file says, or by picture, alike ones together."),
    ] = None,
    language: Annotated[str, typer.Option(help="Language of the captions.")] = "en",
    size: Annotated[int, typer.Option(help="Pixels of the shorter side.")] = 256,
    valid_percent: Annotated[int, typer.Option(min=0, help="Share of pictures, where the file has no splits.")] = 10,
    test_percent: Annotated[int, typer.Option(min=0, help="Share of pictures, where the file has no splits.")] = 10,
) -> None:
    """Captions: photographs of your own or published, with captions as COCO, Karpathy, Flickr8k or Flickr30k have them.

    Pictures of a validation or test set that training has, too, are left to the smaller set.
    """
    from data_prep.caption_files import read_captions
    from data_prep.picture_corpus import PictureOptions, write_picture_corpus

    given = {"train": train, "valid": valid, "test": test, None: captions}
    if bool(captions) == any((train, valid, test)):
        raise InputError("--captions: is for one file of all splits; give it, or --train, --valid and --test")
    options = PictureOptions(size, False, valid_percent, test_percent)
    found = (
        picture
        for split, pair in given.items()
        if pair is not None
        for picture in read_captions(pair[0], pair[1], language, split)
    )
    about = [f"Photographs with captions from {', '.join(pair[0].name for pair in given.values() if pair)}."]
    typer.echo(write_picture_corpus(found, out, options, "Photographs with captions", about, Counter()))
