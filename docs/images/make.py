"""Take the pictures of README.rst: ``python -m docs.images.make``, from the project's root."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from playwright.sync_api import expect, sync_playwright

from tests.browser.person import FABRIKAM, Person
from tests.browser.site import demo

FOLDER = Path(__file__).parent
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")


def take(person: Person) -> None:
    person.sign_in("adam")
    person.connect("partner-directory", "Single sign-on of our resellers", FABRIKAM)
    person.connect(
        "staging-azure",
        "The rehearsal of every release",
        fault="The grant has too few permissions (only User.Read)",
    )
    person.connect("production-azure", "Client secrets of the web shop and its warehouse")
    person.page.screenshot(path=FOLDER / "app-connections-tab.png")
    person.choose_azure()
    person.fill_form("reporting-azure", "Nightly reports to the board")
    person.field("Name").focus()
    expect(person.dialog).to_be_visible()
    person.page.screenshot(path=FOLDER / "add-connection-dialog.png")


def main() -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        demo(Path(folder)) as site,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport={"width": 1280, "height": 720}, color_scheme="light")
        take(Person(page, site))


if __name__ == "__main__":
    main()
