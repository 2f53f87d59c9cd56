"""The packages use nothing that Windows, macOS or Apple's GPU lack. What a test on Linux can see of it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_models import tiny_unilm
from torch.utils._python_dispatch import TorchDispatchMode

from s2s.data.batch import Feeding, SourceBatch
from s2s.nn import precision
from s2s.registry import DECODERS

REPO = Path(__file__).parents[2]
FILES = [path for name in ("unilatent", "s2s", "latent", "data_prep", "eval") for path in (REPO / name).rglob("*.py")]
MODULES = {"fcntl", "grp", "pwd", "resource", "termios", "tty", "pty", "posix", "syslog", "crypt"}
OS = {
    "fork",
    "forkpty",
    "getuid",
    "geteuid",
    "getgid",
    "getpgid",
    "killpg",
    "setsid",
    "mkfifo",
    "mknod",
    "chown",
    "statvfs",
}
OS |= {
    "sched_getaffinity",
    "sysconf",
    "getloadavg",
    "wait",
    "WNOHANG",
    "O_NOFOLLOW",
    "O_NONBLOCK",
    "O_DIRECTORY",
    "nice",
}
SIGNAL = {
    "SIGKILL",
    "SIGALRM",
    "SIGHUP",
    "SIGUSR1",
    "SIGUSR2",
    "SIGCHLD",
    "SIGPIPE",
    "alarm",
    "setitimer",
    "sigtimedwait",
}
FOLDERS = ("/dev/", "/proc/", "/tmp/", "/sys/", "/etc/")


def not_portable(path: Path) -> Iterator[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    guarded = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.Try) and any(ast.unparse(h.type or h) == "ImportError" for h in node.handlers)
        for inner in node.body
    }
    for node in ast.walk(tree):
        if node in guarded:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.partition(".")[0] in MODULES)
        elif isinstance(node, ast.ImportFrom) and (node.module or "") in MODULES:
            yield str(node.module)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.attr in {"os": OS, "signal": SIGNAL, "signals": SIGNAL}.get(node.value.id, ()):
                yield f"{node.value.id}.{node.attr}"
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith(FOLDERS):
            yield node.value


@pytest.mark.parametrize("package", ["unilatent", "s2s", "latent", "data_prep", "eval"])
def test_the_packages_use_nothing_that_one_system_alone_has(package: str) -> None:
    """`getattr(os, "O_NOFOLLOW", 0)`, or an import that may fail, is the way to use such a thing where it exists."""
    own = [path for path in FILES if path.relative_to(REPO).parts[0] == package]
    assert not {str(path.relative_to(REPO)): found for path in own if (found := list(not_portable(path)))}


class Wide(TorchDispatchMode):
    """Notes every operation that makes float64 numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor) and result.dtype == torch.float64:
            self.found.add(str(func))
        return result


@pytest.mark.parametrize("name", ["beam", "wide_beam", "diverse_beam", "sampling"])
def test_searches_make_no_float64_on_a_device_without_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    decoder = DECODERS[name](DECODERS[name].Config(max_length=4), lambda token: 1)  # type: ignore[attr-defined, call-arg]
    sources = SourceBatch(["a"], torch.tensor([[1, 2, 3]]), torch.tensor([3]), Feeding(end=3, mask=4), [[]])
    with Wide() as usual:
        decoder(tiny_unilm(), sources)
    monkeypatch.setattr(precision, "_NO_FLOAT64", {"cpu"})
    with Wide() as without:
        decoder(tiny_unilm(), sources)
    assert usual.found
    assert not without.found
