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

from latent.audio.files import AudioBytes
from s2s.durable import write_whole
from s2s.errors import InputError
from s2s.json_files import parse_json

logger = logging.getLogger(__name__)


class NoConsent(InputError):
    """Nobody has confirmed that a recording may be used as a voice prompt."""


STATEMENT = "The person who speaks in this recording has agreed that speech is synthesized in their voice."


def read_with_consent(recording: Path, given: bool) -> AudioBytes:
    """A recording that may be used as a voice prompt: exactly the bytes that consent was given for.

    Args:
        recording: The audio file.
        given: Whether the user confirms it now, for this recording; then it is noted beside the recording.

    Raises:
        InputError: consent was neither given now nor noted before; or the recording cannot be read.
    """
    try:
        content = recording.read_bytes()
    except OSError as error:
        raise InputError(f"{recording}: cannot be read: {error.strerror}") from error
    digest, note = hashlib.sha256(content).hexdigest(), consent_path(recording)
    if _noted(note).get("sha256") != digest:
        if not given:
            raise NoConsent(
                f"{recording}: a voice prompt needs the consent of the person who speaks; if you have it, give "
                "--i-have-consent once for recordings on the command line, --consent-for for others"
            )
        _note(note, digest)
    return AudioBytes(recording, content)


def _note(note: Path, digest: str) -> None:
    record = {"sha256": digest, "consent": STATEMENT, "date": date.today().isoformat()}
    try:
        write_whole(note, json.dumps(record, indent=1).encode() + b"\n")
    except InputError as error:
        logger.warning(f"{error}; consent will be asked for again")


def consent_path(recording: Path) -> Path:
    """Where consent to the use of a recording is noted."""
    return recording.with_name(f"{recording.name}.consent.json")


def _noted(note: Path) -> dict[str, Any]:
    try:
        record = parse_json(note.read_bytes(), note)
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}
