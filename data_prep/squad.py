"""Questions with passages and answers: SQuAD 1.1 JSON, or rows in any format with the fields of SQuAD on the hub."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from s2s.data.files import read_lines, suffix_of
from s2s.data.jsonl import check_unicode, id_field, parse_record
from s2s.data.records import open_records
from s2s.data.splits import Role
from s2s.data.text_lines import read_text
from s2s.errors import InputError
from s2s.json_files import describe, parse_json

Skip = Callable[[str], None]
_ELSEWHERE = "answers that do not stand where the file says"


@dataclass(frozen=True)
class Question:
    """A question with one of its answers.

    Args:
        id: SQuAD's id; with -2, -3 ... for further answers.
        article: Title of the article.
        start: Where in the passage the answer begins, in characters.
    """

    id: str
    article: str
    text: str
    passage: str
    start: int
    answer: str

    @property
    def end(self) -> int:
        """Where the answer ends."""
        return self.start + len(self.answer)

    def within(self, start: int, end: int) -> Question:
        """The same question on a part of the passage, which must hold the answer; blanks around it are dropped."""
        assert start <= self.start
        assert self.end <= end
        part = self.passage[start:end]
        lead = len(part) - len(part.lstrip())
        return Question(self.id, self.article, self.text, part.strip(), self.start - start - lead, self.answer)


def read_questions(path: str, skip: Skip, all_answers: bool = False, split: Role = "train") -> Iterator[Question]:
    """The questions of a file or data set.

    Args:
        path: A SQuAD 1.1 JSON file, which is held in memory; or anything that `open_records` reads, with the fields
            context, question and answers (text and answer_start, lists of one length), or answer.
        skip: Called for each answer that is not at the place the file gives, and each question without one.
        all_answers: Give every distinct answer of a question (dev has up to six), not only the first.
        split: Which split of a folder or hub id is meant, and the beginning of ids where rows have none.

    Raises:
        InputError: a part of the file, which the message names, is missing or of the wrong type.
    """
    found = _squad_entries(path) if _is_squad(path) else _rows(path, split)
    for title, passage, entry, where in found:
        text, id = _get(entry, "question", str, where), _get(entry, "id", str, where)
        answers = _answers(entry, passage, where, skip)
        for number, (start, answer) in enumerate(answers if all_answers else answers[:1], start=1):
            unique = id if number == 1 else f"{id}-{number}"
            yield Question(unique, title, " ".join(text.split()), passage, start, answer)


def _is_squad(path: str) -> bool:
    """Whether this is one JSON object with all articles, not one object a line."""
    if suffix_of(path) != ".json" or not Path(path).is_file():
        return False
    try:
        return "context" not in parse_record(next(read_lines(path)))
    except (InputError, StopIteration):  # an object over many lines
        return True


def _squad_entries(path: str) -> Iterator[tuple[str, str, Any, str]]:
    """`(title, passage, entry, where)` of each question."""
    content = parse_json(read_text(path), path)
    for article, where in _items(content, "data", f"{path}: $"):
        title = _get(article, "title", str, where)
        for paragraph, where_paragraph in _items(article, "paragraphs", where):
            passage = _get(paragraph, "context", str, where_paragraph)
            for entry, where_entry in _items(paragraph, "qas", where_paragraph):
                yield title, passage, entry, where_entry


def _rows(path: str, split: Role) -> Iterator[tuple[str, str, Any, str]]:
    for number, (where, row) in enumerate(open_records(path, split), start=1):
        passage = _get(row, "context", str, where)
        id = id_field(row, where) or f"{split}-{number}"
        yield str(row.get("title", "")), passage, {**row, "id": id, "answers": _listed(row, passage, where)}, where


def _listed(row: dict[str, Any], passage: str, where: str) -> list[dict[str, Any]]:
    """The answers of a row as SQuAD lists them; one without a place is where it first stands."""
    answers = row.get("answers", row.get("answer"))
    if isinstance(answers, str):
        answers = {"text": [answers]}
    if not isinstance(answers, dict):
        return list(_get({**row, "answers": answers}, "answers", list, where))
    texts = _get(answers, "text", list, f"{where}: 'answers'")
    starts = answers.get("answer_start")
    if starts is None:
        starts = [passage.find(text) if isinstance(text, str) else 0 for text in texts]
    if not isinstance(starts, list) or len(starts) != len(texts):
        raise InputError(f"{where}: 'answers': expected as many 'answer_start' as 'text', found {describe(starts)}")
    return [{"text": text, "answer_start": start} for text, start in zip(texts, starts, strict=True)]


def _answers(entry: Any, passage: str, where: str, skip: Skip) -> list[tuple[int, str]]:
    found: dict[tuple[int, str], None] = {}
    for answer, where_answer in _items(entry, "answers", where):
        start, text = _get(answer, "answer_start", int, where_answer), _get(answer, "text", str, where_answer)
        if text.strip() and start >= 0 and passage[start : start + len(text)] == text:
            found[start, text] = None
        else:
            skip(_ELSEWHERE)
    if not entry["answers"]:
        skip("questions without an answer")
    return list(found)


def _items(parent: Any, field: str, where: str) -> Iterator[tuple[Any, str]]:
    for place, item in enumerate(_get(parent, field, list, where)):
        yield item, f"{where}.{field}[{place}]"


def _get(parent: Any, field: str, kind: type, where: str) -> Any:
    if not isinstance(parent, dict):
        raise InputError(f"{where}: expected an object with {field!r}, found {describe(parent)}")
    if field not in parent:
        raise InputError(f"{where}: {field!r} is missing; found {', '.join(map(repr, parent)) or 'no field'}")
    value = parent[field]
    if not isinstance(value, kind) or isinstance(value, bool):
        names = {str: "a string", int: "a whole number", list: "a list"}
        raise InputError(f"{where}: {field!r} must be {names[kind]}, found {describe(value)}")
    if isinstance(value, str):
        check_unicode(value, field, where)
    return value
