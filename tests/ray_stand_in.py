"""A stand-in for Ray that runs calls in this process, and loses workers as it is told."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any


class RayError(Exception):
    """A worker that was lost."""


class StandIn:
    """What the pool uses of Ray. `loses(n)`: whether the n-th call of the work, from 1, loses its worker."""

    def __init__(self, loses: Callable[[int], bool] = lambda call: False, **resources: float) -> None:
        self.exceptions = SimpleNamespace(RayError=RayError, RayTaskError=ZeroDivisionError)
        self.loses, self.calls, self.hired, self.shut = loses, itertools.count(1), 0, False
        self.resources = resources or {"CPU": 3.0}
        self.shape: dict[str, Any] = {}
        self.begins = True
        """Whether workers run at all."""

    def is_initialized(self) -> bool:
        return False

    def init(self, address: str, **options: Any) -> None:
        if address == "auto":
            raise ConnectionError("Could not find any running Ray instance.\nA long story.")

    def shutdown(self) -> None:
        self.shut = True

    def cluster_resources(self) -> dict[str, float]:
        return self.resources

    def remote(self, cls: type) -> Any:
        def options(**shape: Any) -> Any:
            self.shape = shape
            return SimpleNamespace(remote=lambda start: self._actor(cls(start)))

        return SimpleNamespace(options=options)

    def _actor(self, worker: Any) -> Any:
        self.hired += 1
        state = {"lost": False}

        def call(number: int) -> Any:
            def answer() -> Any:
                state["lost"] = state["lost"] or self.loses(next(self.calls))
                if state["lost"]:
                    raise RayError("The actor died.\nA long story.")
                return worker.do(number)

            return answer

        return SimpleNamespace(do=SimpleNamespace(remote=call), ready=SimpleNamespace(remote=lambda: self._begin))

    def _begin(self) -> None:
        if not self.begins:
            raise RayError(
                "The actor died in its creation task.\nA long story.\nModuleNotFoundError: No module named 'x'"
            )

    def wait(self, references: Sequence[Any], timeout: float) -> tuple[list[Any], list[Any]]:
        return list(references[-1:]), list(references[:-1])  # the last first, so that results come out of order

    def get(self, reference: Any) -> Any:
        return reference()

    def kill(self, actor: Any) -> None: ...
