"""The changes that are made to the code, on a small module."""

from __future__ import annotations

import ast

import pytest

from .mutations import mutants_of, sample

SOURCE = '''
"""What it is for."""
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    import never

def save(row, now):
    """Save it."""
    if row.until <= now and not row.is_held:
        raise ValueError("words for people") from None
    rows.filter(pk=row.pk, fence=row.fence).update(fence=row.fence + 1)
    transaction.on_commit(lambda: tell(row), using="default")
    return requests.get(row.url, timeout=(3, 5), allow_redirects=False)
'''


def changes() -> set[str]:
    return {" ".join(mutant.after.split()) for mutant in mutants_of("it", SOURCE)}


@pytest.mark.parametrize(
    "change",
    [
        "if row.until > now and (not row.is_held): ...",
        "if row.until <= now or not row.is_held: ...",
        "if row.until <= now and row.is_held: ...",
        "if row.until <= now: ...",
        "if False: ...",
        "raise ValueError('words for people')",
        "rows.filter(pk=row.pk).update(fence=row.fence + 1)",
        "rows.update(fence=row.fence + 1)",
        "rows.filter(pk=row.pk, fence=row.fence).update(fence=row.fence - 1)",
        "pass",
        "(lambda: tell(row))()",
        "return requests.get(row.url, allow_redirects=False)",
        "return requests.get(row.url, timeout=(3, 5))",
        "return requests.get(row.url, timeout=(3, 5), allow_redirects=True)",
        "return requests.get(row.url, timeout=(3,), allow_redirects=False)",
        "return None",
    ],
)
def test_each_kind_of_change_is_made(change: str) -> None:
    assert change in changes()


def test_words_and_imports_are_left_alone() -> None:
    assert not any("mutant" in change and "words" in change for change in changes())
    assert not any("never" in change or "What it is" in change for change in changes())


def test_each_change_is_undone_before_the_next() -> None:
    whole = ast.unparse(ast.parse(SOURCE))
    mutants = iter(mutants_of("it", SOURCE))
    tree = next(mutants).tree
    assert ast.unparse(ast.fix_missing_locations(tree)) != whole
    for _ in mutants:
        compile(ast.fix_missing_locations(tree), "it", "exec")
    assert ast.unparse(tree) == whole


def test_names_outlive_moves_and_edits_elsewhere() -> None:
    names = [mutant.id for mutant in mutants_of("it", SOURCE)]
    assert len(set(names)) == len(names)
    moved = SOURCE.replace("def save", "LIMIT = 5\n\n\ndef save").replace("on_commit(", "later(")
    kept = {mutant.id for mutant in mutants_of("it", moved)}
    assert len(set(names) & kept) > len(names) - 8


def test_sample_takes_from_every_function_and_is_the_same_each_time() -> None:
    source = SOURCE + SOURCE.replace("save", "store") + "\n\ndef short(a):\n    return a\n"
    mutants = list(mutants_of("it", source))
    chosen = sample(mutants, 9)
    assert {one.function for one in chosen} == {"it:save", "it:store", "it:short"}
    assert [one.id for one in sample(mutants[::-1], 9)] == [one.id for one in chosen]
