"""The normal form of a program: equal for programs that differ in layout, comments, docstrings and quotes only."""

from __future__ import annotations

import ast
import warnings

_LONGEST = 20_000
"""Characters; longer sources are compared as they are, since parsing them could exhaust the stack."""


def normal_form(source: str) -> str:
    """Return a text that is equal for programs that differ in nothing but how they are written down.

    Names count: what a workflow calls its variables may be words of its prompts. A source that cannot be parsed is its
    own normal form.

    Args:
        source: untrusted Python source; it is parsed, never compiled or run.
    """
    if len(source) > _LONGEST:
        return source.strip()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source)
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                node.body = [s for s in node.body if not _is_bare_text(s)] or [ast.Pass()]
        return ast.dump(tree)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return source.strip()


def _is_bare_text(statement: ast.stmt) -> bool:
    """Tell whether a statement is a string alone, a docstring for instance."""
    value = statement.value if isinstance(statement, ast.Expr) else None
    return isinstance(value, ast.Constant) and isinstance(value.value, str)
