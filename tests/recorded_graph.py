"""A stand-in for CUDA graphs on a CPU: the operators of a step are recorded once, then repeated on the same tensors.

As with a graph, Python runs the step no more: what it changed by giving a name to a new tensor, or kept as a number of
the host, stays as it was when the step was recorded. So a step that a graph would repeat wrongly fails here too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from s2s.nn.capture import Captured


class RecordedGraph(TorchDispatchMode):
    """The operators that ran inside, with what they read and wrote."""

    def __init__(self) -> None:
        super().__init__()
        self._calls: list[tuple[Any, Any, Any, list[Any]]] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        self._calls.append((function, args, kwargs or {}, tree_leaves(result)))
        return result

    def replay(self) -> None:
        """Run them again; new results take the place of the former ones, in memory."""
        for function, args, kwargs, results in self._calls:
            for former, found in zip(results, tree_leaves(function(*args, **kwargs)), strict=True):
                if isinstance(former, Tensor) and former.data_ptr() != found.data_ptr():
                    former.copy_(found)


def record_steps(monkeypatch: Any) -> list[str]:
    """Let every `Captured` record its second step and repeat it from then on; returns what is done."""
    done: list[str] = []
    graphs: dict[int, RecordedGraph | None] = {}
    kept: list[Captured] = []  # so that no identity occurs twice

    @torch.inference_mode()
    def call(self: Captured, step: Callable[[], None]) -> None:
        graph = graphs.get(id(self))
        if graph is not None:
            done.append("replay")
            graph.replay()
        elif id(self) not in graphs:
            done.append("run")
            graphs[id(self)] = None
            kept.append(self)
            step()
        else:
            done.append("record")
            with RecordedGraph() as recorded:
                step()
            graphs[id(self)] = recorded

    monkeypatch.setattr(Captured, "__call__", call)
    return done
