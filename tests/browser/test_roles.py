"""Who sees what, and what those who may can do with a connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

if TYPE_CHECKING:
    from collections.abc import Callable

    from .person import Person

pytestmark = pytest.mark.browser


def test_member_sees_no_tab(enter: Callable[..., Person]) -> None:
    mia = enter("mia")
    mia.go_to_settings()
    expect(mia.link("Members")).to_be_visible()
    expect(mia.link("App Connections")).to_have_count(0)
    answer = mia.page.goto(f"{mia.page.url}app-connections/")
    assert answer is not None
    assert answer.status == 403
    expect(mia.heading("This page is not yours to open")).to_be_visible()


def test_stranger_finds_nothing(enter: Callable[..., Person]) -> None:
    adam, nora = enter("adam"), enter("nora")
    adam.go_to_connections()
    for address in (adam.page.url, f"{adam.page.url}add/azure/"):
        # Asked for, not shown: in DEBUG the page for it is Django's, with an inline style.
        assert nora.page.request.get(address).status == 404


def test_nobody_can_submit_before_the_operator_has_set_up_azure(
    enter: Callable[..., Person], site_without_azure: object
) -> None:
    adam = enter("adam", site=site_without_azure)
    adam.go_to_connections()
    adam.choose_azure()
    expect(adam.page.get_by_text("This site isn't set up for Azure yet")).to_be_visible()
    expect(adam.page.get_by_text("INF_APP_CONNECTION_AZURE_CLIENT_ID")).to_be_visible()
    expect(adam.button("Connect to Azure")).to_be_disabled()


def test_removal_wants_the_name(adam_either_way: Person, request: pytest.FixtureRequest) -> None:
    adam, name = adam_either_way, f"to-remove-{request.node.callspec.id}"
    adam.connect(name)
    adam.link(name).click()
    adam.link("Remove").click()
    expect(adam.heading(f"Remove {name}?")).to_be_visible()
    adam.field("Type the name to confirm").fill("another")
    adam.button("Remove connection").click()
    expect(adam.page.get_by_role("alert")).to_contain_text(f"Type {name}.")
    adam.field("Type the name to confirm").fill(name)
    adam.button("Remove connection").click()
    expect(adam.page.get_by_role("status")).to_have_text(f"The connection {name} is removed.")
    expect(adam.link(name)).to_have_count(0)


def test_details_are_edited(adam_either_way: Person, request: pytest.FixtureRequest) -> None:
    adam, name = adam_either_way, f"to-edit-{request.node.callspec.id}"
    adam.connect(name)
    adam.link(name).click()
    adam.link("Edit details").click()
    adam.field("Name").fill(f"{name}-edited")
    adam.field("Description").fill("Said better")
    adam.button("Save").click()
    expect(adam.heading(f"{name}-edited")).to_be_visible()
    expect(adam.page.get_by_text("Said better")).to_be_visible()
    expect(adam.page.get_by_role("status")).to_contain_text("are saved")
