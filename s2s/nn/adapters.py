"""Low-rank adapters (LoRA): small matrices that change frozen ones, trained and stored in their place.

A matrix W becomes W + alpha / rank · B · A, with A `(rank, in)` and B `(out, rank)`; B starts at 0. Some of our layers
hold several matrices of public models, one above the other (queries, keys and values, say). Each of these parts has
adapters of its own, so that files are those of the `peft` library.

Source: LoRA (arXiv 2106.09685), section 4.1.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase

import torch
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from s2s.checkpoint import named_tensors
from s2s.config import Fact, Section
from s2s.errors import ConfigError, InputError
from s2s.nn.linear import Linear, linear

Matrices = Mapping[str, Mapping[str, int]]
"""Linear layers that adapters may change, by their names in a module: the public name of each part, and its rows."""


class AdapterSection(Section):
    """Options of low-rank adapters (LoRA): small matrices are trained in place of large ones."""

    rank: PositiveInt = 8
    """Rank of the change of each matrix."""
    alpha: PositiveFloat = 16.0
    """The change is scaled by alpha / rank."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Rate on the inputs of the adapters."""
    targets: tuple[str, ...] = ("*",)
    """Matrices to adapt, by public name, its end, or a pattern: "q_proj", "layers.0.*". Default: all in the layers."""
    full: tuple[str, ...] = ()
    """Parts of the model to train in full beside the adapters, by name or pattern, such as "head"."""
    init: str | None = None
    """Folder in the layout of `peft` whose adapters training starts from."""
    base: Fact[str | None] = None
    """SHA-256 of the weights in `model.init`; training fills it in. Adapters of another base are refused."""


class LowRank(nn.Module):
    """One adapter: the change of a part of a linear layer."""

    def __init__(self, name: str, inputs: int, outputs: int, section: AdapterSection, like: Tensor) -> None:
        super().__init__()
        self.name, self.scale, self.dropout = name, section.alpha / section.rank, section.dropout
        self.down = nn.Parameter(like.new_empty(section.rank, inputs))
        self.up = nn.Parameter(like.new_zeros(outputs, section.rank))
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))

    def forward(self, x: Tensor) -> Tensor:
        """The change `(..., out)` of the outputs for inputs `(..., in)`."""
        x = F.dropout(x, self.dropout, self.training)
        return linear(linear(x, self.down, None), self.up, None) * self.scale

    def change(self) -> Tensor:
        """The change of the matrix, `(out, in)`, at least in float32."""
        wide = torch.promote_types(self.up.dtype, torch.float32)
        return self.scale * (self.up.detach().to(wide) @ self.down.detach().to(wide))


class AdaptedLinear(Linear):
    """A linear layer with adapters: the frozen weight keeps its name and place.

    Args:
        layer: The layer to take the place of.
        parts: Public names of the parts of its weight, in order, and their rows.
        chosen: Those that get an adapter.
    """

    def __init__(
        self, layer: nn.Linear, parts: Mapping[str, int], chosen: Sequence[str], section: AdapterSection
    ) -> None:
        super().__init__(layer.in_features, layer.out_features, layer.bias is not None, device="meta")
        self.weight, self.bias = layer.weight, layer.bias
        self.parts = dict(parts)
        made = {name: LowRank(name, layer.in_features, parts[name], section, layer.weight) for name in chosen}
        self.adapters = nn.ModuleDict({_key(name): adapter for name, adapter in made.items()})
        self.train(layer.training)

    def forward(self, x: Tensor) -> Tensor:
        """Rows `(..., in)` to rows `(..., out)`."""
        out = linear(x, self.weight, self.bias)
        changes = [
            self.adapters[_key(name)](x) if _key(name) in self.adapters else out.new_zeros(*out.shape[:-1], rows)
            for name, rows in self.parts.items()
        ]
        return out + (changes[0] if len(changes) == 1 else torch.cat(changes, dim=-1))

    def pieces(self) -> Iterator[tuple[LowRank, Tensor]]:
        """Each adapter, with the part `(out, in)` of the frozen weight that it changes."""
        weights = torch.split(self.weight, list(self.parts.values()))
        for name, part in zip(self.parts, weights, strict=True):
            if _key(name) in self.adapters:
                adapter = self.adapters[_key(name)]
                assert isinstance(adapter, LowRank)
                yield adapter, part

    @torch.no_grad()
    def merged(self) -> Linear:
        """A plain layer that computes the same."""
        for adapter, part in self.pieces():
            part.copy_(part + adapter.change())  # the sum is in the wider type
        layer = Linear(self.in_features, self.out_features, self.bias is not None, device="meta")
        layer.weight, layer.bias = self.weight, self.bias
        return layer


def adapt(model: nn.Module, matrices: Matrices, section: AdapterSection) -> None:
    """Freeze a model, in place, but for adapters of some of its matrices and the parts that are trained in full.

    Afterwards `s2s.checkpoint.named_tensors` gives what is trained alone.

    Args:
        model: With the weights of the base.
        matrices: What may be adapted.

    Raises:
        ConfigError: a pattern of `targets` or `full` matches nothing.
    """
    names = [name for parts in matrices.values() for name in parts]
    chosen = _chosen(section.targets, names, "targets", _ends)
    parts = [name for name, _ in model.named_modules() if name and not name.startswith(tuple(matrices))]
    full = _chosen(section.full, parts, "full", fnmatchcase)
    before = dict(named_tensors(model))
    model.requires_grad_(False)
    for name in full:
        model.get_submodule(name).requires_grad_(True)
    trained = {name for name, tensor in before.items() if tensor.requires_grad}
    for name, rows in matrices.items():
        if own := [part for part in rows if part in chosen]:
            layer = model.get_submodule(name)
            assert isinstance(layer, nn.Linear)
            model.set_submodule(name, AdaptedLinear(layer, rows, own, section))
    model.from_base = frozenset(before) - trained  # type: ignore[assignment]


def merge(model: nn.Module) -> None:
    """Put the adapters of a model into its weights, in place; without adapters it stays as it is.

    Raises:
        InputError: an adapter changes nothing.
    """
    changes = relative_changes(model)
    refuse_without_effect(changes)
    for name, layer in list(model.named_modules()):
        if isinstance(layer, AdaptedLinear):
            model.set_submodule(name, layer.merged())
    model.from_base = frozenset()  # type: ignore[assignment]


def adapters_of(model: nn.Module) -> dict[str, LowRank]:
    """The adapters of a model by public name."""
    return {adapter.name: adapter for layer in _adapted(model) for adapter, _ in layer.pieces()}


def relative_changes(model: nn.Module) -> dict[str, float]:
    """How much each adapter changes its matrix, by public name: Frobenius norm of the change / that of the matrix."""
    return {
        adapter.name: float(adapter.change().norm() / part.detach().float().norm().clamp_min(1e-30))
        for layer in _adapted(model)
        for adapter, part in layer.pieces()
    }


def refuse_without_effect(changes: Mapping[str, float]) -> None:
    """Raise an InputError that names the matrices whose adapters change nothing: their training has failed."""
    if idle := [name for name, change in changes.items() if not change > 0]:
        raise InputError(
            f"adapters: {len(idle)} of {len(changes)} change nothing: {some(idle)}; they were never trained, or not "
            "loaded"
        )


def _adapted(model: nn.Module) -> Iterator[AdaptedLinear]:
    return (layer for layer in model.modules() if isinstance(layer, AdaptedLinear))


def _key(name: str) -> str:
    """The last part of a public name; those of the parts of one layer differ."""
    return name.rpartition(".")[2]


def _ends(name: str, pattern: str) -> bool:
    return fnmatchcase(name, pattern) or fnmatchcase(name, f"*.{pattern}")


def _chosen(patterns: Iterable[str], names: Sequence[str], option: str, matches: object) -> set[str]:
    """The names that a pattern matches."""
    chosen: set[str] = set()
    for pattern in patterns:
        found = [name for name in names if matches(name, pattern)]  # type: ignore[operator]
        if not found:
            known = sorted({name.rpartition(".")[2] if option == "targets" else name for name in names})
            raise ConfigError(f"model.adapters.{option}: {pattern!r} matches nothing; there are {some(known, 30)}")
        chosen |= set(found)
    return chosen


def some(names: Sequence[str], most: int = 3) -> str:
    """The first of some names, for messages."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
