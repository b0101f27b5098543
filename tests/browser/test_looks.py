"""Every page for everybody: axe, narrow windows, high contrast, right to left."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from .person import FABRIKAM

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page

    from .person import Person

pytestmark = pytest.mark.browser

AXE = Axe().axe_script
RULES = ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa", "best-practice"]
OPTIONS = {"runOnly": RULES, "resultTypes": ["violations"]}
LONGEST = re.compile("^Intercompany reconciliation")
LONG_NAME, LONG_WORD = "long-" + "n" * 59, "w" * 256


def look(page: Page) -> None:
    """Find nothing wrong with a page as it is, in both schemes and at every width."""
    found = []
    page.evaluate(AXE)
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        for width in (1280, 375):
            page.set_viewport_size({"width": width, "height": 800})
            results = page.evaluate("options => axe.run(options)", OPTIONS)
            found += [
                f"{scheme} {width} {rule['id']}: {node['html'][:200]} {node['failureSummary']}"
                for rule in results["violations"]
                for node in rule["nodes"]
            ]
    page.emulate_media(color_scheme="light")
    assert found == []
    assert_fits(page)


def assert_fits(page: Page) -> None:
    """Nobody has to scroll sideways, in either direction of writing."""
    for direction in ("ltr", "rtl"):
        page.evaluate("direction => { document.documentElement.dir = direction }", direction)
        for width in (320, 375, 768, 1280):
            page.set_viewport_size({"width": width, "height": 800})
            wide = page.evaluate(
                """() => [document.scrollingElement, ...document.querySelectorAll("dialog[open]")]
                    .map(e => e.scrollWidth - e.clientWidth)"""
            )
            assert max(wide) <= 0, f"{direction} {width}: {wide}"
            outside = page.evaluate(
                """() => [...document.querySelectorAll(".infisical-azure *")].filter(e => {
                    const box = e.getBoundingClientRect()
                    return box.width > 1 && (box.left < 0 || box.right > innerWidth)
                }).map(e => e.outerHTML.slice(0, 100))"""
            )
            assert outside == [], f"{direction} {width}"
    page.evaluate("document.documentElement.dir = 'ltr'")
    page.set_viewport_size({"width": 1280, "height": 800})


def test_empty_list_and_adding(enter: Callable[..., Person]) -> None:
    nora = enter("nora")
    nora.go_to_connections("northwind-traders")
    expect(nora.heading("No connections yet")).to_be_visible()
    look(nora.page)
    address = nora.page.url
    nora.link("Add connection").click()
    expect(nora.dialog).to_have_accessible_name("Add connection")
    look(nora.page)
    nora.page.get_by_role("link", name="Azure Client Secrets").click()
    expect(nora.dialog).to_have_accessible_name("Connect to Azure")
    look(nora.page)
    nora.button("Connect to Azure").click()
    expect(nora.page.get_by_role("alert")).to_be_focused()
    look(nora.page)
    nora.page.goto(f"{address}add/")
    look(nora.page)
    nora.page.goto(f"{address}add/azure/")
    look(nora.page)
    nora.fill_form("Bad Name", "", "nowhere")
    nora.button("Connect to Azure").click()
    expect(nora.page.get_by_role("alert")).to_be_focused()
    look(nora.page)


def test_list_and_details(adam: Person) -> None:
    adam.connect(LONG_NAME, LONG_WORD, FABRIKAM)
    adam.connect("looks-lacking", fault="The grant has too few permissions (only User.Read)")
    expect(adam.row("looks-lacking")).to_contain_text("New")
    look(adam.page)
    adam.link("looks-lacking").click()
    look(adam.page)
    adam.go_to_connections()
    adam.link(LONG_NAME).click()
    expect(adam.page.get_by_text(LONG_WORD)).to_be_visible()
    look(adam.page)
    address = adam.page.url
    adam.button("Test connection").click()
    expect(adam.page.get_by_text("Works")).to_be_visible()
    look(adam.page)
    for page in ("edit", "reconnect", "remove"):
        adam.page.goto(f"{address}{page}/")
        look(adam.page)


def test_dialogs_of_a_connection(adam: Person) -> None:
    adam.connect("dialogs", fault="The grant has too few permissions (only User.Read)")
    adam.link("dialogs").click()
    for opener, title in (
        ("Reconnect", "Reconnect dialogs"),
        ("Edit details", "Edit dialogs"),
        ("Remove", "Remove dialogs?"),
    ):
        adam.link(opener).click()
        expect(adam.dialog).to_have_accessible_name(title)
        look(adam.page)
        adam.page.keyboard.press("Escape")


def test_connection_that_broke(adam: Person) -> None:
    adam.connect("broke")
    adam.link("broke").click()
    adam.site.standin.revoke_sessions("ada@contoso.com")
    adam.site.standin.fault("graph_unauthorized", times=None)
    adam.button("Test connection").click()
    expect(adam.page.get_by_text("Failed")).to_be_visible()
    look(adam.page)
    adam.link("Back to the connection").click()
    look(adam.page)


def test_problems(adam: Person) -> None:
    adam.go_to_connections()
    adam.ask_for("looks-cancelled")
    adam.button("Cancel").click()
    expect(adam.heading("You cancelled at Microsoft")).to_be_visible()
    look(adam.page)
    adam.link("Try again").click()
    adam.button("Connect to Azure").click()
    adam.plan_fault("An administrator has to approve")
    adam.grant()
    adam.page.get_by_text("Details for support").click()
    look(adam.page)
    adam.page.goto(f"{adam.site.url}/organization/app-connections/azure/oauth/callback")
    expect(adam.heading("This sign-in was not started here")).to_be_visible()
    look(adam.page)


def go_to_applications(person: Person, connection: str) -> str:
    """Connect, and return the list's address."""
    person.connect(connection)
    person.link(connection).click()
    person.page.get_by_role("link", name="Applications").click()
    expect(person.heading("Applications")).to_be_visible()
    return person.page.url


def find(person: Person, words: str) -> None:
    person.field("Name or application (client) ID").fill(words)
    person.button("Search").click()
    expect(person.link("Show all")).to_be_visible()


def test_applications(adam: Person) -> None:
    address = go_to_applications(adam, "looks-applications")
    adam.link("Next page").click()
    expect(adam.link("First page")).to_be_visible()
    look(adam.page)
    find(adam, LONG_WORD)
    expect(adam.heading("Nothing found")).to_be_visible()
    look(adam.page)
    adam.site.standin.directory(empty_pages=True)
    adam.page.goto(address)
    adam.link("Next page").click()
    expect(adam.heading("Nothing on this page")).to_be_visible()
    look(adam.page)
    find(adam, "legacy")
    adam.link("Legacy Intranet Search").click()
    expect(adam.page.get_by_text("Expires in 719 days")).to_be_visible()
    look(adam.page)


def test_pages_of_a_client_secret(adam: Person) -> None:
    go_to_applications(adam, "looks-secrets")
    find(adam, "intercompany")
    adam.page.get_by_role("link", name=LONGEST).click()
    adam.link("Add client secret").click()
    adam.button("Add client secret").click()
    expect(adam.page.get_by_role("alert")).to_be_focused()
    look(adam.page)
    adam.field("Name").fill("n" * 120)
    adam.button("Add client secret").click()
    expect(adam.field("Value")).to_be_visible()
    look(adam.page)
    adam.button("Done: I have saved it").click()
    adam.site.standin.fault("graph_add_forbidden")
    adam.link("Add client secret").click()
    adam.field("Name").fill("refused")
    adam.button("Add client secret").click()
    expect(adam.heading("The connected account may not do this")).to_be_visible()
    look(adam.page)
    adam.link("Look at the application").click()
    expect(adam.page.get_by_text("Issue client secret: refused")).to_be_visible()
    look(adam.page)


def test_pages_of_a_rotation(adam: Person) -> None:
    go_to_applications(adam, "looks-rotation")
    find(adam, "intercompany")
    adam.page.get_by_role("link", name=LONGEST).click()
    adam.link("Set up a rotation").click()
    adam.button("Start rotating").click()
    expect(adam.page.get_by_role("alert")).to_be_focused()
    look(adam.page)
    adam.field("Vault or store").fill("contoso-vault")
    adam.field("Secret or key").fill("s" * 127)
    adam.button("Start rotating").click()
    expect(adam.page.get_by_text("Works", exact=True)).to_be_visible()
    adam.button("Rotate now").click()
    expect(adam.page.get_by_text("Superseded", exact=True)).to_be_visible()
    look(adam.page)
    adam.site.standin.assign_role("ada@contoso.com", "contoso-vault", "")
    adam.button("Rotate now").click()
    expect(adam.page.get_by_text("Fails", exact=True)).to_be_visible()
    adam.button("Pause").click()
    expect(adam.page.get_by_text("Paused since")).to_be_visible()
    look(adam.page)
    adam.link("End").click()
    expect(adam.dialog).to_contain_text("being made is removed")
    look(adam.page)
    adam.page.keyboard.press("Escape")
    adam.page.get_by_role("link", name="Back to").click()
    expect(adam.link("Open the rotation")).to_be_visible()
    look(adam.page)


def test_removal_of_the_sites_own_client_secret(adam: Person) -> None:
    go_to_applications(adam, "looks-own")
    find(adam, adam.site.standin.registration()["client_id"])
    adam.page.get_by_role("rowheader").get_by_role("link").click()
    opener = adam.link("Remove production")
    address = opener.get_attribute("href")
    opener.click()
    expect(adam.dialog).to_contain_text("This site itself signs in at Microsoft with it")
    adam.button("Remove client secret").click()
    expect(adam.page.get_by_role("alert")).to_be_focused()
    look(adam.page)
    adam.page.goto(f"{adam.site.url}{address}")
    look(adam.page)


def test_form_before_the_operator_has_set_up_azure(
    enter: Callable[..., Person], site_without_azure: object
) -> None:
    adam = enter("adam", site=site_without_azure)
    adam.go_to_connections()
    address = adam.page.url
    adam.choose_azure()
    expect(adam.page.get_by_text("This site isn't set up for Azure yet")).to_be_visible()
    look(adam.page)
    adam.page.goto(f"{address}add/azure/")
    look(adam.page)


def test_table_is_a_table_at_every_width(adam: Person) -> None:
    adam.connect("tabular")
    for width in (1280, 375):
        adam.page.set_viewport_size({"width": width, "height": 800})
        table = adam.page.get_by_role("table", name="Connections of this organization")
        expect(table.get_by_role("columnheader")).to_have_text(
            ["Name", "Azure directory", "Connected account", "Connected", "Status"]
        )
        row = table.get_by_role("row").filter(has=adam.link("tabular"))
        expect(row.get_by_role("rowheader")).to_contain_text("tabular")
        expect(row.get_by_role("cell")).to_have_count(4)
    adam.page.set_viewport_size({"width": 1280, "height": 800})
    adam.link("tabular").click()
    adam.page.get_by_role("link", name="Applications").click()
    columns = ["Name", "Application (client) ID", "Client secrets", "Next expiry"]
    assert_is_table(adam.page, "Applications", columns)
    find(adam, "legacy")
    adam.link("Legacy Intranet Search").click()
    columns = ["Client secret", "Hint", "Created", "Expires", "Actions"]
    assert_is_table(adam.page, "Client secrets", columns)


def assert_is_table(page: Page, name: str, columns: list[str]) -> None:
    for width in (1280, 375):
        page.set_viewport_size({"width": width, "height": 800})
        table = page.get_by_role("table", name=name)
        expect(table.get_by_role("columnheader")).to_have_text(columns)
        row = table.get_by_role("row").nth(1)
        expect(row.get_by_role("rowheader")).to_have_count(1)
        expect(row.get_by_role("cell")).to_have_count(len(columns) - 1)
    page.set_viewport_size({"width": 1280, "height": 800})


def test_forced_colors_and_reduced_motion(enter: Callable[..., Person]) -> None:
    adam = enter("adam", forced_colors="active", reduced_motion="reduce")
    adam.connect("forced")
    status = adam.row("forced").get_by_text("Ready")
    assert status.evaluate("e => getComputedStyle(e).borderTopStyle") == "solid"
    adam.choose_azure()
    box = adam.button("Connect to Azure")
    assert box.evaluate("e => getComputedStyle(e).borderTopStyle") == "solid"
    moving = "document.getAnimations().filter(a => a.playState === 'running').length"
    assert adam.page.evaluate(moving) == 0
    assert_fits(adam.page)
    adam.page.goto(adam.page.url)
    adam.link("forced").click()
    adam.page.get_by_role("link", name="Applications").click()
    badge = adam.page.get_by_text("Expired 30 days ago")
    assert badge.evaluate("e => getComputedStyle(e).borderTopStyle") == "solid"
    assert_fits(adam.page)
    find(adam, "HR Portal")
    adam.page.get_by_role("rowheader").get_by_role("link").first.click()
    adam.link("Set up a rotation").click()
    adam.field("Vault or store").fill("contoso-vault")
    adam.field("Secret or key").fill("forced")
    adam.button("Start rotating").click()
    status = adam.page.get_by_text("Works", exact=True)
    assert status.evaluate("e => getComputedStyle(e).borderTopStyle") == "solid"
    assert_fits(adam.page)


def test_site_that_is_always_light_stays_light(adam: Person) -> None:
    adam.go_to_connections()
    adam.page.emulate_media(color_scheme="dark")
    title = adam.page.get_by_role("heading", name="App Connections")
    # As of a host that knows no dark colours, and neither ours of the example site.
    adam.page.evaluate(
        """() => {
            document.querySelector("meta[name=color-scheme]").remove()
            document.querySelector("link[href$='site.css']").remove()
        }"""
    )
    assert title.evaluate("e => getComputedStyle(e).color") == "rgb(27, 31, 36)"


def test_expiring_client_secrets(adam: Person) -> None:
    adam.connect("production")
    adam.link("Expiring client secrets").click()
    expect(adam.heading("Not known yet")).to_be_visible()
    look(adam.page)
    adam.button("Create calendar link").click()
    expect(adam.field("Calendar link")).to_have_value(re.compile(r"/feeds/[\w-]{43}\.ics$"))
    look(adam.page)
    adam.link("Done: I have kept it").click()
    adam.button("Remove calendar link").click()
    expect(adam.page.get_by_role("status")).to_contain_text("works no more")
    expect(adam.button("Create calendar link")).to_be_visible()
