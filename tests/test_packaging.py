"""What the wheel holds."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "infisical_azure"


@pytest.mark.slow
def test_wheel_holds_the_whole_package_and_nothing_else(tmp_path: Path) -> None:
    # A copy: setuptools would pack what an older build has left in the tree.
    source = tmp_path / "source"
    shutil.copytree(PACKAGE, source / PACKAGE.name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.cfg", "pyproject.toml", "README.rst", "LICENSE"):
        shutil.copy(ROOT / name, source)
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(tmp_path), "."]
    subprocess.run(command, cwd=source, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    tracked = {
        str(path.relative_to(ROOT))
        for path in PACKAGE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert held == tracked
    for needed in ("py.typed", "templates/infisical_azure/base.html",
                   "static/infisical_azure/dialog.js", "migrations/0001_initial.py"):  # fmt: skip
        assert f"infisical_azure/{needed}" in held
