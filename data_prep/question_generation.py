"""Question generation: passage and answer are the source, the question is the target.

Three divisions of SQuAD 1.1 are in use under the same name, and scores on one say nothing about another:

| name | train / valid / test | what it is |
|---|---|---|
| zhou | 86,635 / 8,965 / 8,964 | sentences; SQuAD's train is train, its dev is halved at random |
| du | 70,484 / 10,570 / 11,877 | articles; SQuAD's dev is valid, its train is divided into train and test |
| reversed | 70,484 / 11,877 / 10,570 | du with valid and test exchanged (Zhao et al. 2018) |

Source: Zhou et al. 2017 (arXiv 1704.01792), Du et al. 2017 (arXiv 1705.00106).
"""

from __future__ import annotations

import difflib
import itertools
import random
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from data_prep.corpus_writer import CorpusWriter, Pair
from data_prep.squad import Question, read_questions
from s2s.data.splits import Role
from s2s.data.text_lines import read_text_lines
from s2s.errors import InputError

PUBLISHED = {"zhou": (86_635, 8_965, 8_964), "du": (70_484, 10_570, 11_877), "reversed": (70_484, 11_877, 10_570)}
"""Pairs of train, valid and test in the literature."""

TEMPLATES = {
    "unilm": "{passage} [SEP] {answer}",
    "glge": "{answer} [SEP] {passage}",
    "highlight": "{before}<hl> {answer} <hl>{after}",
    "bio-feature": "{passage}",
}
"""Sources by name of their format. The fields are passage, answer, and the passage before and after the answer.

The source of bio-feature does not hold the answer apart, so its records say where it begins (`answer_start`), for
`s2s.data.token_features`.
"""


def split_zhou(train: str, dev: str, seed: int, skip: Callable[[str], None]) -> Iterator[tuple[str, Question]]:
    """The sentence-level division: each distinct answer of dev is a pair; its questions are halved at random by `seed`.

    The authors did not publish their halves, so ours have the same distribution, not the same pairs.
    """
    yield from (("train", question) for question in read_questions(train, skip))
    answers = itertools.groupby(read_questions(dev, skip, all_answers=True), lambda found: (found.passage, found.text))
    groups = [list(group) for _, group in answers]
    random.Random(seed).shuffle(groups)
    half = sum(map(len, groups)) / 2
    taken = 0
    for group in groups:
        split = "valid" if taken < half else "test"
        taken += len(group)
        yield from ((split, question) for question in group)


def split_du(
    train: str, dev: str, lists: tuple[Path, Path], skip: Callable[[str], None]
) -> Iterator[tuple[str, Question]]:
    """The article-level division: `lists` name the articles of SQuAD's train that are train and test; dev is valid.

    Raises:
        InputError: a list names an article that the file lacks, or one that is in the other list.
    """
    splits: dict[str, str] = {}
    places: dict[str, str] = {}
    for split, path in zip(("train", "test"), lists, strict=True):
        for where, line in read_text_lines(path):
            title = line.strip()
            if title and splits.setdefault(title, split) != split:
                raise InputError(f"{where}: article {title!r} is in both lists; expected each in one")
            places.setdefault(title, where)
    met = set()
    for question in read_questions(train, skip):
        met.add(question.article)
        if question.article in splits:
            yield splits[question.article], question
        else:
            skip("questions on articles that are in neither list")
    for title in splits:
        if title not in met:
            close = difflib.get_close_matches(title, met, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise InputError(f"{places[title]}: {train} has no article {title!r}{hint}")
    yield from (("valid", question) for question in read_questions(dev, skip))


def sentence_of(question: Question) -> Question:
    """The question on the sentences that hold its answer, instead of the whole paragraph.

    A sentence ends at . ! or ? (and closing quotes or brackets) before a blank and a capital, digit or opening mark,
    but not after an initial or a common abbreviation.
    """
    ends = [match.end() for match in _END.finditer(question.passage) if not _ABBREVIATION.search(match[1])]
    start = max((end for end in ends if end <= question.start), default=0)
    end = min((end for end in ends if end >= question.end), default=len(question.passage))
    return question.within(start, end)


_END = re.compile(r"""((?:^|\S+)[.!?]["'”’)\]]*)\s+(?=["'“‘(\[]*[A-Z0-9])""")
_ABBREVIATION = re.compile(
    r"(?:^|[^\w])(?:[A-Z]|Mr|Mrs|Ms|Dr|Prof|St|Sr|Jr|No|Vol|Gen|Col|Lt|Sgt|Rev|Hon|vs|cf|e\.g|i\.e|ca?|al|[A-Z]\.[A-Z])\.$"
)


def window_of(question: Question, max_words: int) -> Question:
    """The question on at most `max_words` words of its passage, or those of the answer if they are more."""
    words = [match.span() for match in re.finditer(r"\S+", question.passage)]
    if len(words) <= max_words:
        return question
    first = next(place for place, (_, end) in enumerate(words) if end > question.start)
    last = max(place for place, (start, _) in enumerate(words) if start < question.end)
    room = max(0, max_words - (last - first + 1))
    left = min(first, max(room // 2, room - (len(words) - 1 - last)))
    right = min(len(words) - 1 - last, room - left)
    return question.within(words[first - left][0], words[last + right][1])


Questions = Callable[[Callable[[str], None]], Iterator[tuple[str, Question]]]
"""Gives `(split, question)`; its argument counts what is skipped."""


def own_files(files: Mapping[Role, str]) -> Questions:
    """The questions of one file for each split; InputError if there is none."""
    if not files:
        raise InputError("--train, --valid, --test: at least one must be given")

    def questions(skip: Callable[[str], None]) -> Iterator[tuple[str, Question]]:
        for split, path in files.items():
            yield from ((split, question) for question in read_questions(path, skip, split=split))

    return questions


def write(
    folder: Path, split: str | None, questions: Questions, shape: Callable[[Question], Question], template: str
) -> str:
    """Write the pairs of one division; returns the summary, with the published sizes.

    Args:
        split: A name of `PUBLISHED`, of which "reversed" exchanges valid and test; None for files of one's own.
        shape: Cuts the passage of a question.
        template: A name of `TEMPLATES`.
    """
    made = f"Source format {template!r}: `{TEMPLATES[template]}`."
    title, about, published = "Question generation", [made], ""
    if split is not None:
        published = "published: {:,} / {:,} / {:,}".format(*PUBLISHED[split])
        title = f"SQuAD question generation, {split}"
        about = [
            f"SQuAD 1.1, division {split!r} ({published}). {made} SQuAD is under CC BY-SA 4.0. Scores are comparable "
            "within one division only."
        ]
    exchanged = {"valid": "test", "test": "valid"} if split == "reversed" else {}
    with CorpusWriter(folder, title, about) as writer:
        for part, question in questions(writer.skip):
            writer.add(exchanged.get(part, part), to_pair(shape(question), template))
    return f"{writer.summary}; {published}" if published else writer.summary


def to_pair(question: Question, template: str) -> Pair:
    """The pair of a question, its source by a template of `TEMPLATES`; blanks are collapsed."""
    source = TEMPLATES[template].format(
        passage=question.passage,
        answer=question.answer,
        before=question.passage[: question.start],
        after=question.passage[question.end :],
    )
    fields: dict[str, str | int] = {"answer": question.answer}
    if template == "bio-feature":
        fields = {"answer": " ".join(question.answer.split()), "answer_start": _collapsed_start(question)}
    return Pair(question.id, " ".join(source.split()), question.text, fields)


def _collapsed_start(question: Question) -> int:
    """Where the answer begins, in characters, once blanks are collapsed."""
    blanks = len(question.answer) - len(question.answer.lstrip())
    before = question.passage[: question.start + blanks]
    words = " ".join(before.split())
    return len(words) + (bool(words) and before[-1].isspace())
