"""Consent to speak in somebody's voice: asked once for each recording, and noted beside it.

    RECORDING.consent.json      {"sha256": of the recording, "consent": what was confirmed, "date": when}

Anybody can read and delete the note. It holds for that recording alone: another one of the same name has another hash.
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
from s2s.json_files import read_object

logger = logging.getLogger(__name__)


class NoConsent(InputError):
    """Nobody has confirmed that a recording may be used as a voice prompt."""


STATEMENT = "The person who speaks in this recording has agreed that speech is synthesized in their voice."


def read_with_consent(recording: Path, given: bool) -> AudioBytes:
    """The content of a recording, to be used as a voice prompt: exactly the bytes that consent was given for.

    Args:
        recording: The audio file.
        given: Whether the user confirms it now; then it is noted beside the recording.

    Raises:
        NoConsent: consent was neither given now nor noted before.
        InputError: the recording cannot be read.
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
                "--i-have-consent once for recordings on the command line, --consent-for for others (consent=True in "
                "Python)"
            )
        record = {"sha256": digest, "consent": STATEMENT, "date": date.today().isoformat()}
        try:
            write_whole(note, json.dumps(record, indent=1).encode() + b"\n")
        except InputError as error:
            logger.warning(f"{error}; consent will be asked for again")
    return AudioBytes(recording, content)


def consent_path(recording: Path) -> Path:
    """The file beside a recording that notes consent to its use."""
    return recording.with_name(f"{recording.name}.consent.json")


def _noted(note: Path) -> dict[str, Any]:
    try:
        return read_object(note)
    except InputError:
        return {}
