"""Run tests against a changed module, in a fork of a process that has its libraries loaded."""

from __future__ import annotations

import ast
import contextlib
import importlib
import importlib.abc
import importlib.util
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import coverage
import pytest

from .mutations import Mutant, mutants_of

ROOT = Path(__file__).parent.parent.parent
PACKAGE = "infisical_azure"
#: What every run leaves out: it is long, or needs what this machine may not have.
_QUICK = "not slow and not browser and not redis and not postgresql and not sdk"
_OPTIONS = [
    *("-q", "-x", "--tb=line", "--assert=plain", "-m", _QUICK),
    *("-p", "no:randomly", "-p", "no:cacheprovider"),
]
#: A mutant may take so many times as long as its tests do, and these seconds.
_TIMES, _SECONDS = 5, 30.0


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """What the tests did with the code as it is."""

    is_green: bool
    output: str
    seconds: dict[str, float] = field(default_factory=dict)
    """How long each test took."""
    runs: dict[str, dict[int, list[str]]] = field(default_factory=dict)
    """Which tests ran each line, by module."""
    libraries: tuple[str, ...] = ()

    def tests_for(self, mutant: Mutant, files: tuple[str, ...]) -> list[str]:
        """Return those that run the changed statement, the quickest first; or all."""
        known = self.runs.get(mutant.module, {})
        found = {test for line in mutant.lines for test in known.get(line, [])}
        mine = {test for test in self.seconds if test.split("::")[0] in files}
        # What runs at import concerns each of them.
        chosen = mine & found if found and "" not in found else mine
        return sorted(chosen or mine, key=lambda test: (self.seconds[test], test))


@dataclass(frozen=True, kw_only=True)
class Verdict:
    mutant: Mutant
    is_killed: bool
    how: str


# In the parent


def measure(files: list[str], modules: list[str]) -> Baseline:
    """Run the tests on the code as it is, and note which lines each of them runs."""

    def run() -> int:
        recorder = _Recorder(modules)
        code = pytest.main([*_OPTIONS, "-p", "no:cov", *files], plugins=[recorder])
        recorder.write(target)
        return int(code)

    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder, "baseline.json")
        output = Path(folder, "output")
        _, status = os.waitpid(_fork(run, output), 0)
        if status or not target.exists():
            return Baseline(is_green=False, output=output.read_text(errors="replace"))
        kept = json.loads(target.read_text())
    runs = {
        module: {int(line): tests for line, tests in lines.items()}
        for module, lines in kept["runs"].items()
    }
    return Baseline(
        is_green=True,
        output="",
        seconds=kept["seconds"],
        runs=runs,
        libraries=tuple(kept["libraries"]),
    )


def load(libraries: tuple[str, ...]) -> None:
    """Import what the forks need, so far as it does without Django's setup."""
    for name in libraries:
        with contextlib.suppress(Exception):
            importlib.import_module(name)


def try_all(
    chosen: list[tuple[Mutant, list[str]]], baseline: Baseline, jobs: int
) -> Iterator[Verdict]:
    """Run each mutant's tests, so many at a time; yield the verdicts as they come."""
    waiting = list(reversed(chosen))
    running: dict[int, tuple[Mutant, float, Path]] = {}
    with tempfile.TemporaryDirectory() as folder:
        while waiting or running:
            while waiting and len(running) < jobs:
                mutant, tests = waiting.pop()
                limit = _SECONDS + _TIMES * sum(baseline.seconds[test] for test in tests)
                output = Path(folder, str(len(waiting)))
                pid = _fork(_trial_of(mutant, tests), output)
                running[pid] = mutant, time.monotonic() + limit, output
            time.sleep(0.02)
            for pid, (mutant, until, output) in list(running.items()):
                found, status = os.waitpid(pid, os.WNOHANG)
                if not found and time.monotonic() < until:
                    continue
                del running[pid]
                if not found:
                    os.killpg(pid, signal.SIGKILL)
                    os.waitpid(pid, 0)
                    yield Verdict(mutant=mutant, is_killed=True, how="took too long")
                    continue
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(pid, signal.SIGKILL)  # What a test has left running.
                text = output.read_text(errors="replace")
                yield Verdict(mutant=mutant, is_killed=bool(status), how=_how(text, status))


def _how(output: str, status: int) -> str:
    failed = [line for line in output.splitlines() if line.startswith(("FAILED", "ERROR"))]
    return failed[0] if failed else f"exit status {status}"


def _fork(run: Callable[[], int], output: Path) -> int:
    """Run it in a process group of its own; return the process id."""
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return pid
    code = 3
    try:
        os.setsid()
        target = os.open(output, os.O_WRONLY | os.O_CREAT)
        os.dup2(target, 1)
        os.dup2(target, 2)
        code = run()
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


# In the fork


def _trial_of(mutant: Mutant, tests: list[str]) -> Callable[[], int]:
    def run() -> int:
        sys.meta_path.insert(0, _Mutated(mutant))
        files = sorted({test.split("::")[0] for test in tests})
        return int(pytest.main([*_OPTIONS, "-p", "no:cov", *files], plugins=[_Chosen(tests)]))

    return run


class _Mutated(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    """Give the changed module from memory: nothing is written to the tree."""

    def __init__(self, mutant: Mutant) -> None:
        self.mutant = mutant
        self.name = f"{PACKAGE}.{mutant.module}"

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name != self.name:
            return None
        return importlib.util.spec_from_file_location(
            name, path_of(self.mutant.module), loader=self
        )

    def get_source(self, fullname: str) -> str:
        return self.mutant.source

    def get_code(self, fullname: str) -> Any:
        made = mutants_of(self.mutant.module, self.mutant.source)
        tree = next(one.tree for one in made if one.id == self.mutant.id)
        path = str(path_of(self.mutant.module))
        return compile(ast.fix_missing_locations(tree), path, "exec")


class _Chosen:
    """Run these tests alone, in this order."""

    def __init__(self, tests: list[str]) -> None:
        self.order = {test: place for place, test in enumerate(tests)}

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = [item for item in items if item.nodeid in self.order]
        items.sort(key=lambda item: self.order[item.nodeid])


class _Recorder:
    """Note how long each test takes, and which lines it runs."""

    def __init__(self, modules: list[str]) -> None:
        self.modules = modules
        self.seconds: dict[str, float] = {}
        paths = [str(path_of(module)) for module in modules]
        self.coverage = coverage.Coverage(data_file=None, config_file=False, include=paths)
        self.coverage.start()

    def pytest_collection_finish(self) -> None:
        # Else the test that is the first to need a module would seem to be its only one.
        for module in self.modules:
            importlib.import_module(f"{PACKAGE}.{module}")

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        began = time.monotonic()
        self.coverage.switch_context(item.nodeid)
        yield
        self.coverage.switch_context("")
        self.seconds[item.nodeid] = time.monotonic() - began

    def write(self, target: Path) -> None:
        self.coverage.stop()
        data = self.coverage.get_data()
        runs = {m: data.contexts_by_lineno(str(path_of(m))) for m in self.modules}
        ours = (PACKAGE, "tests", "example_project", "django.contrib", "_pytest", "conftest")
        libraries = [name for name in sys.modules if not name.startswith(ours)]
        kept = {"seconds": self.seconds, "runs": runs, "libraries": libraries}
        target.write_text(json.dumps(kept))


def path_of(module: str) -> Path:
    return ROOT / PACKAGE / f"{module.replace('.', '/')}.py"
