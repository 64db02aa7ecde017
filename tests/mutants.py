"""The small changes that tests/mutation.py makes, each one node of the syntax tree in place of another."""

from __future__ import annotations

import ast
import contextlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

OPERATORS = {
    ast.Add: (ast.Sub,), ast.Sub: (ast.Add,), ast.Mult: (ast.Div,), ast.Div: (ast.Mult,), ast.FloorDiv: (ast.Mult,),
    ast.Pow: (ast.Mult,), ast.BitAnd: (ast.BitOr,), ast.BitOr: (ast.BitAnd,), ast.LShift: (ast.RShift,),
    ast.Lt: (ast.LtE, ast.GtE), ast.LtE: (ast.Lt, ast.Gt), ast.Gt: (ast.GtE, ast.LtE), ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,), ast.NotEq: (ast.Eq,), ast.Is: (ast.IsNot,), ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,), ast.NotIn: (ast.In,),
}  # fmt: skip
NAMES = {
    "min": "max", "max": "min", "minimum": "maximum", "maximum": "minimum", "fmax": "fmin", "argmax": "argmin",
    "any": "all", "all": "any", "sum": "max", "mean": "sum", "isfinite": "isnan", "isnan": "isfinite",
    "zeros": "ones", "ones": "zeros", "abs": "positive", "sqrt": "square", "exp": "exp2", "log": "log2",
    "log1p": "log", "expm1": "exp", "setdefault": "get",
}  # fmt: skip
SYMMETRIC = {
    "min",
    "max",
    "minimum",
    "maximum",
    "fmax",
    "array_equal",
    "identical",
    "add",
    "may_share_memory",
    "bitwise_and",
}


@dataclass
class Mutant:
    """One node in place of another."""

    number: int
    inside: str
    """The function or class; empty at the top of the module."""
    at_import: bool
    """Whether it acts when the module is imported, or else when the function is called."""
    first_line: int
    last_line: int
    tree: ast.Module
    owner: ast.AST
    field: str
    index: int | None
    new: ast.AST
    text: str = ""

    def __str__(self) -> str:
        return f"{self.inside}: {self.text}"

    @contextlib.contextmanager
    def applied(self) -> Iterator[ast.Module]:
        """The changed tree."""
        old = self._put(self.new)
        yield ast.fix_missing_locations(self.tree)
        self._put(old)

    def _put(self, node: Any) -> Any:
        place = getattr(self.owner, self.field)
        if self.index is None:
            setattr(self.owner, self.field, node)
            return place
        old, place[self.index] = place[self.index], node
        return old


def mutants_of(source: str) -> Iterator[Mutant]:
    """All mutants of a module, numbered from 1 in the order of its text."""
    tree = ast.parse(source)
    seen: Counter[str] = Counter()
    changes = _changes(tree, "", at_import=True, statement=None)
    for number, (inside, at_import, statement, owner, field, index, old, new) in enumerate(changes, 1):
        shown = owner if isinstance(owner, ast.expr | ast.comprehension | ast.AugAssign) else old
        last_line = statement.end_lineno
        if isinstance(statement, ast.If | ast.For | ast.With):  # without what it governs
            last_line = max(statement.lineno, statement.body[0].lineno - 1)
        mutant = Mutant(number, inside, at_import, statement.lineno, last_line, tree, owner, field, index, new)
        before = ast.unparse(shown)
        mutant._put(new)
        after = ast.unparse(new if shown is old else shown)
        mutant._put(old)
        text = "{} → {}".format(*_differing(before, after))
        seen[inside + text] += 1
        mutant.text = text if seen[inside + text] == 1 else f"{text} #{seen[inside + text]}"
        yield mutant


def _differing(before: str, after: str, around: int = 40) -> tuple[str, str]:
    """Both without the ends that they share, but for some letters around the change."""
    least = min(len(before), len(after))
    start = next((at for at in range(least) if before[at] != after[at]), least)
    end = next((at for at in range(least - start) if before[-1 - at] != after[-1 - at]), least - start)
    start, end = max(0, start - around), max(0, end - around)
    cut = [f"{'…' * (start > 0)}{t[start : len(t) - end]}{'…' * (end > 0)}" for t in (before, after)]
    return " ".join(cut[0].split()), " ".join(cut[1].split())


def _changes(node: ast.AST, inside: str, *, at_import: bool, statement: Any) -> Iterator[tuple[Any, ...]]:
    """Depth first, the fields of a mutant: where it is, its owner and place there, itself, what comes instead."""
    for field, value in ast.iter_fields(node):
        if field in {"annotation", "returns", "decorator_list"} or isinstance(node, ast.JoinedStr):
            continue
        for index, child in enumerate(value) if isinstance(value, list) else [(None, value)]:
            if not isinstance(child, ast.AST):
                continue
            name = child.name if isinstance(child, ast.FunctionDef | ast.ClassDef) else ""
            within = f"{inside}.{name}".strip(".") if name else inside
            of = child if isinstance(child, ast.stmt) else statement
            if isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant):  # a docstring
                continue
            if isinstance(node, ast.ClassDef) and isinstance(child, ast.Assign):  # the words of an Enum
                continue
            when = at_import and not (isinstance(node, ast.FunctionDef) and isinstance(child, ast.stmt))
            for new in _instead(child, node, field):
                yield within, when, of, node, field, index, child, new
            yield from _changes(child, within, at_import=when, statement=of)


def _instead(node: ast.AST, owner: ast.AST, field: str) -> Iterator[ast.AST]:
    if field == "test" and not isinstance(node, ast.Compare | ast.BoolOp | ast.UnaryOp):
        yield ast.UnaryOp(ast.Not(), node)
    match node:
        case ast.operator() | ast.cmpop():
            yield from (new() for new in OPERATORS.get(type(node), ()))
        case ast.BoolOp(op, values):
            for left_out in values:
                rest = [value for value in values if value is not left_out]
                yield rest[0] if len(rest) == 1 else ast.BoolOp(op, rest)
        case ast.UnaryOp(_, operand):
            yield operand
        case ast.Constant(bool(value)):
            yield ast.Constant(not value)
        case ast.Constant(int(value)):
            yield ast.Constant(value + 1)
        case ast.Constant(float(value)):
            yield ast.Constant(2 * value or 1.0)
        case ast.Constant(str(value)) if " " not in value:  # the others are for people to read
            yield ast.Constant(value + "X")
        case ast.Name(name, ast.Load()) if name in NAMES:
            yield ast.Name("float" if name == "abs" else NAMES[name], ast.Load())
        case ast.Attribute(value, name, context) if name in NAMES:
            yield ast.Attribute(value, NAMES[name], context)
        case ast.Call(function, [*first, a, b], keywords) if len(first) == (_name(function) == "where"):
            if _name(function) not in SYMMETRIC and ast.unparse(a) != ast.unparse(b):
                yield ast.Call(function, [*first, b, a], keywords)
        case ast.Return(ast.expr() as value) if not (isinstance(value, ast.Constant) and value.value is None):
            yield ast.Return(None)
        case ast.Expr() | ast.AugAssign() | ast.Raise() | ast.Continue() | ast.Break():
            yield ast.Pass()
        case ast.Assign([target], value) if not isinstance(target, ast.Name) or _uses(value, target.id):
            if not isinstance(target, ast.Tuple):
                yield ast.Pass()


def _name(function: ast.expr) -> str:
    return getattr(function, "attr", getattr(function, "id", ""))


def _uses(value: ast.expr, name: str) -> bool:
    return any(isinstance(node, ast.Name) and node.id == name for node in ast.walk(value))
