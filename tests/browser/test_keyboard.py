"""The same with the keyboard alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from .person import CONTOSO

if TYPE_CHECKING:
    from playwright.sync_api import Locator

    from .person import Person

pytestmark = pytest.mark.browser

OUTLINE = "e => e.matches(':focus-visible') && parseFloat(getComputedStyle(e).outlineWidth) >= 2"


def tab_to(person: Person, target: Locator) -> None:
    """Press Tab until the target has the focus, and shows it."""
    for _ in range(30):
        if target.evaluate("e => e === document.activeElement"):
            assert target.evaluate(OUTLINE), "The focus cannot be seen."
            return
        person.page.keyboard.press("Tab")
    pytest.fail(f"Tab never reaches {target}.")


def press(person: Person, target: Locator, key: str = "Enter") -> None:
    tab_to(person, target)
    person.page.keyboard.press(key)


def test_keyboard_connects(adam_either_way: Person, request: pytest.FixtureRequest) -> None:
    adam, name = adam_either_way, f"keyboard-{request.node.callspec.id}"
    adam.go_to_settings()
    keyboard = adam.page.keyboard
    press(adam, adam.link("App Connections"))
    press(adam, adam.link("Add connection"))
    press(adam, adam.page.get_by_role("link", name="Azure Client Secrets"))
    tab_to(adam, adam.field("Name"))
    keyboard.type(name)
    tab_to(adam, adam.field("Description"))
    keyboard.type("Typed")
    tab_to(adam, adam.field("Directory (tenant) ID"))
    keyboard.type(CONTOSO)
    press(adam, adam.button("Connect to Azure"), "Space")
    # No further look at outlines: from here on they are Microsoft's.
    adam.page.get_by_role("button", name="Ada Admin").press("Enter")
    adam.button("Accept").press("Enter")
    expect(adam.row(name)).to_contain_text("Ready")


def test_focus_moves_into_the_dialog_and_returns(adam: Person) -> None:
    adam.go_to_connections()
    opener = adam.link("Add connection")
    press(adam, opener)
    option = adam.page.get_by_role("link", name="Azure Client Secrets")
    expect(option).to_be_focused()
    adam.page.keyboard.press("Escape")
    expect(adam.dialog).to_have_count(0)
    expect(opener).to_be_focused()
    press(adam, opener)
    press(adam, option)
    expect(adam.field("Name")).to_be_focused()
    press(adam, adam.link("Cancel"))
    expect(adam.dialog).to_have_count(0)
    expect(opener).to_be_focused()
    press(adam, opener)
    press(adam, adam.button("Close"), "Space")
    expect(adam.dialog).to_have_count(0)
    expect(opener).to_be_focused()


def test_keyboard_adds_and_removes_a_client_secret(
    adam_either_way: Person, request: pytest.FixtureRequest
) -> None:
    adam, name = adam_either_way, f"keyboard-secret-{request.node.callspec.id}"
    adam.connect(name)
    keyboard = adam.page.keyboard
    press(adam, adam.link(name))
    press(adam, adam.page.get_by_role("link", name="Applications"))
    tab_to(adam, adam.field("Name or application (client) ID"))
    keyboard.type("Canteen")
    keyboard.press("Enter")
    press(adam, adam.link("Canteen Menu Screen"))
    press(adam, adam.link("Add client secret"))
    tab_to(adam, adam.field("Name"))
    keyboard.type("kiosk")
    press(adam, adam.button("Add client secret"), "Space")
    expect(adam.field("Value")).to_be_visible()
    tab_to(adam, adam.field("Value"))
    press(adam, adam.button("Done: I have saved it"))
    opener = adam.link("Remove kiosk")
    press(adam, opener)
    field = adam.field("Type the name to confirm")
    if adam.dialog.count():
        expect(field).to_be_focused()
        keyboard.press("Escape")
        expect(opener).to_be_focused()
        press(adam, opener)
    tab_to(adam, field)
    keyboard.type("kiosk")
    keyboard.press("Enter")
    expect(adam.page.get_by_role("status")).to_contain_text("kiosk is removed")


def test_tab_stays_in_the_dialog(adam: Person) -> None:
    adam.go_to_connections()
    adam.choose_azure()
    behind = adam.page.get_by_role("link", name="Members", include_hidden=True)
    for _ in range(12):
        adam.page.keyboard.press("Tab")
        assert not behind.evaluate("e => e === document.activeElement")
        assert adam.page.evaluate(
            "document.activeElement === document.body || "
            "document.activeElement.closest('dialog') !== null"
        )


def test_enter_in_a_field_submits(adam: Person) -> None:
    adam.go_to_connections()
    adam.choose_azure()
    adam.fill_form("by-enter")
    adam.field("Name").press("Enter")
    expect(adam.heading("Pick an account")).to_be_visible()
