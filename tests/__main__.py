"""Run the whole suite with what this machine has, and say loudly what it lacks."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from .services import find_program

ROOT = Path(__file__).parent.parent
PYTHON = sys.executable
PYTEST = [PYTHON, "-m", "pytest", "-q"]
COVERED = [*PYTEST, "--cov", "--cov-report="]
# What a database changes, and what an organization model does; the rest runs once.
WITHOUT_DATABASE = [
    *("anew", "entra", "id_token", "imports", "locale", "logs", "packaging", "pauses"),
    *("permissions", "reports", "roles", "transport"),
]
VARYING = [
    *("-m", "not browser and not redis and not sdk and not slow", "--ignore=tests/standin"),
    *(f"--ignore=tests/test_{name}.py" for name in WITHOUT_DATABASE),
]
OF_ORGANIZATIONS = [
    *("admin", "applications", "budgets", "checks", "connect", "destinations", "expiring"),
    *("forms", "given_away", "history_acts", "host", "limits", "migrations", "notices"),
    *("reconnect", "refusals", "removing_all", "roles", "rotation_pages", "views", "watch"),
]
MODEL_VARYING = [f"tests/test_{name}.py" for name in OF_ORGANIZATIONS]


@dataclass(frozen=True, kw_only=True)
class Step:
    """One run of tests; `needs` is the program that it can't do without."""

    name: str
    command: list[str]
    needs: str | None = PYTHON
    install: str = ""
    environment: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Result:
    """How a step ended, and where it left its coverage."""

    step: Step
    code: int
    seconds: float
    coverage: Path


def find_python() -> str:
    """Find a Python for Django 6.1, which needs 3.12, also among pyenv's."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions")
    for version in ("3.13", "3.12"):
        for program in (
            *map(str, pyenv.glob(f"{version}.*/bin/python{version}")),
            shutil.which(f"python{version}"),
        ):
            if program and not subprocess.run([program, "-V"], capture_output=True).returncode:
                return program
    return ""


def steps() -> list[Step]:
    """Return all steps, the longest first: two of them run at a time."""
    newer = find_python()
    return [
        Step(name="SQLite, Django 5.2", command=[*COVERED, "-m", "not browser and not redis"]),
        Step(
            name="PostgreSQL",
            command=[PYTHON, "-m", "tests.services", *COVERED, *VARYING],
            needs=find_program("initdb"),
            install="apt-get install postgresql",
        ),
        Step(
            name="Django 6.1",
            command=[PYTHON, "-m", "nox", "-s", "django_newest", "--force-python", newer],
            needs=newer or None,
            install="pyenv install 3.13",
        ),
        Step(
            name="the browser",
            command=[*PYTEST, "tests/browser"],
            needs=os.environ.get("CHROMIUM") or shutil.which("chromium"),
            install="apt-get install chromium",
        ),
        Step(
            name="auth.Group as the organization",
            command=[*COVERED, *MODEL_VARYING],
            environment={"TEST_ORGANIZATION": "group"},
        ),
        Step(
            name="organizations with integer keys",
            command=[*COVERED, *MODEL_VARYING],
            environment={"TEST_ORGANIZATION": "integer"},
        ),
        Step(
            name="Celery over Redis, and what takes long on PostgreSQL",
            command=[
                PYTHON,
                "-m",
                "tests.services",
                *COVERED,
                "tests/faults",
                "-m",
                "postgresql and (redis or slow)",
            ],
            needs=find_program("redis-server") and find_program("initdb"),
            install="apt-get install postgresql redis-server",
        ),
        Step(
            name="the example site",
            command=[*PYTEST, "--ds=example_project.settings", "tests/example"],
        ),
    ]


def run(step: Step, coverage: Path) -> Result:
    """Run a step and, once it is over, show all that it printed."""
    print(f"... {step.name}", flush=True)
    began = time.monotonic()
    environment = {**os.environ, **step.environment, "COVERAGE_FILE": str(coverage)}
    done = subprocess.run(
        step.command,
        cwd=ROOT,
        env=environment,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    print(f"\n=== {step.name}\n{done.stdout}", flush=True)
    seconds = time.monotonic() - began
    return Result(step=step, code=done.returncode, seconds=seconds, coverage=coverage)


def report_coverage(results: list[Result]) -> int:
    """Report what all steps together have covered; return the exit code."""
    print("\n=== coverage of all branches", flush=True)
    files = [str(result.coverage) for result in results if result.coverage.exists()]
    subprocess.run([PYTHON, "-m", "coverage", "combine", "-q", *files], cwd=ROOT, check=True)
    report = [PYTHON, "-m", "coverage", "report", "--fail-under=100"]
    return subprocess.run(report, cwd=ROOT, check=False).returncode


def main() -> int:
    subprocess.run([PYTHON, "-m", "coverage", "erase"], cwd=ROOT, check=True)
    all_steps = steps()
    missing = [step for step in all_steps if step.needs is None]
    there = [step for step in all_steps if step.needs is not None]
    coverages = [ROOT / f".coverage-{number}" for number in range(len(there))]
    with ThreadPoolExecutor(2 if (os.cpu_count() or 1) > 1 else 1) as pool:
        results = list(pool.map(run, there, coverages))
    codes = {result.step.name: (result.code, result.seconds) for result in results}
    codes["coverage of all branches"] = (report_coverage(results), 0)
    print()
    for name, (code, seconds) in codes.items():
        outcome = f"FAILED ({code})" if code else "passed"
        print(f"{outcome:12} {seconds:5.0f} s  {name}")
    for step in missing:
        print(f"NOT RUN: {step.name}. To run it: {step.install}")
    must_be_whole = os.environ.get("CI") == "true" or os.environ.get("REQUIRE_ALL") == "1"
    if missing and must_be_whole:
        print("With CI=true or REQUIRE_ALL=1 nothing may be missing.")
    failed = sum(bool(code) for code, _ in codes.values())
    print(f"Steps: {len(codes) - failed} passed, {failed} failed, {len(missing)} skipped")
    return int(bool(failed) or bool(missing and must_be_whole))


if __name__ == "__main__":
    sys.exit(main())
