"""Question generation from the FAQs of Perl, Python and Debian: an answer is the source, its question the target."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from data_prep.corpus_writer import CorpusWriter, Pair
from data_prep.debian_archives import unpack_archives
from s2s.data.splits import Role
from s2s.data.text_lines import read_text
from s2s.errors import InputError

PACKAGES = ("perl-doc", "python3.11-doc", "debian-faq")
"""Where Debian 12 has them."""
MIN_WORDS, MAX_WORDS = 15, 600

ABOUT = f"""Frequently asked questions from Debian packages: perl-doc (perlfaq1 to 9), the documentation of Python, and
debian-faq. The source is the prose of an answer, without code, {MIN_WORDS} to {MAX_WORDS} words; the target is its
question. md5(question) mod 8 is 0 for test, 1 for valid, else train."""

LICENSE = """perlfaq: (c) Tom Christiansen, Nathan Torkington and others, Artistic License or GPL. Python FAQ: (c) the
Python Software Foundation, PSF License. Debian FAQ: (c) Software in the Public Interest, free to copy and to change
under the same notice."""

Entry = tuple[str, str]
"""A question and the prose of its answer."""

_POD_HEADING = re.compile(r"=head2 (.*)", re.DOTALL)
_POD_CODE = re.compile(r"([A-Z])(?:<<+\s(.*?)\s>>+|<([^<>]*)>)", re.DOTALL)
_POD_SIGNS = {"lt": "<", "gt": ">", "verbar": "|", "sol": "/"}
_RST_NAMED = re.compile(r":[\w:+-]+:`[!~]?([^`<]*?)(?: ?<[^`]*)?`|`([^`<]+?) ?<[^`]*>`_{1,2}")
_RST_MARKS = re.compile(r"``|\*\*?(?=\S)|(?<=\S)\*\*?|`_{1,2}|`")
_RST_PLAIN = re.compile(r"(?!\.\. |>>> )(?=\S)")
_RST_ITEM = re.compile(r"^(?:[*-]|#\.|[0-9]+\.) +", re.MULTILINE)
_NUMBER = re.compile(r"[0-9]+(\.[0-9]+)+\.\s")


def write(folder: Path, roots: Sequence[Path]) -> str:
    """Write the pairs of unpacked packages; returns the summary.

    Raises:
        InputError: none of the packages has a FAQ.
    """
    files = [(name, read, path) for name, pattern, read in _FORMATS for root in roots for path in _found(root, pattern)]
    if not files:
        raise InputError(f"--packages: no FAQ in them; expected some of {', '.join(PACKAGES)}")
    seen: set[str] = set()
    with CorpusWriter(folder, "FAQs: answers and questions", [ABOUT, LICENSE]) as writer:
        for name, read, path in files:
            for number, (question, answer) in enumerate(read(read_text(path)), start=1):
                if reason := _flaw(question, answer, seen):
                    writer.skip(reason)
                    continue
                seen.add(question)
                id = f"{name}/{path.name.partition('.')[0]}/{number}"
                writer.add(split_of(question), Pair(id, answer, question))
    return writer.summary


def split_of(question: str) -> Role:
    """The split of a question, which neither its place nor the other questions change."""
    return {0: "test", 1: "valid"}.get(int(hashlib.md5(question.encode()).hexdigest(), 16) % 8, "train")  # type: ignore[return-value]


def _flaw(question: str, answer: str, seen: set[str]) -> str:
    """Why a pair is left out; "" if it is not."""
    if not question.endswith("?"):
        return "headings that are no questions"
    if question in seen:
        return "questions that came before"
    return "" if MIN_WORDS <= len(answer.split()) <= MAX_WORDS else "answers too short or too long"


def unpack(packages: Sequence[Path], folder: Path) -> list[Path]:
    """The unpacked packages; see `unpack_archives`."""
    return unpack_archives(packages, folder, "*.deb", "usr/share/doc")


def _found(root: Path, pattern: str) -> list[Path]:
    return sorted({path.resolve(): path for path in sorted(root.glob(pattern))}.values())


def pod_entries(text: str) -> Iterator[Entry]:
    """The entries of a file of Perl's documentation: `=head2`, then paragraphs, of which indented ones are code."""
    question, answer = "", list[str]()
    for paragraph in [*re.split(r"\n\s*\n", text), "=head1 END"]:
        heading = _POD_HEADING.match(paragraph.strip())
        if paragraph.startswith("=head"):
            if question:
                yield question, " ".join(answer)
            question, answer = _pod_text(heading[1]) if heading else "", []
        elif paragraph.strip() and not paragraph.startswith((" ", "\t", "=")):
            answer.append(_pod_text(paragraph))


def _pod_text(text: str) -> str:
    while text != (text := _POD_CODE.sub(_pod_code, text)):
        pass
    return " ".join(text.split())


def _pod_code(found: re.Match[str]) -> str:
    """What is seen of a formatting code: the text of a link, nothing of an index entry."""
    kind, inner = found[1], found[2] or found[3] or ""
    if kind in "XZ":
        return ""
    return _POD_SIGNS.get(inner, inner) if kind == "E" else inner.partition("|")[0] if kind == "L" else inner


def rst_entries(text: str) -> Iterator[Entry]:
    """The entries of a reStructuredText file: underlined titles, then blocks, of which indented ones are left out."""
    question, answer = "", list[str]()
    blocks = [block.strip("\n").split("\n") for block in re.split(r"\n\s*\n", text)]
    for first, *others in [*blocks, ["End", "==="]]:
        if others and re.fullmatch(r"([=~^-])\1{2,}", others[0].strip()):
            if question:
                yield question, " ".join(answer)
            question, answer = _rst_text(first), [_rst_text("\n".join(others[1:]))] if others[1:] else []
        elif _RST_PLAIN.match(first):
            answer.append(_rst_text("\n".join([first, *others])))


def _rst_text(text: str) -> str:
    named = _RST_NAMED.sub(lambda found: found[1] or found[2] or "", _RST_ITEM.sub("", text))
    return " ".join(re.sub(r"::(?=\s|$)", ":", _RST_MARKS.sub("", named)).split())


def numbered_entries(text: str) -> Iterator[Entry]:
    """The entries of plain text with numbered headings at the margin and indented answers."""
    question, answer = "", list[str]()
    for block in [*re.split(r"\n\s*\n", text), "End"]:
        if block.startswith(" "):
            answer.append(" ".join(block.split()))
            continue
        if question:
            yield question, " ".join(answer)
        heading = _NUMBER.match(block)
        question, answer = " ".join(block[heading.end() :].split()) if heading else "", []


_FORMATS: list[tuple[str, str, Callable[[str], Iterator[Entry]]]] = [
    ("perl", "usr/share/perl/*/pod/perlfaq[1-9].pod", pod_entries),
    ("python", "usr/share/doc/python3*/html/_sources/faq/*.rst.txt", rst_entries),
    ("debian", "usr/share/doc/debian/FAQ/debian-faq.en.txt.gz", numbered_entries),
]
