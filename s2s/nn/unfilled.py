"""Modules without random weights, for weights that are loaded at once: a BERT base takes a second to draw."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

_FILLS = {
    *(Tensor.normal_, Tensor.uniform_, Tensor.zero_, Tensor.fill_),
    *(nn.init.normal_, nn.init.uniform_, nn.init.kaiming_uniform_, nn.init.constant_),
}


class Unfilled(TorchFunctionMode):
    """A block in which parameters are not filled when they are made: they hold whatever their memory held."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        first = args[0] if args else (kwargs or {}).get("tensor")  # torch.nn.init names it
        if func in _FILLS and isinstance(first, nn.Parameter):
            return first
        return func(*args, **(kwargs or {}))
