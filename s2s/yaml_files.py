"""YAML from untrusted files, read with limits."""

from __future__ import annotations

from typing import Any

import yaml

from s2s.errors import shown

_MAX_CHARACTERS = 1 << 20
_MAX_NODES = 100_000
_MAX_LEVELS = 30
_KINDS = {f"tag:yaml.org,2002:{kind}" for kind in ("map", "seq", "str", "int", "float", "bool", "null", "merge")}
_CANNOT_BE_READ = (ValueError, LookupError, AttributeError, OverflowError)
"""Errors of PyYAML on values such as `!!int x`, besides `YAMLError`."""


class _Loader(yaml.SafeLoader):
    """YAML's plain values, with integers of at most 64 bits; a date stays text, since no option is one."""

    level = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self.level += 1
        if self.level > _MAX_LEVELS:
            raise yaml.YAMLError(f"more than {_MAX_LEVELS} levels of lists and mappings")
        node = super().compose_node(parent, index)
        self.level -= 1
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            value = super().construct_object(node, deep)
        except _CANNOT_BE_READ as error:
            raise _error(f"{shown(node.value)} cannot be read", node) from error
        if isinstance(value, int) and not -(2**63) <= value < 2**63:
            raise _error("an integer of more than 64 bits", node)
        return value


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag in _KINDS]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def parse_yaml(text: str) -> Any:
    """The value in a YAML text: text, numbers, booleans, null, lists, and mappings with text as keys.

    Raises:
        yaml.YAMLError: the text is broken, has more than 1 MiB, 30 levels or 100,000 values (those of aliases counted
            each time), contains itself, or has a key twice.
    """
    if len(text) > _MAX_CHARACTERS:
        raise yaml.YAMLError(f"more than {_MAX_CHARACTERS:,} characters")
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        if _count(node, 1, {}) > _MAX_NODES:
            raise _error(f"more than {_MAX_NODES:,} values", node)
        return loader.construct_document(node)
    finally:
        loader.dispose()


def problem_of(error: yaml.YAMLError) -> str:
    """The problem without its place."""
    return " ".join(str(getattr(error, "problem", None) or error).split())


def _count(node: yaml.Node, level: int, counts: dict[yaml.Node, int]) -> int:
    """Check a node, and count its values; each node is visited once, whatever the number of its aliases."""
    if node in counts:
        return counts[node]
    if level > _MAX_LEVELS:
        raise _error("a list or mapping that contains itself", node)
    if node.tag not in _KINDS:
        raise _error(f"the type {node.tag.rpartition(':')[2]!r}; expected text, numbers, lists or mappings", node)
    children = node.value if isinstance(node, yaml.SequenceNode) else []
    if isinstance(node, yaml.ScalarNode) and any(char == "\0" or "\ud800" <= char <= "\udfff" for char in node.value):
        raise _error(f"{shown(node.value)} holds NUL or half a surrogate pair", node)
    if isinstance(node, yaml.MappingNode):
        children = [value for _, value in node.value]
        keys = set()
        for key, _ in node.value:
            if not key.tag.endswith((":str", ":merge")) or key.value in keys:
                raise _error(f"the key {shown(key.value)} is there twice, or is not text", key)
            keys.add(key.value)
    counts[node] = 1 + sum(_count(child, level + 1, counts) for child in children)
    return counts[node]


def _error(problem: str, node: yaml.Node) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)
