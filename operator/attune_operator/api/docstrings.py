"""Docstrings of enumeration members, which Python keeps only in the source."""

import ast
import inspect
from enum import Enum
from functools import cache


@cache
def members(kind: type[Enum]) -> dict[str, str]:
    """What each member of an enumeration means, by its value, in the order of the source.

    Args:
        kind: an enumeration whose members each have a string below them.

    Raises:
        ValueError: a member has none.
    """
    body = ast.parse(inspect.getsource(kind)).body[0]
    assert isinstance(body, ast.ClassDef)  # noqa: S101 - the source of a class is a class
    found: dict[str, str] = {}
    for statement, below in zip(body.body, [*body.body[1:], None], strict=True):
        if isinstance(statement, ast.Assign) and isinstance(target := statement.targets[0], ast.Name):
            found[str(kind[target.id].value)] = _text(below) or _complain(kind, target.id)
    return found


def _text(statement: ast.stmt | None) -> str | None:
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
        return " ".join(str(statement.value.value).split())
    return None


def _complain(kind: type[Enum], member: str) -> str:
    raise ValueError(f"{kind.__name__}.{member} has no docstring below it")
