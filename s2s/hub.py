"""Models and runs on the Hugging Face hub, each at one commit, which a run records.

A name may give a commit, branch or tag of the repository: `bert-base-uncased@REVISION`.
"""

from __future__ import annotations

import functools
import re
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

from s2s import shipped
from s2s.config import Section
from s2s.errors import InputError, reason_of

S = TypeVar("S", bound=Section)

_ON_HUB = "on hub"
Name = Annotated[str | None, _ON_HUB]
"""Type of an option that holds a local path, the name of a model on the hub, or nothing."""
RequiredName = Annotated[str, _ON_HUB]
"""Type of an option that holds a local path or the name of a model on the hub."""
_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_RUN_FILES = ("*.yaml", "*.json", "*.safetensors", "*.txt", "*.txt.gz", "*.model", "*.md", "LICENSE*", "NOTICE*")
"""What is downloaded of a run: data, no code."""
REACHABLE_SECONDS = 5


def is_hub_name(name: str) -> bool:
    """Whether something that is not a local path can be the name of a repository on the hub."""
    return bool(_NAME.fullmatch(name.partition("@")[0])) and not name.startswith(".")


def find_run(run: str | Path, revision: str | None = None) -> Path:
    """The folder of a run.

    Args:
        run: A folder, the name of a shipped run, or USER/NAME on the hub, also as USER/NAME@REVISION.
        revision: A commit, branch or tag of a run on the hub.

    Raises:
        InputError: it is on the hub and cannot be fetched, or a revision is given for a local folder.
    """
    folder, name = shipped.run_folder(run), str(run)
    if _is_run_on_hub(name, folder):
        from s2s.checkpoint import CHECKPOINTS  # it imports torch, which readers of records do not need

        name = name if revision is None else f"{name.partition('@')[0]}@{revision}"
        return fetch(name, _RUN_FILES, [f"{CHECKPOINTS}/*"])
    if revision is not None:
        raise InputError(f"revision {revision}: is for runs on the hub, USER/NAME, found {run}")
    return folder


def _is_run_on_hub(name: str, folder: Path) -> bool:
    """Whether a name is USER/NAME, and USER no folder here: a run folder that is misspelled is not looked for there."""
    repository = name.partition("@")[0]
    return not folder.exists() and repository.count("/") == 1 and is_hub_name(name) and not folder.parent.exists()


def repository_of(folder: Path) -> str | None:
    """The repository on the hub and the commit that a folder was downloaded from, USER/NAME@COMMIT; None if none."""
    kind, *repository = folder.absolute().parent.parent.name.split("--")
    if folder.absolute().parent.name == "snapshots" and kind == "models":
        return f"{'/'.join(repository)}@{folder.name[:12]}"
    return None


def fetch(name: str, patterns: Sequence[str], ignored: Sequence[str] = ()) -> Path:
    """A local folder with the files of a repository that match a pattern, downloaded unless they are there.

    Raises:
        InputError: they cannot be downloaded; without a network this takes at most `REACHABLE_SECONDS` longer.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    repository, _, revision = name.partition("@")
    reason = unreachable()
    try:
        folder: str = snapshot_download(
            repository,
            revision=revision or None,
            allow_patterns=[*patterns],
            ignore_patterns=[*ignored],
            local_files_only=bool(reason),
        )
        return Path(folder)
    except (OSError, ValueError) as error:
        if reason and isinstance(error, LocalEntryNotFoundError):
            raise InputError(
                f"{name}: no such folder, not downloaded before, and the hub cannot be reached: {reason}; give a local "
                f"folder (HF_HUB_OFFLINE=1 keeps to what is there without asking the hub){shipped.hint(name)}"
            ) from error
        raise InputError(
            f"{name}: no such folder, and it cannot be fetched from the hub: {why(error)}{shipped.hint(name)}"
        ) from error


def why(error: Exception) -> str:
    """Why the hub refuses something, in a line."""
    from huggingface_hub import errors

    causes = [error, *filter(None, (error.__cause__, error.__context__))]
    status = getattr(getattr(error, "response", None), "status_code", None)
    known = {
        errors.GatedRepoError: "its terms must be accepted on its page first, by the user who is logged in",
        errors.RepositoryNotFoundError: "there is no such repository, or it is private and you are not logged in "
        "(`hf auth login`)",
        errors.RevisionNotFoundError: "it has no such commit, branch or tag",
    }
    for kind, reason in known.items():
        if any(isinstance(cause, kind) for cause in causes):
            return reason
    if status in (401, 403):
        return "your token is not accepted, or may not write there; run `hf auth login` with another"
    return reason_of(error)


@functools.cache
def _reach(endpoint: str) -> None:
    """Raise ConnectionError if the hub does not answer.

    In a thread, since looking up a name may take longer than any timeout of a connection.
    """
    from huggingface_hub.utils import get_session  # type: ignore[attr-defined]

    found = [f"no answer from {endpoint} within {REACHABLE_SECONDS} seconds"]

    def ask() -> None:
        try:
            get_session().head(endpoint, timeout=REACHABLE_SECONDS)
            found.append("")
        except Exception as error:  # the client behind it differs between versions, and so do its errors
            found.append(reason_of(error))

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(REACHABLE_SECONDS)
    if found[-1]:
        raise ConnectionError(found[-1])


def unreachable() -> str:
    """Why the hub cannot be reached, "" if it can."""
    from huggingface_hub import constants

    try:
        _reach(constants.ENDPOINT)
    except ConnectionError as error:
        return str(error)
    return ""


def pin(section: S, saved: Mapping[str, Any], kind: str) -> S:
    """The section with a commit after each name of a model on the hub: the one in the `saved` section of a run, if any.

    Errors as for `fetch`; they name the option, `kind` being that of the section.
    """
    fields = type(section).model_fields
    names = {option: getattr(section, option) for option, field in fields.items() if _ON_HUB in field.metadata}
    return section.model_copy(
        update={
            option: _pinned(name, saved.get(option), f"{kind}.{option}")
            for option, name in names.items()
            if name is not None
        }
    )


def _pinned(name: str, recorded: Any, option: str) -> str:
    repository, _, revision = name.partition("@")
    if shipped.run_folder(name).exists() or not is_hub_name(name) or _COMMIT.fullmatch(revision):
        return name
    if isinstance(recorded, str) and not revision and recorded.partition("@")[0] == repository:
        return recorded
    from s2s.checkpoint import CONFIG

    try:
        commit = fetch(name, ["config.json", CONFIG, "tokenizer_config.json"]).name
    except InputError as error:
        raise InputError(f"{option}: {error}") from error
    return f"{repository}@{commit}" if _COMMIT.fullmatch(commit) else name
