"""Change the code at single places, and tell of each change that no test notices."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from .mutations import Mutant, mutants_of, sample
from .table import SAMPLE, TABLE, files_of
from .trial import Verdict, load, measure, path_of, try_all

EXPLAINED = Path(__file__).parent / "explained.txt"


def explanations() -> dict[str, str]:
    """Return why a mutant need not be noticed, by its id."""
    lines = [line for line in EXPLAINED.read_text().splitlines() if line and line[0] != "#"]
    return {name: reason for name, _, reason in (line.partition(": ") for line in lines)}


def all_mutants(modules: Iterable[str]) -> dict[str, list[Mutant]]:
    return {module: list(mutants_of(module, path_of(module).read_text())) for module in modules}


def main() -> int:
    arguments = parse()
    modules = arguments.modules or list(TABLE)
    made = all_mutants(modules)
    chosen = [
        mutant
        for module in modules
        for mutant in (made[module] if arguments.all else sample(made[module], SAMPLE))
    ]
    if arguments.only:
        names = set(arguments.only)
        chosen = [one for found in made.values() for one in found if one.id in names]
    if arguments.list:
        for mutant in chosen:
            show(mutant)
        print(f"{len(chosen)} of {sum(map(len, made.values()))} mutants")
        return 0
    began = time.monotonic()
    tried = sorted({mutant.module for mutant in chosen})
    files = sorted({path for module in tried for path in files_of(module)})
    print(f"Without any change: {len(files)} files of tests", flush=True)
    baseline = measure(files, tried)
    if not baseline.is_green:
        print(baseline.output)
        print("The tests fail without any change.")
        return 1
    print(f"... {time.monotonic() - began:.0f} s; now {len(chosen)} mutants", flush=True)
    load(baseline.libraries)
    pairs = [(one, baseline.tests_for(one, files_of(one.module))) for one in chosen]
    why = explanations()
    survivors: list[Verdict] = []
    killed: set[str] = set()
    for number, verdict in enumerate(try_all(pairs, baseline, arguments.jobs), 1):
        mutant = verdict.mutant
        if verdict.is_killed:
            killed.add(mutant.id)
            if arguments.verbose:
                print(f"killed {mutant.id}: {verdict.how}", flush=True)
        else:
            survivors.append(verdict)
            if mutant.id not in why:
                print(f"\nSURVIVED {mutant.id}, line {mutant.lines.start}", flush=True)
                show(mutant)
        if number % 50 == 0:
            print(f"... {number} tried, {time.monotonic() - began:.0f} s", flush=True)
    names = {one.id for found in made.values() for one in found}
    stale = [one for one in why if one in killed or (one not in names and _is_of(one, modules))]
    unexplained = [one.mutant.id for one in survivors if one.mutant.id not in why]
    print()
    for name in unexplained:
        print(f"No test notices {name}")
    for name in stale:
        print(f"Explained for nothing: {name} {'is killed' if name in killed else 'is gone'}")
    print(
        f"Mutants: {len(chosen)}, killed: {len(killed)}, survived: {len(survivors)}, "
        f"explained: {len(survivors) - len(unexplained)}, unexplained: {len(unexplained)}, "
        f"stale explanations: {len(stale)} ({(time.monotonic() - began) / 60:.0f} min)"
    )
    return int(bool(unexplained or stale))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("modules", nargs="*", metavar="MODULE", help="such as models.leases")
    parser.add_argument("--all", action="store_true", help="every mutant, not a sample")
    parser.add_argument("--list", action="store_true", help="show the mutants, run nothing")
    parser.add_argument("--only", action="append", metavar="ID", help="this mutant")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="at a time")
    parser.add_argument("--verbose", action="store_true", help="tell what killed each")
    arguments = parser.parse_args()
    unknown = set(arguments.modules) - set(TABLE)
    if unknown:
        parser.error(f"not in the table: {', '.join(sorted(unknown))}")
    return arguments


def show(mutant: Mutant) -> None:
    """Print the change, of a long statement what is around it."""
    before, after = mutant.before, mutant.after
    same = _length_alike(before, after)
    rest = _length_alike(before[same:][::-1], after[same:][::-1])
    begin = max(same - 100, 0)
    print(f"# {mutant.id}")
    for sign, text in (("-", before), ("+", after)):
        shown = " ".join(text[begin : len(text) - max(rest - 60, 0)].split())
        print(f"  {sign} {'... ' if begin else ''}{shown}{' ...' if rest > 60 else ''}")


def _length_alike(one: str, other: str) -> int:
    """Return how long the two begin alike."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((place for place, (a, b) in pairs if a != b), min(len(one), len(other)))


def _is_of(name: str, modules: list[str]) -> bool:
    return name.split(":")[0] in modules


if __name__ == "__main__":
    sys.exit(main())
