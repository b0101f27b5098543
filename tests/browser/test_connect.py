"""From the settings page to a connection that works."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from .person import ADA, CONTOSO, FABRIKAM, FAYE

if TYPE_CHECKING:
    from collections.abc import Callable

    from .person import Person

pytestmark = pytest.mark.browser


def test_admin_connects_in_one_go(adam_either_way: Person, request: pytest.FixtureRequest) -> None:
    adam, name = adam_either_way, f"in-one-go-{request.node.callspec.id}"
    adam.page.context.clear_cookies()
    adam.sign_in("adam")
    adam.go_to_settings()
    adam.link("App Connections").click()
    adam.link("Add connection").click()
    adam.page.get_by_role("link", name="Azure Client Secrets").click()
    adam.field("Name").fill(name)
    adam.field("Description").fill("Client secrets of the web shop")
    adam.field("Directory (tenant) ID").fill(f" {CONTOSO} ")
    adam.button("Connect to Azure").click()
    adam.grant(ADA)
    expect(adam.page.get_by_role("status")).to_have_text(f"Azure connection {name} is ready.")
    row = adam.row(name)
    for text in ("Client secrets of the web shop", "Contoso", "contoso.com", "Ada Admin"):
        expect(row).to_contain_text(text)
    for text in ("by Adam Adeyemi", "Ready", "New"):
        expect(row).to_contain_text(text)


def test_dialog_is_used_only_with_javascript(adam_either_way: Person) -> None:
    adam = adam_either_way
    adam.go_to_connections()
    address = adam.page.url
    adam.choose_azure()
    if adam.page.get_by_role("dialog").count():
        assert adam.page.url == address
        expect(adam.dialog).to_have_accessible_name("Connect to Azure")
        adam.button("Close").click()
    else:
        assert adam.page.url == f"{address}add/azure/"
        adam.link("Cancel").click()
    expect(adam.heading("App Connections")).to_be_visible()
    expect(adam.dialog).to_have_count(0)


def test_way_to_microsoft_is_open_under_form_action_self(adam_either_way: Person) -> None:
    adam = adam_either_way
    adam.go_to_connections()
    adam.choose_azure()
    policy = adam.page.request.get(adam.page.url).headers["content-security-policy"]
    assert "form-action 'self'" in policy
    adam.fill_form("under-a-policy")
    adam.button("Connect to Azure").click()
    expect(adam.heading("Pick an account")).to_be_visible()
    assert adam.page.url.startswith(adam.site.standin.url)


def test_error_is_said_in_place_and_focused(adam: Person) -> None:
    adam.go_to_connections()
    adam.choose_azure()
    adam.fill_form("Not a slug", "Kept as it was typed", "nowhere.example")
    adam.button("Connect to Azure").click()
    summary = adam.dialog.get_by_role("alert")
    expect(summary).to_be_focused()
    expect(summary).to_contain_text("Use lower-case letters")
    expect(adam.field("Name")).to_have_value("Not a slug")
    expect(adam.field("Name")).to_have_accessible_description(re.compile("Use lower-case letters"))
    summary.get_by_role("link", name="Name").click()
    expect(adam.field("Name")).to_be_focused()
    adam.field("Name").fill("a-slug")
    adam.button("Connect to Azure").click()
    expect(adam.dialog.get_by_role("alert")).to_contain_text("no directory “nowhere.example”")
    expect(adam.field("Description")).to_have_value("Kept as it was typed")
    adam.field("Directory (tenant) ID").fill(FABRIKAM)
    adam.button("Connect to Azure").click()
    adam.grant(FAYE)
    expect(adam.page.get_by_role("status")).to_have_text("Azure connection a-slug is ready.")


def test_double_click_makes_one_connection(
    adam_either_way: Person, request: pytest.FixtureRequest
) -> None:
    adam, name = adam_either_way, f"double-{request.node.callspec.id}"
    adam.go_to_connections()
    adam.choose_azure()
    adam.fill_form(name)
    adam.button("Connect to Azure").dblclick()
    adam.grant()
    expect(adam.page.get_by_role("status")).to_have_text(f"Azure connection {name} is ready.")
    expect(adam.row(name)).to_have_count(1)


def test_back_button_leads_to_the_list(adam: Person) -> None:
    adam.go_to_connections()
    adam.ask_for("went-back")
    adam.page.go_back()
    expect(adam.heading("App Connections")).to_be_visible()
    adam.ask_for("went-back")
    adam.grant()
    expect(adam.row("went-back")).to_contain_text("Ready")


def test_connection_without_every_permission_says_which(adam: Person) -> None:
    adam.connect("lacking", fault="The grant has too few permissions (only User.Read)")
    expect(adam.page.get_by_role("status")).to_contain_text("but a permission is missing")
    expect(adam.row("lacking")).to_contain_text("Permission missing")
    expect(adam.row("lacking")).to_contain_text("Directory.ReadWrite.All")
    adam.link("lacking").click()
    expect(adam.page.get_by_text("Not everything was granted")).to_be_visible()
    adam.page.get_by_role("link", name="/adminconsent").click()
    expect(adam.heading("Pick an account")).to_be_visible()


def test_reconnecting_keeps_the_connection(
    adam_either_way: Person, request: pytest.FixtureRequest
) -> None:
    adam, name = adam_either_way, f"reconnected-{request.node.callspec.id}"
    adam.connect(name, fault="The grant has too few permissions (only User.Read)")
    adam.link(name).click()
    adam.link("Reconnect").click()
    adam.button("Reconnect to Azure").click()
    adam.pick(ADA)
    expect(adam.page.get_by_role("status")).to_contain_text(name)
    expect(adam.row(name)).to_contain_text("Ready")


def test_signed_out_person_signs_in_and_comes_back(enter: Callable[..., Person]) -> None:
    adam = enter("adam")
    adam.go_to_connections()
    address = urlsplit(adam.page.url).path
    adam.page.context.clear_cookies()
    adam.link("Add connection").click()
    adam.field("Username").fill("adam")
    adam.field("Password").fill("demo")
    adam.button("Sign in").click()
    expect(adam.heading("Add connection")).to_be_visible()
    assert urlsplit(adam.page.url).path == f"{address}add/"
