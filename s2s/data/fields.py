"""Which fields of a record are its source and its target: named ones, a template of several, or known ones."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from s2s.data.jsonl import as_text
from s2s.errors import ConfigError, InputError
from s2s.json_files import describe

logger = logging.getLogger(__name__)

SOURCE, TARGET = "src", "tgt"
PSEUDO_TARGET = "tgt_pseudo"
"""What a teacher wrote in the place of a target, see `s2s.generation.pseudo_labels`."""
KNOWN = (
    (SOURCE, TARGET),
    ("source", "target"),
    ("article", "highlights"),
    ("article", "summary"),
    ("article", "abstract"),
    ("document", "summary"),
    ("dialogue", "summary"),
    ("text", "summary"),
    ("text", "title"),
    ("{answers.text.0} [SEP] {context}", "question"),
    ("{answer} [SEP] {context}", "question"),
)
"""Sources and targets of public data sets, found where a record has no `src`. An answer comes before its context, as in
GLGE (Liu et al., 2020), since the end of a long source is cut."""
_GAP = re.compile(r"\{([^{}]*)\}")
_TOKEN = re.compile(r"\[[A-Z_]+\]")
_MISSING = object()


@dataclass(frozen=True)
class TextField:
    """Where a record holds a text.

    Args:
        written: The name of a field, a path into nested ones ("translation.en", "answers.text.0"), or a template with
            such names in braces.
        advice: What to do if a record lacks it, for messages.
    """

    written: str
    advice: str = ""

    @cached_property
    def paths(self) -> tuple[str, ...]:
        """The fields that it takes."""
        return tuple(_GAP.findall(self.written)) or (self.written,)

    def is_in(self, record: Mapping[str, Any]) -> bool:
        """Whether a record has all fields that it takes."""
        return all(_value(record, path) is not _MISSING for path in self.paths)

    def text(self, record: Mapping[str, Any], where: str) -> str | list[str]:
        """The text, or a list of tokens; InputError if a field is missing, empty or of another type."""
        texts = {path: self._part(record, path, where) for path in self.paths}
        if self.written in texts:
            return texts[self.written]
        for path, text in texts.items():
            if not isinstance(text, str):
                raise InputError(f"{where}: {path!r} must be a string, found {describe(text)}")
        return _GAP.sub(lambda gap: str(texts[gap[1]]), self.written)

    def _part(self, record: Mapping[str, Any], path: str, where: str) -> str | list[str]:
        return as_text(value_at(record, path, where, self.advice), path, where)


@dataclass(frozen=True)
class Fields:
    """The fields of a source and a target as options name them; the names `src` and `tgt` stand for known ones too.

    Args:
        source: Name or path of the source.
        target: Name or path of the target.
        template: A source of several fields, instead of `source`.
        section: The section of the options, for messages.
    """

    source: str = SOURCE
    target: str = TARGET
    template: str | None = None
    _logged: set[str] = field(default_factory=set, compare=False, repr=False)

    def __post_init__(self) -> None:
        if self.template is None:
            return
        if self.source != SOURCE:
            raise ConfigError("task.source_field, task.source_template: give one of them")
        names = _GAP.findall(self.template)
        if not all(names) or not names or set(_GAP.sub("", self.template)) & set("{}"):
            raise ConfigError(
                "task.source_template: expected text with names of fields in braces, as in "
                f'"{{context}} [SEP] {{answer}}", found {self.template!r}'
            )

    @property
    def tokens(self) -> list[str]:
        """Tokens of the template itself, such as "[SEP]"."""
        return _TOKEN.findall(_GAP.sub(" ", self.template or ""))

    def source_of(self, record: Mapping[str, Any]) -> TextField:
        """The field of a record's source, whether the record has it or not; a pair of known names comes first."""
        found = self._known(record, with_target=True) or self._known(record, with_target=False)
        return found[0] if found else self._source(self.template or self.source)

    def target_of(self, record: Mapping[str, Any]) -> TextField:
        """The field of a record's target, whether the record has it or not."""
        found = self._known(record, with_target=True)
        named = (target for _, target in KNOWN if self.target == TARGET and TextField(target).is_in(record))
        return found[1] if found else self._target(next(named, self.target))

    def of(self, record: Mapping[str, Any], where: str) -> tuple[TextField, TextField]:
        """The fields of a record's source and target; one line is logged if they are known ones that nobody named."""
        found = self._known(record, with_target=True)
        if found is None:
            return self.source_of(record), self.target_of(record)
        source, target = found
        self._log(f"the source is {source.written!r} and the target {target.written!r}", where, source.written)
        return found

    def _known(self, record: Mapping[str, Any], with_target: bool) -> tuple[TextField, TextField] | None:
        """The named fields if the record has them, where none is named the known ones that it has."""
        named = self.template or self.source
        for source, target in KNOWN:
            pair = (
                self._source(source if named == SOURCE else named),
                self._target(target if self.target == TARGET else self.target),
            )
            if pair[0].is_in(record) and (not with_target or pair[1].is_in(record)):
                return pair
        return None

    def log_source(self, record: Mapping[str, Any], where: str) -> None:
        """Log a source that nobody named, once."""
        source = self.source_of(record)
        if source.is_in(record):
            self._log(f"the source is {source.written!r}", where, source.written)

    def _log(self, choice: str, where: str, source: str) -> None:
        if source not in (self.source, self.template) and choice not in self._logged:
            self._logged.add(choice)
            logger.info("%s: %s, a known name; --source-field and --target-field choose others", where, choice)

    def _source(self, written: str) -> TextField:
        return TextField(written, "--source-field (task.source_field) names another field")

    def _target(self, written: str) -> TextField:
        if written == PSEUDO_TARGET:
            return TextField(written, "`unilatent prepare pseudo-labels` adds it (task.labels)")
        return TextField(written, "--target-field (task.target_field) names another field")


def value_at(record: Mapping[str, Any], path: str, where: str, advice: str = "") -> Any:
    """The value at a path of a record; InputError, with what to do about it, if the record lacks it."""
    value = _value(record, path)
    if value is _MISSING:
        found = ", ".join(map(repr, _paths(record))) or "no field"
        raise InputError(f"{where}: {path!r} is missing; found {found}{f'; {advice}' if advice else ''}")
    return value


def _value(record: Any, path: str) -> Any:
    """The value at a path; a field whose name is the whole path comes first."""
    if isinstance(record, Mapping) and path in record:
        return record[path]
    for part in path.split("."):
        if isinstance(record, Mapping):
            record = record.get(part, _MISSING)
        elif isinstance(record, list) and part.isdecimal() and int(part) < len(record):
            record = record[int(part)]
        else:
            return _MISSING
    return record


def _paths(record: Mapping[str, Any]) -> list[str]:
    """The names of fields, with those inside objects as paths."""
    nested = {name: list(value) if isinstance(value, Mapping) else [] for name, value in record.items()}
    return [path for name, inner in nested.items() for path in ([f"{name}.{part}" for part in inner] or [name])]
