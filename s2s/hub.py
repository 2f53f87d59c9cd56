"""Models of the Hugging Face hub, each at one commit, which a run records.

A name may give a commit, branch or tag of the repository: `bert-base-uncased@REVISION`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

from s2s.config import Section
from s2s.errors import InputError

S = TypeVar("S", bound=Section)

_ON_HUB = "on hub"
Name = Annotated[str | None, _ON_HUB]
"""Type of an option that holds a local path, the name of a model on the hub, or nothing."""
_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")
_COMMIT = re.compile(r"[0-9a-f]{40}")


def is_hub_name(name: str) -> bool:
    """Whether something that is not a local path can be the name of a repository on the hub."""
    return bool(_NAME.fullmatch(name.partition("@")[0])) and not name.startswith(".")


def fetch(name: str, patterns: Sequence[str]) -> Path:
    """A local folder with the files of a repository that match a pattern; InputError if they cannot be downloaded."""
    from huggingface_hub import snapshot_download

    repository, _, revision = name.partition("@")
    try:
        return Path(snapshot_download(repository, revision=revision or None, allow_patterns=[*patterns]))
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(f"{name}: no such folder, and it cannot be fetched from the hub: {reason}") from error


def pin(section: S, saved: Mapping[str, Any]) -> S:
    """The section with a commit after each name of a model on the hub: the one in the `saved` section of a run, if any.

    Errors as for `fetch`.
    """
    fields = type(section).model_fields
    names = {option: getattr(section, option) for option, field in fields.items() if _ON_HUB in field.metadata}
    return section.model_copy(
        update={option: _pinned(name, saved.get(option)) for option, name in names.items() if name is not None}
    )


def _pinned(name: str, recorded: Any) -> str:
    repository, _, revision = name.partition("@")
    if Path(name).exists() or not is_hub_name(name) or _COMMIT.fullmatch(revision):
        return name
    if isinstance(recorded, str) and not revision and recorded.partition("@")[0] == repository:
        return recorded
    commit = fetch(name, ["config.json", "tokenizer_config.json"]).name
    return f"{repository}@{commit}" if _COMMIT.fullmatch(commit) else name
