"""A running demo, a real Chromium, and people who use them."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import sync_playwright

from .person import Person
from .site import Site, demo, without_azure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
_FAILED = "Failed to load resource: the server responded with a status of "
#: What Chromium says of a page that is meant to be an error: ours, or of what Graph answered.
MEANT = (f"{_FAILED}40", f"{_FAILED}502")


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with demo(tmp_path_factory.mktemp("demo")) as site:
        yield site


# One for each module: while it lives, Django refuses to use the database in this thread.
@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    if not Path(CHROMIUM).exists():
        reason = f"NO BROWSER TEST WAS RUN: there is no {CHROMIUM}. Set CHROMIUM to its path."
        if os.environ.get("CI") == "true" or os.environ.get("REQUIRE_ALL") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"],
        )
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def signed_in() -> dict[str, list[Any]]:
    """Everybody's cookies, once they have signed in."""
    return {}


@pytest.fixture
def enter(
    chromium: Browser, site: Site, signed_in: dict[str, list[Any]]
) -> Iterator[Callable[..., Person]]:
    """Give somebody who is signed in a browser; nothing may break behind them."""
    site.standin.reset()
    seen = site.log.stat().st_size
    contexts, complaints = [], []

    def enter(username: str, *, site: Site = site, **options: Any) -> Person:
        context = chromium.new_context(**{"viewport": {"width": 1280, "height": 800}, **options})
        context.set_default_timeout(10_000)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "console",
            lambda message: (
                complaints.append(message.text)
                if message.type in {"error", "warning"} and not message.text.startswith(MEANT)
                else None
            ),
        )
        person = Person(page, site)
        if username not in signed_in:
            person.sign_in(username)
            signed_in[username] = context.cookies()
        context.add_cookies(signed_in[username])
        return person

    yield enter
    for context in contexts:
        context.close()
    assert complaints == [], "The browser complained, as of a violated Content-Security-Policy."
    assert "Internal Server Error" not in site.log.read_text()[seen:]


@pytest.fixture
def adam(enter: Callable[..., Person]) -> Person:
    """An admin of Tailspin Toys."""
    return enter("adam")


@pytest.fixture(params=[True, False], ids=["js", "no-js"])
def adam_either_way(enter: Callable[..., Person], request: pytest.FixtureRequest) -> Person:
    """Adam with JavaScript, and without."""
    return enter("adam", java_script_enabled=request.param)


@pytest.fixture(scope="session")
def site_without_azure(site: Site) -> Iterator[Site]:
    """The same people and organizations, where the operator has not set up Azure."""
    with without_azure(site.log.parent) as url:
        yield replace(site, url=url)
