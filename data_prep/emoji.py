"""Emoji with their names in many languages, from packages of npm: Noto's and Twemoji's pictures, Unicode's names."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_prep.emoji_combinations import parts_of
from data_prep.npm_archives import unpack_archive
from data_prep.picture_concepts import concept_of
from data_prep.picture_corpus import Depicted
from s2s.errors import InputError
from s2s.json_files import inside, read_json, read_object

PICTURES = {"google": "emoji-datasource-google@16.0.0", "twitter": "emoji-datasource-twitter@16.0.0"}
"""Packages of pictures by vendor. Those of Apple and Facebook may not be passed on."""
NAMES = ("cldr-annotations-full@48.2.0", "cldr-annotations-derived-full@48.2.0")
"""Packages of names."""

ABOUT = """Emoji of 64 pixels a side from the packages {}, with the names that Unicode's CLDR
gives them ({}). `group` is Unicode's category, `id` the set, the code points and the language."""

LICENSE = """License: Noto Emoji is (c) Google LLC, Apache-2.0; Twemoji is (c) Twitter, Inc and other contributors,
CC-BY-4.0: who passes its pictures on names them. Names are (c) Unicode, Inc., Unicode-3.0."""


@dataclass(frozen=True)
class _Set:
    """The pictures of a vendor: how they are called, and their rights."""

    name: str
    license: str
    attribution: str


_SETS = {
    "google": _Set("noto", "Apache-2.0", "Noto Emoji, Google LLC"),
    "twitter": _Set("twemoji", "CC-BY-4.0", "Twemoji, Twitter, Inc and other contributors"),
}
_NO_PICTURES_OF_THINGS = "Component"
_VARIATION = "\ufe0f"


def read_names(packages: Sequence[Path], languages: Sequence[str], folder: Path) -> dict[str, dict[str, str]]:
    """The names of emoji by language; English is always among them, for concepts.

    Raises:
        InputError: a package lacks one of the languages, or is damaged.
    """
    wanted = list(dict.fromkeys([*languages, "en"]))
    names: dict[str, dict[str, str]] = {language: {} for language in wanted}
    for number, package in enumerate(packages):
        root = unpack_archive(package, ["annotations*/*/annotations.json"], folder / f"names{number}")
        for language in wanted:
            path = next(root.glob(f"annotations*/{language}/annotations.json"), None)
            if path is None:
                known = ", ".join(sorted(file.parent.name for file in root.glob("annotations*/*/annotations.json")))
                raise InputError(f"--language: {package.name} has no {language!r}; it has {known or 'no languages'}")
            names[language] |= _names(path)
    return names


def _names(path: Path) -> dict[str, str]:
    kind = path.parent.parent.name
    found = read_object(path).get(kind)
    entries = found.get("annotations") if isinstance(found, dict) else None
    if not isinstance(entries, dict):
        raise InputError(f"{path}: must hold annotations of CLDR, an object '{kind}' with an object 'annotations'")
    spoken = {text: entry.get("tts") for text, entry in entries.items() if isinstance(entry, dict)}
    return {
        text.replace(_VARIATION, ""): str(name[0]) for text, name in spoken.items() if isinstance(name, list) and name
    }


def read_emoji(
    package: Path,
    names: Mapping[str, Mapping[str, str]],
    languages: Sequence[str],
    skin_tones: bool,
    folder: Path,
    skip: Callable[[str], None],
) -> Iterator[Depicted]:
    """The emoji of a package of pictures, each with its names.

    Raises:
        InputError: the package is damaged, or none of those whose pictures may be passed on.
    """
    root = unpack_archive(package, ["emoji.json", "img/*/64/*.png"], folder)
    vendor = next((name for name in _SETS if (root / "img" / name / "64").is_dir()), None)
    if vendor is None:
        raise InputError(f"--pictures {package}: must be emoji-datasource-{' or -'.join(_SETS)}")
    known = _Known(root, vendor, names, languages)
    try:
        for entry in read_json(root / "emoji.json"):
            variants = [entry, *entry.get("skin_variations", {}).values()] if skin_tones else [entry]
            for variant in variants:
                if picture := known.depicted(variant, str(entry["category"])):
                    yield picture
                else:
                    skip("without a name or a picture of their own")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"{root / 'emoji.json'}: must be a list of emoji as emoji-datasource has it: {error}"
        ) from error


@dataclass(frozen=True)
class _Known:
    """What is known of all emoji of a vendor."""

    root: Path
    vendor: str
    names: Mapping[str, Mapping[str, str]]
    languages: Sequence[str]

    def depicted(self, emoji: Mapping[str, Any], category: str) -> Depicted | None:
        """An emoji, or None if the vendor has no picture of it, or no language has a name for it."""
        symbol = "".join(chr(int(code, 16)) for code in emoji["unified"].split("-")).replace(_VARIATION, "")
        image = inside(self.root, f"img/{self.vendor}/64/{emoji['image']}", self.root / "emoji.json")
        english = self.names["en"].get(symbol)
        if not english or category == _NO_PICTURES_OF_THINGS or not emoji[f"has_img_{self.vendor}"]:
            return None
        if not image.is_file():
            return None
        of_vendor = _SETS[self.vendor]
        captions = [(code, self.names[code][symbol]) for code in self.languages if symbol in self.names[code]]
        return Depicted(
            id=f"{of_vendor.name}-{emoji['unified'].lower()}",
            image=image,
            captions=captions,
            concept=concept_of(english),
            group=category,
            license=of_vendor.license,
            attribution=of_vendor.attribution,
            parts=parts_of(english),
        )
