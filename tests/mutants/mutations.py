"""The single changes that are made to a module, each with a name that outlives edits elsewhere."""

from __future__ import annotations

import ast
import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

_COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.GtE,
    ast.LtE: ast.Gt,
    ast.Gt: ast.LtE,
    ast.GtE: ast.Lt,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
#: Of numbers alone: no test can tell a moment from the one a microsecond later.
_BOUNDARIES: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
}
_ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.Pow: ast.Mult,
}
_OPPOSITES = {"min": "max", "max": "min", "any": "all", "all": "any"}
#: Methods that return what they are called on, a little changed.
_LINKS = {"filter", "exclude", "order_by", "distinct", "lower", "strip", "rstrip", "replace"}
_CONDITIONS = {"filter", "exclude"}
_SYMMETRIC = {"constant_time_compare", "min", "max", "isinstance", "filter", "exclude"}
#: Calls for people's eyes or for speed: nothing a behaviour hangs on.
_WORDS = {"_", "gettext", "gettext_lazy", "ngettext", "cast", "TypeVar", "select_related", "defer"}
_LOGS = {"debug", "info", "warning", "error", "log", "exception"}
_ELLIPSIS = ast.Expr(value=ast.Constant(value=...))
_CODE = re.compile(r"[A-Za-z0-9_.:/=?-]+\Z")
_KEPT_DECORATORS = re.compile(r"property|dataclass|method\b|contextmanager|overload|lru_cache")


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """One change of one module."""

    id: str
    module: str
    lines: range
    """Those of the statement that is changed."""
    before: str
    after: str
    source: str
    """The module's, as it was when the run began."""
    tree: ast.Module
    """The module with the change, as long as the next mutant is not asked for."""

    @property
    def function(self) -> str:
        return self.id.rsplit(":", 1)[0]


def mutants_of(module: str, source: str) -> Iterator[Mutant]:
    """Make every change in turn, each undone before the next."""
    tree = ast.parse(source)
    seen: Counter[str] = Counter()
    for scope, statement in _statements(tree, ""):
        before = _words(statement)
        for change, undo in _changes(statement):
            change()
            after = _words(statement)
            if after != before:
                digest = hashlib.sha256(f"{before}\n->\n{after}".encode()).hexdigest()[:8]
                name = f"{module}:{scope or 'module'}:{digest}"
                seen[name] += 1
                yield Mutant(
                    id=name if seen[name] == 1 else f"{name}.{seen[name]}",
                    module=module,
                    lines=_lines(statement),
                    before=before,
                    after=after,
                    source=source,
                    tree=tree,
                )
            undo()


def sample(mutants: list[Mutant], count: int) -> list[Mutant]:
    """Choose so many, evenly from all functions and the same each time."""
    functions = defaultdict(list)
    for mutant in sorted(mutants, key=lambda one: _digest(one.id)):
        functions[mutant.function].append(mutant)
    ranked = [
        (rank, _digest(mutant.id), mutant)
        for found in functions.values()
        for rank, mutant in enumerate(found)
    ]
    return [mutant for _, _, mutant in sorted(ranked, key=lambda one: one[:2])[:count]]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


# Statements


def _statements(node: ast.AST, scope: str) -> Iterator[tuple[str, ast.stmt | ast.excepthandler]]:
    """Yield each statement that may be changed, with the function it is in."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom) or _is_for_types(child):
            continue
        inner = scope
        if isinstance(child, ast.FunctionDef | ast.ClassDef):
            inner = f"{scope}.{child.name}".lstrip(".")
            if child.name in {"Meta", "__str__", "__repr__"}:
                continue
        if isinstance(child, ast.stmt | ast.excepthandler) and not _is_declaration(child):
            yield inner, child
        if isinstance(child, ast.stmt | ast.excepthandler | ast.match_case):
            yield from _statements(child, inner)


def _is_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def _is_declaration(node: ast.AST) -> bool:
    """Say whether it is a docstring, an annotation, `__all__`, or a field of the migration."""
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant)
    if isinstance(node, ast.AnnAssign) and node.value is None:
        return True
    value = getattr(node, "value", None)
    if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
        return True
    if isinstance(node, ast.Assign) and isinstance(value, ast.Call):
        return bool(re.search(r"Field$|ForeignKey$|TypeVar$|getLogger$", ast.unparse(value.func)))
    return False


def _lines(statement: ast.stmt | ast.excepthandler) -> range:
    """Return the lines of a simple statement, or of the head of a compound one."""
    body = getattr(statement, "body", None)
    end = body[0].lineno - 1 if body else (statement.end_lineno or statement.lineno)
    return range(statement.lineno, max(end, statement.lineno) + 1)


def _words(statement: Any) -> str:
    """Return the statement as text, of a compound one the head: its body has mutants of its own."""
    if not hasattr(statement, "body"):
        return ast.unparse(ast.fix_missing_locations(statement))
    shown = type(statement)(**dict(ast.iter_fields(statement)))
    shown.body = statement.body[:1] if isinstance(shown, ast.ExceptHandler) else [_ELLIPSIS]
    if hasattr(shown, "orelse"):
        shown.orelse = []
    return ast.unparse(ast.fix_missing_locations(ast.copy_location(shown, statement)))


# Changes


def _changes(statement: ast.stmt | ast.excepthandler) -> Iterator[tuple[Any, Any]]:
    """Yield each change to a statement, but not to those inside of it, with its undoing."""
    for owner, name, place, node in _expressions(statement):
        if owner is statement and name == "value" and _unpacks(statement):
            continue
        for new in _variants(node):
            yield _replace(owner, name, place, node, new)
    yield from _changes_of_lists(statement)
    yield from _changes_of_statement(statement)


def _unpacks(statement: ast.AST) -> bool:
    return isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Tuple)


def _replace(owner: Any, name: str, place: int | None, old: Any, new: Any) -> tuple[Any, Any]:
    def put(value: Any) -> None:
        if place is None:
            setattr(owner, name, value)
        else:
            getattr(owner, name)[place] = value

    return lambda: put(ast.copy_location(new, old)), lambda: put(old)


def _set(owner: Any, **values: Any) -> tuple[Any, Any]:
    before = {name: getattr(owner, name) for name in values}

    def put(found: dict[str, Any]) -> None:
        for name, value in found.items():
            setattr(owner, name, value)

    return lambda: put(values), lambda: put(before)


def _expressions(node: ast.AST) -> Iterator[tuple[Any, str, int | None, ast.expr]]:
    """Yield the expressions of a statement, where each is, and none that is words only."""
    for name, value in ast.iter_fields(node):
        if name in {"annotation", "returns", "type_comment", "decorator_list", "bases", "type"}:
            continue
        children = enumerate(value) if isinstance(value, list) else [(None, value)]
        for place, child in children:
            if isinstance(child, ast.stmt | ast.excepthandler | ast.match_case | ast.expr_context):
                continue
            if isinstance(child, ast.expr):
                if _is_words(child):
                    continue
                yield node, name, place, child
            if isinstance(child, ast.AST):
                yield from _expressions(child)


def _is_words(node: ast.expr) -> bool:
    if not isinstance(node, ast.Call):
        return False
    func = node.func
    if isinstance(func, ast.Name):
        return func.id in _WORDS or func.id.endswith("Error")
    return isinstance(func, ast.Attribute) and func.attr in _LOGS


def _variants(node: ast.expr) -> Iterator[ast.expr]:
    match node:
        case ast.Compare(ops=[op]):
            swapped = [_COMPARISONS[type(op)]]
            if type(op) in _BOUNDARIES and any(map(_is_number, [node.left, *node.comparators])):
                swapped.append(_BOUNDARIES[type(op)])
            for other in swapped:
                yield ast.Compare(left=node.left, ops=[other()], comparators=node.comparators)
        case ast.BoolOp():
            other = ast.Or() if isinstance(node.op, ast.And) else ast.And()
            yield ast.BoolOp(op=other, values=node.values)
            for left in _without_each(node.values):
                yield left[0] if len(left) == 1 else ast.BoolOp(op=node.op, values=left)
        case ast.UnaryOp(op=ast.Not() | ast.Invert() | ast.USub()):
            yield node.operand
        case ast.IfExp():
            yield node.body
            yield node.orelse
        case ast.BinOp(op=ast.BitOr() | ast.BitAnd()):
            yield node.left
            yield node.right
        case ast.BinOp() if type(node.op) in _ARITHMETIC and not _is_text(node):
            yield ast.BinOp(left=node.left, op=_ARITHMETIC[type(node.op)](), right=node.right)
        case ast.Constant(value=bool()):
            yield ast.Constant(not node.value)
        case ast.Constant(value=int() | float()):
            yield ast.Constant(node.value + 1 if node.value < 3 else node.value * 2)
        case ast.Constant(value=str()) if _CODE.match(node.value):
            yield ast.Constant(node.value + "mutant")
        case ast.List() | ast.Tuple() | ast.Set() if isinstance(
            getattr(node, "ctx", ast.Load()), ast.Load
        ):
            for left in _without_each(node.elts):
                yield type(node)(elts=left, **({} if isinstance(node, ast.Set) else _load()))
        case ast.Dict():
            for place in range(len(node.keys)):
                keys = node.keys[:place] + node.keys[place + 1 :]
                yield ast.Dict(keys=keys, values=node.values[:place] + node.values[place + 1 :])
        case ast.Call():
            yield from _variants_of_call(node)


def _load() -> dict[str, Any]:
    return {"ctx": ast.Load()}


def _is_number(node: ast.expr) -> bool:
    if isinstance(node, ast.Call):
        return ast.unparse(node.func) == "len"
    return isinstance(node, ast.Constant) and isinstance(node.value, int)


def _is_text(node: ast.BinOp) -> bool:
    sides = (node.left, node.right)
    return any(isinstance(side, ast.JoinedStr | ast.List | ast.Tuple) for side in sides)


def _without_each(values: list[Any]) -> Iterator[list[Any]]:
    for place in range(len(values)):
        yield values[:place] + values[place + 1 :]


def _variants_of_call(node: ast.Call) -> Iterator[ast.expr]:
    func, args, keywords = node.func, node.args, node.keywords
    name = func.attr if isinstance(func, ast.Attribute) else ast.unparse(func)
    for left in _without_each(keywords):
        yield ast.Call(func=func, args=args, keywords=left)
    if len(args) > 1 and name not in _SYMMETRIC:
        yield ast.Call(func=func, args=[args[1], args[0], *args[2:]], keywords=keywords)
    if name in _OPPOSITES and isinstance(func, ast.Name):
        swapped = ast.Name(id=_OPPOSITES[name], ctx=ast.Load())
        yield ast.Call(func=swapped, args=args, keywords=keywords)
    if isinstance(func, ast.Attribute) and name in _LINKS:
        yield func.value
    if name in _CONDITIONS:
        for left in _without_each(args):
            yield ast.Call(func=func, args=left, keywords=keywords)
    if name == "on_commit":
        yield ast.Call(func=args[0], args=[], keywords=[])


def _changes_of_lists(statement: Any) -> Iterator[tuple[Any, Any]]:
    """Take away a decorator, or the context of a with statement."""
    for decorator in getattr(statement, "decorator_list", []):
        if not _KEPT_DECORATORS.search(ast.unparse(decorator).split("(")[0]) or (
            ast.unparse(decorator).startswith("method_decorator")
        ):
            left = [one for one in statement.decorator_list if one is not decorator]
            yield _set(statement, decorator_list=left)
    if isinstance(statement, ast.With):
        for item in statement.items:
            if item.optional_vars is None:
                nothing = ast.parse("__import__('contextlib').nullcontext()", mode="eval").body
                yield _set(item, context_expr=ast.copy_location(nothing, item.context_expr))


def _changes_of_statement(statement: Any) -> Iterator[tuple[Any, Any]]:
    """Do nothing, take a branch always or never, forget the cause, let an error through."""
    match statement:
        case ast.If():
            for always in (True, False):
                yield _set(statement, test=ast.copy_location(ast.Constant(always), statement.test))
        case ast.Raise():
            if isinstance(statement.cause, ast.Constant):
                yield _set(statement, cause=None)
            yield _into_pass(statement)
        case ast.Return() if not isinstance(statement.value, ast.Constant | None):
            yield _set(statement, value=ast.copy_location(ast.Constant(None), statement))
        case ast.ExceptHandler():
            again = ast.copy_location(ast.Raise(exc=None, cause=None), statement.body[0])
            yield _set(statement, body=[again])
        case ast.Expr() if not _is_words(statement.value):
            yield _into_pass(statement)
        case ast.AugAssign() | ast.Delete() | ast.Break() | ast.Continue():
            yield _into_pass(statement)
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript() | ast.Tuple()]):
            if not isinstance(statement.targets[0], ast.Tuple) or any(
                not isinstance(one, ast.Name) for one in statement.targets[0].elts
            ):
                yield _into_pass(statement)


def _into_pass(statement: Any) -> tuple[Any, Any]:
    """Turn the statement itself into one that does nothing, whoever holds it."""
    kept = dict(statement.__dict__), type(statement)

    def change() -> None:
        statement.__class__ = ast.Pass

    def undo() -> None:
        statement.__class__ = kept[1]

    return change, undo
