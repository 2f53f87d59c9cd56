import bz2
import gzip
import lzma
import re
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_prep.package_lists import fetch_lists, given_lists, parse_stanzas, read_stanzas
from s2s.errors import InputError

STANZAS = """\
Package: alpha
Description: first
 one line
  indented further
 .
 after a blank: with colon

Package: beta
Tag: a,
\tb
Empty:


Package: gamma
"""


def lines(text: str) -> list[bytes]:
    return text.encode().splitlines(keepends=True)


def test_stanzas_keep_continuation_lines_and_blank_paragraph_marks() -> None:
    alpha, beta, gamma = parse_stanzas(lines(STANZAS), "list")
    assert alpha["Description"] == "first\none line\n indented further\n.\nafter a blank: with colon"
    assert beta == {"Package": "beta", "Tag": "a,\nb", "Empty": ""}
    assert gamma == {"Package": "gamma"}


def test_a_line_of_other_blanks_belongs_to_the_value() -> None:
    assert list(parse_stanzas(lines("A: x\n \u00a0\nB: y\n"), "list")) == [{"A": "x\n\u00a0", "B": "y"}]


values = st.text(st.characters(blacklist_categories=["Cs", "Cc", "Z"]), min_size=1, max_size=5)
names = st.from_regex(r"[A-Z][a-z]{0,4}", fullmatch=True)


@given(st.lists(st.dictionaries(names, st.lists(values, min_size=1, max_size=3), min_size=1, max_size=3), max_size=4))
def test_stanzas_come_back_as_they_were_written(stanzas: list[dict[str, list[str]]]) -> None:
    text = "\n".join("".join(f"{name}: " + "\n ".join(value) + "\n" for name, value in s.items()) for s in stanzas)
    expected = [{name: "\n".join(value) for name, value in stanza.items()} for stanza in stanzas]
    assert list(parse_stanzas(lines(text), "list")) == expected


@pytest.mark.parametrize("bad", ["no colon here", " continues nothing", ": no name"])
def test_malformed_line_is_named(bad: str) -> None:
    with pytest.raises(
        InputError, match=re.escape(f"list:3: expected 'Field: value' or an indented line, found {bad!r}")
    ):
        list(parse_stanzas(lines(f"A: x\n\n{bad}\n"), "list"))


def test_invalid_utf8_is_named() -> None:
    with pytest.raises(InputError, match="list:2: invalid UTF-8 at byte 4"):
        list(parse_stanzas([b"A: x\n", b"B: \xff\n"], "list"))


@pytest.mark.parametrize(
    ("suffix", "compress"),
    [("", bytes), (".gz", gzip.compress), (".GZ", gzip.compress), (".xz", lzma.compress), (".bz2", bz2.compress)],
)
def test_compressed_lists_read_like_plain_ones(tmp_path: Path, suffix: str, compress: object) -> None:
    path = tmp_path / f"Packages{suffix}"
    path.write_bytes(compress(STANZAS.encode()))  # type: ignore[operator]
    assert [stanza["Package"] for stanza in read_stanzas(path)] == ["alpha", "beta", "gamma"]


def test_missing_and_truncated_lists_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none: cannot be read: No such file"):
        list(read_stanzas(tmp_path / "none"))
    for suffix, compress in ((".gz", gzip.compress), (".xz", lzma.compress), (".bz2", bz2.compress)):
        path = tmp_path / f"Packages{suffix}"
        path.write_bytes(compress(STANZAS.encode())[:-9])
        with pytest.raises(InputError, match=rf"{suffix}: cannot be read: not a complete {suffix} file"):
            list(read_stanzas(path))


@pytest.mark.parametrize("content", [b"\x1f\x8b\x08" + b"\0" * 7 + b"\xff" * 20, b"\x1f\x8b", b"Package: plain\n"])
def test_broken_gzip_is_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "Packages.GZ"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"Packages\.GZ: cannot be read: not a complete \.gz file"):
        list(read_stanzas(path))


def test_language_of_a_given_translation_is_the_end_of_its_name(tmp_path: Path) -> None:
    found = given_lists(
        [Path("Packages")], [Path("x_Translation-pt_BR.xz"), Path("Translation-de"), Path("y/Translation-de")]
    )
    assert set(found.translations) == {"pt_BR", "de"}
    assert len(found.translations["de"]) == 2
    with pytest.raises(InputError, match=r"--translation names\.txt: the name must end in Translation-LANGUAGE"):
        given_lists([Path("Packages")], [Path("names.txt")])
    with pytest.raises(InputError, match="--packages: missing"):
        given_lists([], [Path("Translation-de")])


def fake_apt(folder: Path, script: str) -> None:
    folder.mkdir()
    apt = folder / "apt-get"
    apt.write_text(f"#!/bin/sh\n{script}\n")
    apt.chmod(apt.stat().st_mode | stat.S_IXUSR)


def test_fetched_lists_are_those_of_the_release_proper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("P", "P-updates", "T"):
        (tmp_path / name).write_text("")
    rows = [
        ("Packages", "", "trixie", "P"),
        ("Packages", "", "trixie-updates", "P-updates"),
        ("Translations", "de", "trixie", "T"),
        ("Translations", "fr", "trixie", "gone"),
    ]
    table = "".join(f"{kind}\\t{language}\\t{release}\\t{tmp_path / name}\\n" for kind, language, release, name in rows)
    fake_apt(tmp_path / "bin", f'[ "$3" = indextargets ] && printf "{table}"; exit 0')
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/bin:/usr/bin")
    found = fetch_lists(tmp_path / "private", ["de"])
    assert (found.packages, found.translations) == ([tmp_path / "P"], {"de": [tmp_path / "T"]})
    assert found.release == "Debian trixie, component main"
    assert 'Acquire::Languages { "en"; "de"; };' in (tmp_path / "private/apt.conf").read_text()


def test_malformed_language_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"--language must be a language of Debian's, .*, got '\.\./x'"):
        fetch_lists(tmp_path, ["../x"])


def test_system_without_lists_is_told_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        InputError, match="apt-get: not found; on a system without apt give --packages and --translation"
    ):
        fetch_lists(tmp_path / "private", ["en"])
    fake_apt(tmp_path / "bin", 'if [ "$3" = update ]; then echo "E: no network" >&2; exit 100; fi')
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/bin:/usr/bin")
    with pytest.raises(InputError, match="found no Debian package list: E: no network; give --packages"):
        fetch_lists(tmp_path / "private", ["en"])
