"""Consent to speak in somebody's voice: asked once for each recording, and noted beside it.

    RECORDING.consent.json      {"sha256": of the recording, "consent": what was confirmed, "date": when}

The note goes where the recording goes, can be read and deleted by anybody, and holds for that recording alone: another
one of the same name has another hash.
"""

from __future__ import annotations

import hashlib
import json
import logging
from datetime import date
from pathlib import Path
from typing import Any

from s2s.durable import write_whole
from s2s.errors import InputError

logger = logging.getLogger(__name__)

STATEMENT = "The person who speaks in this recording has agreed that speech is synthesized in their voice."


def require_consent(recording: str | Path, given: bool) -> None:
    """Make sure that the use of a recording as a voice prompt was agreed to.

    Args:
        recording: The audio file.
        given: Whether the user says so now (`--i-have-consent`); then it is noted beside the recording.

    Raises:
        InputError: it was neither said now nor noted before; or the recording cannot be read.
    """
    recording = Path(recording)
    try:
        digest = hashlib.sha256(recording.read_bytes()).hexdigest()
    except OSError as error:
        raise InputError(f"{recording}: cannot be read: {error.strerror}") from error
    note = consent_path(recording)
    if _noted(note).get("sha256") == digest:
        return
    if not given:
        raise InputError(
            f"{recording}: a voice prompt needs the consent of the person who speaks; "
            "if you have it, say so once with --i-have-consent"
        )
    record = {"sha256": digest, "consent": STATEMENT, "date": date.today().isoformat()}
    try:
        write_whole(note, json.dumps(record, indent=1).encode() + b"\n")
    except InputError as error:
        logger.warning(f"{error}; --i-have-consent will be needed again")


def consent_path(recording: Path) -> Path:
    """Where consent to the use of a recording is noted."""
    return recording.with_name(f"{recording.name}.consent.json")


def _noted(note: Path) -> dict[str, Any]:
    try:
        record = json.loads(note.read_bytes())
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}
