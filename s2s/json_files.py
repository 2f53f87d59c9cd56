"""JSON from untrusted files, read with limits; and JSON to write, without NaN."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, NoReturn

from s2s.errors import InputError, shown

_DEEPEST = 100


def read_json(path: str | Path) -> Any:
    """The value in a JSON file; errors as for `parse_json`, and if the file cannot be read."""
    try:
        return parse_json(Path(path).read_bytes(), path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error


def read_object(path: str | Path) -> dict[str, Any]:
    """The object in a JSON file; InputError if it holds something else, and as for `read_json`."""
    return _object(read_json(path), path)


def parse_object(text: str | bytes, where: str | Path) -> dict[str, Any]:
    """The object in a JSON text; InputError if it is something else, and as for `parse_json`."""
    return _object(parse_json(text, where), where)


def parse_json(text: str | bytes, where: str | Path) -> Any:
    """The value in a JSON text; messages begin with `where`.

    Raises:
        InputError: invalid UTF-8, broken JSON, more than 100 levels, a number that is not finite or needs more than
            64 bits.
    """
    try:
        decoded = text.decode("utf-8") if isinstance(text, bytes) else text
        value = json.loads(decoded, parse_constant=_refuse, parse_float=_finite, parse_int=_integer)
        if _is_deep(value):
            raise RecursionError
        return value
    except UnicodeDecodeError as error:
        raise InputError(f"{where}: invalid UTF-8 at byte {error.start + 1}; expected UTF-8 text") from error
    except json.JSONDecodeError as error:
        line = f":{error.lineno}" if "\n" in decoded.strip() else ""
        raise InputError(f"{where}{line}: broken JSON: {error.msg} at column {error.colno}") from error
    except ValueError as error:
        raise InputError(f"{where}: JSON that cannot be read: {error}") from error
    except RecursionError as error:
        raise InputError(
            f"{where}: JSON that cannot be read: more than {_DEEPEST} levels of lists and objects"
        ) from error


def inside(folder: Path, name: object, where: str | Path) -> Path:
    """The file in a folder that an untrusted document, `where`, names.

    Raises:
        InputError: `name` is not the name of a file, or leads out of the folder.
    """
    if not isinstance(name, str) or not name or "\0" in name:
        raise InputError(f"{where}: expected the name of a file, found {shown(name)}")
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise InputError(f"{where}: expected the name of a file inside {folder}, found {shown(name)}")
    return folder / name


def dump_json(value: object, indent: int | None = None) -> str:
    """JSON text of a value, in one line unless indented. A number that is not finite becomes null.

    Characters are not escaped, unless one of them is half a surrogate pair, which UTF-8 cannot hold.
    """
    value = _without_nan(value)
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, indent=indent)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        text = json.dumps(value, allow_nan=False, indent=indent)
    return text


def _object(value: Any, where: str | Path) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InputError(f"{where}: expected a JSON object, found {describe(value)}")
    return value


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"the number {constant}; expected finite numbers")


def _finite(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _refuse(shown(text))


def _integer(text: str) -> int:
    if len(text) > 21 or (value := int(text)).bit_length() > 64:
        raise ValueError(f"the integer {shown(text)}; expected integers of at most 64 bits")
    return value


def _is_deep(value: Any) -> bool:
    level = [value]
    for _ in range(_DEEPEST):
        level = [item for item in level if isinstance(item, (dict, list))]
        level = [child for item in level for child in (item.values() if isinstance(item, dict) else item)]
    return any(isinstance(item, (dict, list)) for item in level)


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def describe(value: object) -> str:
    """The JSON type of a value, and its beginning, for messages."""
    names = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", int: "a number", float: "a number"}
    if value is None:
        return "null"
    text = json.dumps(value, ensure_ascii=False, default=str)
    return f"{names.get(type(value), type(value).__name__)} ({text if len(text) <= 40 else text[:37] + '...'})"
