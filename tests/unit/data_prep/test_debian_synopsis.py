import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_prep import debian_synopsis
from data_prep.debian_synopsis import Package, pairs, parts_of, split_of, word_count
from data_prep.package_lists import PackageLists, given_lists
from s2s.errors import InputError


def words(start: str, count: int = 30) -> str:
    return " ".join(f"{start}{number}" for number in range(count))


def entry(name: str, source: str, synopsis: str, body: str) -> tuple[Package, str]:
    return Package(name, source, f"key of {name}", synopsis), f"{synopsis}\n{body}"


def kept(*entries: tuple[Package, str], language: str = "en") -> tuple[list[str], Counter[str]]:
    skipped: Counter[str] = Counter()
    texts = {package.key: text for package, text in entries}
    found = pairs([package for package, _ in entries], texts, language, lambda reason: skipped.update([reason]))
    return [pair.id for _, pair in found], skipped


def test_description_is_split_into_synopsis_first_paragraph_and_body() -> None:
    text = "a  synopsis\nfirst line\n  second: line\n.\n * bullet\n   goes on\n.\n"
    assert parts_of(text) == ("a synopsis", "first line second: line", "first line second: line * bullet goes on")
    assert parts_of("only a synopsis") == ("only a synopsis", "", "")


def test_line_break_is_no_blank_between_japanese_characters() -> None:
    assert parts_of("要約\nファイルを\n編集。 GNU の\nツール and\nmore")[2] == "ファイルを編集。 GNU のツール and more"


def test_characters_without_spaces_count_as_half_a_word() -> None:
    assert word_count("two words") == 2
    assert word_count("六文字です。") == 2 + 1


@pytest.mark.parametrize(
    ("second", "reason"),
    [
        (entry("b-dev", "b", "other", words("y")), "companion"),
        (entry("tesseract-ocr-deu", "b", "other", words("y")), "companion"),
        (entry("b", "b", "Transitional package for a", words("y")), "transitional"),
        (entry("b", "b", "other", words("y", 24)), "fewer than 25"),
        (entry("b", "b", "other", words("y", 601)), "fewer than 25"),
        (entry("b", "b", "other", words("x") + "\n.\nThis package contains more."), "first paragraph came before"),
        (entry("b", "b", "A: First, 2", words("y")), "synopses that came before"),
    ],
)
def test_what_adds_nothing_is_left_out_and_counted(second: tuple[Package, str], reason: str) -> None:
    ids, skipped = kept(entry("a", "a", "a first", words("x")), second)
    assert ids == ["en/a"]
    assert [count for name, count in skipped.items() if reason in name] == [1]


@given(st.lists(st.tuples(st.text("abc", min_size=1, max_size=3), st.text("xyz", min_size=1, max_size=4)), max_size=12))
def test_no_source_package_and_no_synopsis_is_in_two_splits(drawn: list[tuple[str, str]]) -> None:
    entries = [entry(f"{source}{n}", source, synopsis, words(f"w{n}-")) for n, (source, synopsis) in enumerate(drawn)]
    texts = {package.key: text for package, text in entries}
    sources: dict[str, set[str]] = {}
    synopses: dict[str, set[str]] = {}
    for split, pair in pairs([package for package, _ in entries], texts, "en", lambda _: None):
        sources.setdefault(pair.fields["source_package"], set()).add(split)
        synopses.setdefault(str(pair.target), set()).add(split)
    assert all(len(splits) == 1 for splits in (*sources.values(), *synopses.values()))


def test_split_never_changes() -> None:
    assert [split_of(name) for name in ("abx", "0ad", "bumblebee", "mtpaint")] == ["test", "train", "valid", "train"]
    shares = Counter(split_of(f"package{number}") for number in range(5000))
    assert 150 < shares["test"] < 250
    assert 150 < shares["valid"] < 250


PACKAGES = """\
Package: {name}
Source: {source} (1.0)
Description: {synopsis}
Description-md5: {key}

"""


def lists(folder: Path, entries: list[tuple[str, str, str, str]], languages: list[str]) -> PackageLists:
    packages, files = "", dict.fromkeys(languages, "")
    for name, source, synopsis, body in entries:
        key = f"md5-of-{name}"
        packages += PACKAGES.format(name=name, source=source, synopsis=synopsis, key=key)
        for language in languages:
            files[language] += f"Description-md5: {key}\nDescription-{language}: {language} {synopsis}\n {body}\n\n"
    (folder / "Packages").write_text(packages, encoding="utf-8")
    for language, text in files.items():
        (folder / f"Translation-{language}").write_text(text, encoding="utf-8")
    return given_lists([folder / "Packages"], [folder / f"Translation-{language}" for language in languages])


def test_languages_are_joined_by_md5_and_split_alike(tmp_path: Path) -> None:
    entries = [(f"p{n}", f"s{n}", f"synopsis {chr(97 + n)}", words(f"w{n}-")) for n in range(20)]
    given = lists(tmp_path, entries, ["en", "de"])
    summaries = debian_synopsis.write(tmp_path / "out", given, ["en", "de"])
    assert len(summaries) == 2
    found = {}
    for language in ("en", "de"):
        for path in (tmp_path / "out" / language).glob("*.jsonl"):
            for line in path.read_text().splitlines():
                record = json.loads(line)
                assert record["tgt"].startswith(f"{language} synopsis")
                assert record["lang"] == language
                found[language, record["source_package"]] = path.name
    assert len(found) == 40
    assert all(found["en", f"s{n}"] == found["de", f"s{n}"] == f"{split_of(f's{n}')}.jsonl" for n in range(20))
    assert "license of its package" in (tmp_path / "out/de/NOTICE").read_text()
    assert "Translation-de, of 20" in (tmp_path / "out/de/DATA_CARD.md").read_text()


def test_fewer_training_pairs_are_those_of_more_and_tests_stay(tmp_path: Path) -> None:
    tested = next(f"s{n}" for n in range(1000) if split_of(f"s{n}") == "test")
    sources = [tested, *(f"s{n}" for n in range(25))]
    entries = [(f"p{n}", source, f"synopsis {chr(97 + n)}", words(f"w{n}-")) for n, source in enumerate(sources)]
    given = lists(tmp_path, entries, ["en", "de"])
    ids = {}
    for count in (None, 9, 4):
        debian_synopsis.write(tmp_path / f"out{count}", given, ["en", "de"], count)
        for path in (tmp_path / f"out{count}").glob("*/*.jsonl"):
            found = [json.loads(line)["id"] for line in path.read_text().splitlines()]
            ids[count, path.parent.name, path.stem] = found
    for language in ("en", "de"):
        whole, nine, four = (ids[count, language, "train"] for count in (None, 9, 4))
        assert (len(nine), len(four)) == (9, 4)
        assert set(four) < set(nine) < set(whole)
        assert nine == [id for id in whole if id in nine]
        assert ids[4, language, "test"] == ids[None, language, "test"]
    assert "the 4 with the smallest md5 of `id`" in (tmp_path / "out4/de/DATA_CARD.md").read_text()


def test_shortest_name_speaks_for_a_source_package(tmp_path: Path) -> None:
    body = words("same")
    given = lists(tmp_path, [("alpha-tools", "s", "tools", body), ("alpha", "s", "program", body)], ["en"])
    debian_synopsis.write(tmp_path / "out", given, ["en"])
    assert [json.loads(line)["id"] for line in (tmp_path / f"out/en/{split_of('s')}.jsonl").open()] == ["en/alpha"]


def test_whole_description_in_the_packages_file_will_do(tmp_path: Path) -> None:
    (tmp_path / "Packages").write_text(f"Package: a\nDescription: synopsis\n {words('w')}\n .\n end\n")
    debian_synopsis.write(tmp_path / "out", given_lists([tmp_path / "Packages"], []), ["en"])
    record = json.loads((tmp_path / f"out/en/{split_of('a')}.jsonl").read_text())
    assert (record["tgt"], record["src"]) == ("synopsis", words("w") + " end")


def test_file_that_lists_no_package_is_refused(tmp_path: Path) -> None:
    (tmp_path / "Packages").write_text("root: x\n")
    with pytest.raises(InputError, match="Packages: expected stanzas with a field Package, found none"):
        debian_synopsis.write(tmp_path / "out", given_lists([tmp_path / "Packages"], []), ["en"])


def test_language_without_descriptions_is_refused(tmp_path: Path) -> None:
    given = lists(tmp_path, [("a", "a", "synopsis", words("w"))], ["en", "de"])
    with pytest.raises(InputError, match="--language fr: the lists hold no description in it; found de, en"):
        debian_synopsis.write(tmp_path / "out", given, ["fr"])
