"""Headline generation from Debian packages: the description of a package is the source, its synopsis the target."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from data_prep.corpus_writer import CorpusWriter, Pair, normal_form
from data_prep.package_lists import PackageLists, read_stanzas
from s2s.errors import InputError

COMPANION = re.compile(
    r"-(dev|dbg|dbgsym|doc|docs|data|prof)$"
    r"|-(l10n|i18n|locale)(-|$)"
    r"|^(tesseract-ocr|dict|hunspell|aspell|myspell|hyphen|mythes)-"
)
"""Names of packages whose description repeats that of another package and adds a boilerplate sentence."""

PLACEHOLDER = re.compile(r"transitional|dummy|meta-?package", re.IGNORECASE)
"""Synopses of packages that hold nothing."""

FEWEST_WORDS, MOST_WORDS = 25, 600
VALID_PERCENT = TEST_PERCENT = 4

RULE = f"""\
A pair is the long description of a binary package (source) and its synopsis (target). Blanks are collapsed, those
between two Chinese or Japanese characters dropped, nothing else is changed. Packages are taken by source package, then
by length of their name, then by name. Left out are, in this order:

1. packages whose name matches `{COMPANION.pattern}`;
2. packages whose English synopsis matches `{PLACEHOLDER.pattern}` in any case;
3. packages without a description in the language;
4. descriptions of fewer than {FEWEST_WORDS} or more than {MOST_WORDS} words (in a script without spaces, two characters
   count as a word);
5. descriptions whose first paragraph came before;
6. synopses that came before; case, punctuation and digits do not count.

The split follows from the source package alone, so that it is the same for every language and every release:
md5(source package) mod 100 is below {TEST_PERCENT} for test, else below {TEST_PERCENT + VALID_PERCENT} for valid,
else train."""

LICENSE = """\
The descriptions and synopses belong to the maintainers of the packages, the translations to the translators of the
Debian Description Translation Project. Each description comes under the free license of its package, which is in
the file debian/copyright of its source package, installed as /usr/share/doc/PACKAGE/copyright. Every record names its
package in `id` (LANGUAGE/PACKAGE) and its source package in `source_package`.
"""


class Package(NamedTuple):
    """A binary package: its name, its source package, the key of its description, its English synopsis."""

    name: str
    source: str
    key: str
    synopsis: str


class Descriptions:
    """The packages of some lists, in the order of the rule, and their descriptions by language."""

    def __init__(self, lists: PackageLists) -> None:
        self._lists = lists
        self._inline: dict[str, str] = {}
        packages: dict[str, Package] = {}
        for path in lists.packages:
            for stanza in read_stanzas(path):
                if "Package" in stanza:
                    packages.setdefault(stanza["Package"], self._package(stanza))
        if not packages:
            raise InputError(
                f"{', '.join(map(str, lists.packages))}: expected stanzas with a field Package, found none"
            )
        self.packages = sorted(packages.values(), key=lambda package: (package.source, len(package.name), package.name))

    def _package(self, stanza: Mapping[str, str]) -> Package:
        name = stanza["Package"]
        description = stanza.get("Description", stanza.get("Description-en", ""))
        key = stanza.get("Description-md5") or hashlib.md5(f"{description}\n".encode()).hexdigest()
        if "\n" in description:  # lists of small repositories hold the whole description, and no Translation-en
            self._inline[key] = description
        source = stanza.get("Source", name).partition(" ")[0]  # "source (version)" where the versions differ
        return Package(name, source, key, description.partition("\n")[0])

    def texts(self, language: str) -> dict[str, str]:
        """Descriptions in a language by their key, which is that of the English text in every language."""
        texts = dict(self._inline) if language == "en" else {}
        for path in self._lists.translations.get(language, []):
            for stanza in read_stanzas(path):
                text = stanza.get(f"Description-{language}")
                if text and "Description-md5" in stanza:
                    texts.setdefault(stanza["Description-md5"], text)
        return texts


def pairs(
    packages: Iterable[Package], texts: Mapping[str, str], language: str, skip: Callable[[str], None]
) -> Iterator[tuple[str, Pair]]:
    """`(split, pair)` for each package that the rule (`RULE`) keeps; `skip` gets the reason for each other one.

    Packages come in the order of the rule, `texts` are descriptions in the language by key.
    """
    paragraphs: set[str] = set()
    synopses: set[str] = set()
    for package in packages:
        if COMPANION.search(package.name):
            skip("companion packages (-dev, -dbg, -doc, -data, -prof, language data)")
        elif PLACEHOLDER.search(package.synopsis):
            skip("transitional, dummy and meta packages")
        elif package.key not in texts:
            skip("without a description in this language")
        else:
            synopsis, paragraph, body = parts_of(texts[package.key])
            words = word_count(body)
            if not synopsis or not FEWEST_WORDS <= words <= MOST_WORDS:
                skip(f"descriptions of fewer than {FEWEST_WORDS} or more than {MOST_WORDS} words")
            elif paragraph in paragraphs:
                skip("descriptions whose first paragraph came before")
            elif normal_form(synopsis) in synopses:
                skip("synopses that came before")
            else:
                paragraphs.add(paragraph)
                synopses.add(normal_form(synopsis))
                fields = {"lang": language, "source_package": package.source}
                yield split_of(package.source), Pair(f"{language}/{package.name}", body, synopsis, fields)


def parts_of(description: str) -> tuple[str, str, str]:
    """Synopsis, first paragraph and whole body of a description, each on one line with single blanks.

    Source: Debian Policy, 5.6.13: the first line is the synopsis, a line of one full stop ends a paragraph.
    """
    synopsis, _, rest = description.partition("\n")
    paragraphs = [[]]  # type: list[list[str]]
    for line in rest.split("\n"):
        if line.strip() == ".":
            paragraphs.append([])
        else:
            paragraphs[-1] += line.split()
    joined = [_join(words) for words in paragraphs]
    return _join(synopsis.split()), joined[0], " ".join(filter(None, joined))


def _join(words: list[str]) -> str:
    return _UNSPACED_BLANK.sub("", " ".join(words))  # in a script without spaces a line break is not a blank


def word_count(text: str) -> int:
    """Words of a text; in a script without spaces two characters count as one."""
    unspaced = len(_UNSPACED.findall(text))
    return len(_UNSPACED.sub(" ", text).split()) + unspaced // 2


_UNSPACED = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]")
_UNSPACED_BLANK = re.compile(
    r"(?<=[\u3000-\u30ff\u3400-\u4dbf\u4e00-\u9fff]) (?=[\u3000-\u30ff\u3400-\u4dbf\u4e00-\u9fff])"
)


def split_of(source_package: str) -> str:
    """The split that all packages of a source package belong to, in every language."""
    bucket = int(hashlib.md5(source_package.encode()).hexdigest(), 16) % 100
    if bucket < TEST_PERCENT:
        return "test"
    return "valid" if bucket < TEST_PERCENT + VALID_PERCENT else "train"


def write(folder: Path, lists: PackageLists, languages: Sequence[str], max_train: int | None = None) -> list[str]:
    """Write the corpus of each language to FOLDER/LANGUAGE, with data card and license note; returns their summaries.

    Args:
        folder: Where to write.
        lists: The package lists.
        languages: Names as in Translation-LANGUAGE.
        max_train: Maximum training pairs of a language; those with the smallest md5 of their id stay.

    Raises:
        InputError: a list is missing or malformed, or holds no description in one of the languages.
    """
    descriptions = Descriptions(lists)
    summaries = []
    for language in languages:
        texts = descriptions.texts(language)
        if not texts:
            found = ", ".join(sorted(lists.translations)) or "no Translation file"
            raise InputError(f"--language {language}: the lists hold no description in it; found {found}")
        title = f"Debian descriptions and synopses, language {language}"
        made = f"Made from {lists.release}: {len(descriptions.packages):,} packages, {len(texts):,} descriptions."
        files = "\n".join(f"- {origin}" for origin in lists.origins(language))
        fewer = (
            [] if max_train is None else [f"Of the training pairs, the {max_train:,} with the smallest md5 of `id`."]
        )
        about = [made, files, RULE, *fewer, LICENSE.strip()]
        with CorpusWriter(folder / language, title, about, {"NOTICE": LICENSE}) as writer:
            kept = list(pairs(descriptions.packages, texts, language, writer.skip))
            left_out = _beyond(max_train, [pair.id for split, pair in kept if split == "train"])
            for split, pair in kept:
                if pair.id in left_out:
                    writer.skip(f"training pairs beyond {max_train:,}")
                else:
                    writer.add(split, pair)
        summaries.append(writer.summary)
    return summaries


def _beyond(count: int | None, ids: Sequence[str]) -> set[str]:
    """The ids but the `count` with the smallest md5."""
    return set() if count is None else set(sorted(ids, key=lambda id: hashlib.md5(id.encode()).digest())[count:])
