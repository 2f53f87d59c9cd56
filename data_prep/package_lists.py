"""Debian package lists: reading their stanzas, and fetching a system's own lists into a private folder."""

from __future__ import annotations

import bz2
import gzip
import lzma
import re
import subprocess
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from s2s.errors import InputError

_OPENERS: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".xz": lzma.open, ".bz2": bz2.open}
_APT_ONLY = (".lz4", ".zst")
_APT_HELPER = "/usr/lib/apt/apt-helper"

_CONFIGURATION = """\
Dir::State::lists "{folder}/lists";
Dir::Cache "{folder}/cache";
#clear Acquire::Languages;
Acquire::Languages {{ {languages} }};
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
"""
_FORMAT = "$(CREATED_BY)\t$(LANGUAGE)\t$(CODENAME)\t$(FILENAME)"


@dataclass(frozen=True)
class PackageLists:
    """Files of a release.

    Args:
        packages: Packages files; the first one that has a package counts.
        translations: Translation files, by language ("en", "pt_BR").
        release: Name of the release, for the data card.
    """

    packages: list[Path]
    translations: dict[str, list[Path]]
    release: str

    def origins(self, language: str) -> list[str]:
        """Name and date (UTC) of each file that the corpus of a language is made from."""
        files = (*self.packages, *self.translations.get(language, []))
        dates = [datetime.fromtimestamp(path.stat().st_mtime, tz=timezone.utc).date() for path in files]
        names = [path.name.partition("_dists_")[2] or path.name for path in files]
        return [f"{name}, of {date}" for name, date in zip(names, dates, strict=True)]


def fetch_lists(folder: Path, languages: Sequence[str]) -> PackageLists:
    """Fetch the lists of this system's Debian sources into `folder`; needs no root and leaves the system's own alone.

    Only component main, whose packages are free software, and only releases, not updates and security suites.

    Raises:
        InputError: a language is malformed; apt is not installed, cannot fetch, or has no Debian source.
    """
    for language in languages:
        if not re.fullmatch(r"[A-Za-z_]+", language):
            raise InputError(f"--language must be a language of Debian's, such as de or pt_BR, got {language!r}")
    for name in ("lists/partial", "cache/archives/partial"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)  # as root, apt downloads as another user, who has to reach the folder
    configuration = folder / "apt.conf"
    quoted = " ".join(f'"{language}";' for language in dict.fromkeys(("en", *languages)))
    configuration.write_text(_CONFIGURATION.format(folder=folder, languages=quoted), encoding="utf-8")
    failure = _apt(configuration, "update").stderr.strip()
    chosen = ("Origin: Debian", "Label: Debian", "Component: main")
    found = _apt(configuration, "indextargets", "--format", _FORMAT, *chosen)
    lists = PackageLists([], {}, "")
    codenames: dict[str, None] = {}
    for line in found.stdout.splitlines():
        kind, language, codename, path = line.split("\t")
        if "-" in codename or not Path(path).exists():
            continue
        if kind == "Packages":
            codenames[codename] = None
            lists.packages.append(Path(path))
        elif kind == "Translations":
            lists.translations.setdefault(language, []).append(Path(path))
    if not lists.packages:
        reason = failure.splitlines()[-1] if failure else "no source has Origin and Label Debian and component main"
        raise InputError(f"apt-get update: found no Debian package list: {reason}; give --packages and --translation")
    return PackageLists(lists.packages, lists.translations, f"Debian {', '.join(codenames)}, component main")


def given_lists(packages: Sequence[Path], translations: Sequence[Path]) -> PackageLists:
    """Lists that the user names; the language of a Translation file is the end of its name.

    Raises:
        InputError: there is no Packages file, or a Translation file's name lacks its language.
    """
    if not packages:
        raise InputError("--packages: missing; --translation joins descriptions to the packages of a Packages file")
    by_language: dict[str, list[Path]] = {}
    for path in translations:
        found = re.search(r"Translation-([A-Za-z_]+)(\.\w+)?$", path.name)
        if not found:
            raise InputError(
                f"--translation {path}: the name must end in Translation-LANGUAGE, as in Translation-pt_BR.xz"
            )
        by_language.setdefault(found[1], []).append(path)
    return PackageLists(list(packages), by_language, "the given files")


def _apt(configuration: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["apt-get", "-c", str(configuration), *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise InputError("apt-get: not found; on a system without apt give --packages and --translation") from error


def read_stanzas(path: Path) -> Iterator[dict[str, str]]:
    """Stanzas of a list (plain, .gz, .xz, .bz2; .lz4 and .zst where apt is installed), see `parse_stanzas`."""
    suffix = path.suffix.lower()
    if suffix in _APT_ONLY:
        yield from parse_stanzas(_decompressed_by_apt(path), str(path))
        return
    try:
        with _OPENERS.get(suffix, open)(path, "rb") as file:
            yield from parse_stanzas(file, str(path))
    except (OSError, EOFError, lzma.LZMAError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or f"not a complete {suffix} file ({error})"
        raise InputError(f"{path}: cannot be read: {reason}") from error


def parse_stanzas(lines: Iterable[bytes], name: str) -> Iterator[dict[str, str]]:
    r"""Stanzas as field → value; the lines of a value are joined by "\n", each without the blank it begins with.

    Source: Debian Policy, 5.1: a stanza ends at an empty line, a line that begins with a blank continues the value.

    Raises:
        InputError: a line is malformed, or is not UTF-8.
    """
    stanza: dict[str, str] = {}
    key = ""
    for number, raw in enumerate(lines, start=1):
        try:
            line = raw.decode("utf-8").rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise InputError(
                f"{name}:{number}: invalid UTF-8 at byte {error.start + 1}; expected UTF-8 text"
            ) from error
        if not line.strip(" \t"):  # a line of other blanks belongs to the value
            if stanza:
                yield stanza
            stanza, key = {}, ""
        elif line[0] in " \t" and key:
            stanza[key] += "\n" + line[1:]
        else:
            key, colon, value = line.partition(":")
            if not colon or not key or key[0] in " \t#":
                raise InputError(f"{name}:{number}: expected 'Field: value' or an indented line, found {line[:40]!r}")
            stanza[key] = value.strip()
    if stanza:
        yield stanza


def _decompressed_by_apt(path: Path) -> Iterator[bytes]:
    try:
        process = subprocess.Popen([_APT_HELPER, "cat-file", str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    except FileNotFoundError as error:
        raise InputError(f"{path}: {path.suffix} needs apt, which is not installed; decompress it first") from error
    with process:
        assert process.stdout is not None
        assert process.stderr is not None
        yield from process.stdout
        if process.wait():
            reason = process.stderr.read().decode("utf-8", "replace").strip() or "apt-helper failed"
            raise InputError(f"{path}: cannot be read: {reason.splitlines()[-1]}")
