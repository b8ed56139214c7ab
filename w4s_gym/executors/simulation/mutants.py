"""Systematic mistakes in programs: small changes to a correct solution that make it wrong."""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable, Iterator
from functools import partial

from w4s_gym.executors.simulation.noise import Stream

_COMPARE: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip
_ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.FloorDiv: ast.Mult, ast.Div: ast.Mult,
    ast.Mod: ast.FloorDiv,
}  # fmt: skip
_CALLS = {
    "max": "min",
    "min": "max",
    "any": "all",
    "all": "any",
    "lower": "upper",
    "upper": "lower",
    "append": "remove",
}


def mutants(source: str, entry_point: str | None, count: int, stream: Stream) -> list[str]:
    """Return up to `count` different wrong versions of a program, subtle ones first.

    Subtle means a changed comparison, constant or operator, as when a requirement was misread; such a program may pass
    an example and fail a hidden test (a few are equivalent and pass all). After them come changed return values, which
    nearly every test finds. The order within each class is drawn from `stream`.

    Args:
        source: correct module.
        entry_point: function under test.
        count: how many.
        stream: randomness of the item.
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return []
    original = ast.unparse(tree)
    subtle = _shuffled(list(_subtle_edits(tree)), stream)
    blunt = _shuffled(list(_return_edits(tree, entry_point)), stream)
    found: list[str] = []
    for edits in (subtle[: (count + 1) // 2], blunt, subtle):
        for edit in edits:
            if len(found) == count:
                return found
            clone = copy.deepcopy(tree)
            edit(list(ast.walk(clone)))
            text = ast.unparse(ast.fix_missing_locations(clone))
            if text != original and text not in found:
                found.append(text)
    return found


Edit = Callable[[list[ast.AST]], None]
"""Changes one node, found by its position in `ast.walk`, which is the same in a deep copy."""


def _shuffled(edits: list[Edit], stream: Stream) -> list[Edit]:
    order = sorted((stream.uniform(), i) for i in range(len(edits)))
    return [edits[i] for _, i in order]


def _subtle_edits(tree: ast.Module) -> Iterator[Edit]:
    """Yield small edits, none within a `while` loop: one that never ends costs every test run its whole time limit."""
    endless = {id(node) for loop in ast.walk(tree) if isinstance(loop, ast.While) for node in ast.walk(loop)}
    places = {id(node): at for at, node in enumerate(ast.walk(tree))}
    for at, node in enumerate(ast.walk(tree)):
        if id(node) in endless:
            continue
        if isinstance(node, ast.Compare) and type(node.ops[0]) in _COMPARE:
            yield partial(_set, at, "ops", [_COMPARE[type(node.ops[0])](), *node.ops[1:]])
        elif isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC:
            yield partial(_set, at, "op", _ARITHMETIC[type(node.op)]())
        elif isinstance(node, ast.BoolOp):
            yield partial(_set, at, "op", ast.Or() if isinstance(node.op, ast.And) else ast.And())
        elif isinstance(node, ast.Constant) and type(node.value) is int:
            yield partial(_set, at, "value", node.value + 1)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _CALLS:
            yield partial(_set, places[id(node.func)], "id", _CALLS[node.func.id])
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _CALLS:
            yield partial(_set, places[id(node.func)], "attr", _CALLS[node.func.attr])


def _return_edits(tree: ast.Module, entry_point: str | None) -> Iterator[Edit]:
    inside = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef) and function.name == (entry_point or function.name)
        for node in ast.walk(function)
    }
    for at, node in enumerate(ast.walk(tree)):
        if id(node) in inside and isinstance(node, ast.Return) and node.value is not None:
            for wrap in ("[{}]", "({}, None)", "str({}) + ' '", "not {}"):
                wrapped = ast.parse(wrap.format(f"({ast.unparse(node.value)})"), mode="eval").body
                yield partial(_set, at, "value", wrapped)


def _set(at: int, name: str, value: object, nodes: list[ast.AST]) -> None:
    setattr(nodes[at], name, value)
