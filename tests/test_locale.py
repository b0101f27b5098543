"""The German catalogue: whole, compiled, and what people see."""

from __future__ import annotations

import ast
import gettext
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from django.utils import translation

from .conftest import Browser

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "infisical_azure"
PO = Path("locale", "de", "LC_MESSAGES", "django.po")

PLACEHOLDER = re.compile(r"%\(\w+\)[a-z]|%[a-z]|\{\w*\}|</?\w+>|\b[A-Z]+_[A-Z_]+\b")


Key = str | tuple[str, int]


def read(path: Path) -> dict[Key, str]:
    """
    Return the messages of a .po file; an obsolete, fuzzy or unknown line fails.

    As gettext does: the forms of a plural by the singular and their number.
    """
    messages: dict[Key, str] = {}
    msgid, key, is_plural = "", None, False
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line or (line.startswith("#") and not line.startswith("#~")):
            assert not (line.startswith("#,") and "fuzzy" in line), f"fuzzy after {msgid!r}"
            continue
        match = re.fullmatch(r'(msgid|msgid_plural|msgstr|msgstr\[(\d)\]|)( ?".*")', line)
        assert match, f"{path.name} holds what this test can't read: {line}"
        keyword, number, text = match[1], match[2], ast.literal_eval(match[3].strip())
        if keyword == "msgid":
            msgid, key, is_plural = text, None, False
        elif keyword == "msgid_plural":
            is_plural = True
        elif keyword.startswith("msgstr"):
            key = (msgid, int(number)) if number else msgid
            assert key not in messages, f"{key!r} is there twice"
            messages[key] = text
        elif key is not None:
            messages[key] += text
        elif not is_plural:
            msgid += text
    return messages


def test_every_message_is_translated_and_keeps_its_placeholders() -> None:
    messages = read(PACKAGE / PO)
    assert len(messages) > 250
    for key, msgstr in messages.items():
        msgid = key if isinstance(key, str) else key[0]
        assert msgstr.strip(), f"{key!r} is untranslated"
        if msgid:
            expected = sorted(PLACEHOLDER.findall(msgid))
            assert sorted(PLACEHOLDER.findall(msgstr)) == expected, msgid


def test_compiled_catalogue_is_up_to_date() -> None:
    with (PACKAGE / PO).with_suffix(".mo").open("rb") as file:
        compiled = vars(gettext.GNUTranslations(file))["_catalog"]
    messages = read(PACKAGE / PO)
    # msgfmt leaves out of the header when the messages were extracted.
    del compiled[""], messages[""]
    assert compiled == messages, "Run compilemessages in infisical_azure."


@pytest.mark.django_db
def test_page_is_in_german(browser: Browser) -> None:
    with translation.override("de"):
        empty = browser.get(browser.url("connection_list")).content.decode()
        browser.connect()
        full = browser.get(browser.url("connection_list")).content.decode()
    assert "<h1>App-Verbindungen</h1>" in empty
    assert "Noch keine Verbindungen" in empty
    for page in (empty, full):
        assert "Verbindung hinzufügen" in page
        assert "Add connection" not in page
    assert "Verbindungen dieser Organisation" in full
    assert "Die Azure-Verbindung production ist bereit." in full


@pytest.mark.slow
def test_no_message_is_missing_or_left_over(tmp_path: Path) -> None:
    if shutil.which("xgettext") is None:
        reason = "THE CATALOGUE WAS NOT COMPARED: there is no xgettext. apt-get install gettext"
        if os.environ.get("CI") == "true" or os.environ.get("REQUIRE_ALL") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    copy = tmp_path / PACKAGE.name
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__", "locale"))
    (copy / "locale").mkdir()
    # -P, lest a module of the copy hides another of that name.
    command = [sys.executable, "-P", "-m", "django", "makemessages", "-l", "de", "--no-location"]
    environ = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings", "PYTHONPATH": str(ROOT)}
    subprocess.run(command, cwd=copy, env=environ, check=True, capture_output=True)
    # What makemessages starts anew has a header that calls itself fuzzy.
    fresh = copy / PO
    fresh.write_text(fresh.read_text(encoding="utf-8").replace("#, fuzzy\n", ""), encoding="utf-8")
    assert read(fresh).keys() == read(PACKAGE / PO).keys(), "Run makemessages and translate."
