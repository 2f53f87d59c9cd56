"""Errors as OpenAI's clients expect them: `{"error": {"message", "type", "param", "code"}}`, one clear line each.

Messages do not reveal the server's files: paths in them are replaced.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from s2s.errors import InputError

_KEY = re.compile(r"'?([a-z_]+(?:\.[a-z_]+)*)'?(?::| must | holds | is )")
_PATHS = re.compile(r"(?<![\w:/.])(?:~?/|[A-Za-z]:\\|\\\\)[^\s:;,'\"()]*[/\\][^\s:;,'\"()]*")
HIDDEN = "[a file of the server]"


class ApiError(Exception):
    """An answer other than 200.

    Args:
        status: The HTTP status.
        message: One line.
        code: A short name for programs, such as `model_not_found`.
        param: The field of the request that it is about.
        headers: More headers of the answer.
    """

    def __init__(
        self,
        status: int,
        message: str,
        code: str | None = None,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.code, self.param = status, str(InputError(message)), code, param
        self.headers = dict(headers or {})

    @property
    def content(self) -> dict[str, Any]:
        """The body of the answer."""
        return {"error": {"message": self.message, "type": self._type, "param": self.param, "code": self.code}}

    @property
    def _type(self) -> str:
        known = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}
        return known.get(self.status, "server_error" if self.status >= 500 else "invalid_request_error")


class Busy(ApiError):
    """More requests than the server takes; the client should come back."""

    def __init__(self, message: str, seconds: int, status: int = 429, code: str = "rate_limit_exceeded") -> None:
        super().__init__(status, message, code, headers={"retry-after": str(max(1, seconds))})


class ClientGone(Exception):
    """Nobody waits for the answer any more."""


def unreadable(status: int) -> ApiError:
    """The error for a request that the HTTP layer itself refuses."""
    return ApiError(status, HTTPStatus(status).phrase.lower(), code=HTTPStatus(status).phrase.lower().replace(" ", "_"))


def api_error(error: Exception, names: Mapping[str, str], request_id: str) -> ApiError:
    """Any error as an answer: a mistake of the client with its line, one of ours with the number of its log lines.

    Args:
        error: What was raised.
        names: Model names by the folders that may stand in messages.
        request_id: To find the traceback in the log.
    """
    if isinstance(error, ApiError):
        if error.status >= 500:
            error.message = without_paths(error.message, names)
        return error
    if isinstance(error, InputError):
        message = without_paths(str(error), names)
        found = _KEY.match(message)
        return ApiError(400, message, "invalid_value", found[1] if found else None)
    return ApiError(500, f"the server failed; its log says why, at request {request_id}", "internal_error")


def without_paths(message: str, names: Mapping[str, str]) -> str:
    """A message whose paths are replaced: the folder of a model by the model's name, any other by `HIDDEN`."""
    for folder in sorted(names, key=len, reverse=True):
        message = re.sub(rf"(?<![\w./-]){re.escape(folder)}(?:/[^\s:;,'\"()]*)?(?![\w-])", names[folder], message)
    return _PATHS.sub(HIDDEN, message)
