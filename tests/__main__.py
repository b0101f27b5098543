"""Run the whole suite with what this machine has, and say loudly what it lacks."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from .services import find_program

ROOT = Path(__file__).parent.parent
PYTHON = sys.executable
PYTEST = [PYTHON, "-m", "pytest", "-q"]
COVERED = [*PYTEST, "--cov", "--cov-append", "--cov-report="]
# What a database changes, and what an organization model does; the rest runs once.
WITHOUT_DATABASE = [
    *("entra", "id_token", "imports", "locale", "logs", "packaging", "permissions", "transport")
]
VARYING = [
    *("-m", "not browser and not redis and not sdk and not slow", "--ignore=tests/standin"),
    *(f"--ignore=tests/test_{name}.py" for name in WITHOUT_DATABASE),
]
OF_ORGANIZATIONS = [
    *("admin", "applications", "budgets", "checks", "connect", "expiring", "forms", "host"),
    *("notices", "reconnect", "refusals", "rotation_pages", "views", "watch"),
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
    newer = find_python()
    return [
        Step(name="SQLite, Django 5.2", command=[*COVERED, "-m", "not browser and not redis"]),
        Step(
            name="the example site",
            command=[*PYTEST, "--ds=example_project.settings", "tests/example"],
        ),
        Step(
            name="the browser",
            command=[*PYTEST, "tests/browser"],
            needs=os.environ.get("CHROMIUM") or shutil.which("chromium"),
            install="apt-get install chromium",
        ),
        Step(
            name="PostgreSQL",
            command=[PYTHON, "-m", "tests.services", *COVERED, *VARYING],
            needs=find_program("initdb"),
            install="apt-get install postgresql",
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
            name="organizations with integer keys",
            command=[*COVERED, *MODEL_VARYING],
            environment={"TEST_ORGANIZATION": "integer"},
        ),
        Step(
            name="auth.Group as the organization",
            command=[*COVERED, *MODEL_VARYING],
            environment={"TEST_ORGANIZATION": "group"},
        ),
        Step(
            name="Django 6.1",
            command=[PYTHON, "-m", "nox", "-s", "django_newest", "--force-python", newer],
            needs=newer or None,
            install="pyenv install 3.13",
        ),
        Step(
            name="coverage of all branches",
            command=[PYTHON, "-m", "coverage", "report", "--fail-under=100"],
        ),
    ]


def main() -> int:
    subprocess.run([PYTHON, "-m", "coverage", "erase"], cwd=ROOT, check=True)
    lines, failed, missing = [], False, []
    for step in steps():
        print(f"\n=== {step.name}", flush=True)
        if step.needs is None:
            missing.append(step)
            continue
        began = time.monotonic()
        environment = {**os.environ, **step.environment}
        code = subprocess.run(step.command, cwd=ROOT, env=environment, check=False).returncode
        failed |= code != 0
        outcome = f"FAILED ({code})" if code else "passed"
        lines.append(f"{outcome:12} {time.monotonic() - began:5.0f} s  {step.name}")
    print("\n" + "\n".join(lines))
    for step in missing:
        print(f"NOT RUN: {step.name}. To run it: {step.install}")
    must_be_whole = os.environ.get("CI") == "true" or os.environ.get("REQUIRE_ALL") == "1"
    if missing and must_be_whole:
        print("With CI=true or REQUIRE_ALL=1 nothing may be missing.")
    passed = sum(line.startswith("passed") for line in lines)
    print(f"Steps: {passed} passed, {len(lines) - passed} failed, {len(missing)} skipped")
    return int(failed or bool(missing and must_be_whole))


if __name__ == "__main__":
    sys.exit(main())
