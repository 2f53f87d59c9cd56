"""A run on the Hugging Face hub: its files, with a model card, under a name that everybody can load it by."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from s2s import checkpoint, hub
from s2s.errors import InputError
from s2s.model_card import TO_BE_COMPLETED, shown_path, text_card
from s2s.registry import TASKS
from s2s.run_config import DEFAULT_TASK
from s2s.run_folder import saved_tree
from s2s.shipped import run_folder
from s2s.tasks.base import GenerationTask

logger = logging.getLogger(__name__)

_KEPT_BACK = (checkpoint.CHECKPOINTS, checkpoint.DATA)
"""What stays here beside logs: checkpoints, with which training continues, and the data's fingerprints and paths."""
_SUFFIXES = (".json", ".safetensors", ".txt", ".gz", ".model", ".png")
_NAMES = ("LICENSE", "NOTICE")
_FACTS = "---\nlibrary_name: unilatent\ntags:\n- unilatent\n- {task}\n---\n\n"


def push(
    run: str | Path,
    repository: str,
    *,
    revision: str | None = None,
    message: str | None = None,
    private: bool = True,
) -> str:
    """Upload a run, in one commit; others then load it by the name of the repository.

    Args:
        run: The run folder.
        repository: USER/NAME. It is created if there is none.
        revision: The branch to write to, created if there is none; the main one by default.
        message: Message of the commit.
        private: Whether a new repository is private; one that exists stays as it is.

    Returns:
        The address of the commit.

    Raises:
        InputError: `run` is not a run folder; a voice would become public with an incomplete model card; the hub cannot
            be reached, or refuses the upload.
    """
    folder = run_folder(run)
    if repository.count("/") != 1 or "@" in repository or not hub.is_hub_name(repository):
        raise InputError(f"{repository}: expected the name of a repository on the hub, USER/NAME")
    if not (folder / checkpoint.CONFIG).is_file():
        raise InputError(f"{run}: not a run folder, it holds no {checkpoint.CONFIG}")
    tree = saved_tree(folder)
    task = str((tree.get("task") or {}).get("name", DEFAULT_TASK))
    content = {checkpoint.CONFIG: _as_yaml(tree), "README.md": _card(folder, repository, task, private)}
    if reason := hub.unreachable():
        raise InputError(f"{repository}: the hub cannot be reached: {reason}")
    return _upload(
        {**dict(_files(folder)), **content}, repository, revision, message or f"Upload {folder.name}", private
    )


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    """The files that others need, by their names there."""
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        wanted = path.suffix in _SUFFIXES or path.name.startswith(_NAMES)
        hidden = any(part.startswith(".") for part in name.parts)
        if path.is_file() and wanted and not hidden and not set(_KEPT_BACK) & set(name.parts):
            yield name.as_posix(), path
    for path in sorted(folder.glob(f"*/{checkpoint.CONFIG}")):  # of an audio tokenizer
        yield path.relative_to(folder).as_posix(), path


def _as_yaml(tree: dict[str, Any]) -> bytes:
    return yaml.safe_dump(_without_folders(tree), sort_keys=False, allow_unicode=True, width=120).encode()


def _without_folders(value: Any) -> Any:
    """A configuration without the folders of this machine: of a path from the root only its end stays."""
    if isinstance(value, dict):
        return {key: _without_folders(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_folders(item) for item in value]
    return shown_path(value) if isinstance(value, str) else value


def _card(folder: Path, repository: str, task: str, private: bool) -> bytes:
    """The card in the run folder, else one made from the run; its open points keep a voice private."""
    path = folder / checkpoint.MODEL_CARD
    generates_text = issubclass(TASKS[task], GenerationTask)
    text = path.read_text(encoding="utf-8") if path.is_file() else text_card(folder, repository)
    if left := text.count(TO_BE_COMPLETED):
        open_points = f"{path if path.is_file() else 'its model card'}: {left} of its points TO BE COMPLETED"
        if not private and not generates_text:
            raise InputError(f"{open_points}; complete them, consent first, before others can use this voice")
        logger.warning(open_points)
    return (_FACTS.format(task=task) + text).encode()


def _upload(files: dict[str, Path | bytes], repository: str, revision: str | None, message: str, private: bool) -> str:
    from huggingface_hub import CommitOperationAdd, HfApi, get_token
    from huggingface_hub.errors import HfHubHTTPError

    if get_token() is None:
        raise InputError(f"{repository}: you are not logged in; run `hf auth login`, or set HF_TOKEN")
    api = HfApi()
    added = [CommitOperationAdd(path_in_repo=name, path_or_fileobj=content) for name, content in files.items()]
    try:
        if not api.repo_exists(repository):
            api.create_repo(repository, private=private)
        if revision is not None:
            api.create_branch(repository, branch=revision, exist_ok=True)
        return str(api.create_commit(repository, added, commit_message=message, revision=revision).commit_url)
    except (HfHubHTTPError, OSError, ValueError) as error:
        raise InputError(f"{repository}: the hub refuses it: {hub.why(error)}") from error
