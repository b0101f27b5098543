"""A directory's applications, and the whole life of a client secret."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Error, expect

from .person import CONTOSO, MAX

if TYPE_CHECKING:
    from playwright.sync_api import Locator

    from .person import Person

pytestmark = pytest.mark.browser

SEARCH = "Name or application (client) ID"
TENANT_ADMIN = "An administrator of your Azure directory"


def open_applications(person: Person, name: str) -> None:
    """Connect, and go on to the list from the connection's page."""
    person.connect(name)
    person.link(name).click()
    person.page.get_by_role("link", name="Applications").click()
    expect(person.heading("Applications")).to_be_visible()


def search(person: Person, words: str) -> None:
    person.field(SEARCH).fill(words)
    person.button("Search").click()


def open_application(person: Person, connection: str, application: str) -> None:
    open_applications(person, connection)
    search(person, application)
    person.link(application).click()
    expect(person.heading(application)).to_be_visible()


def names(person: Person) -> list[str]:
    return person.page.get_by_role("rowheader").all_inner_texts()


def secret(person: Person, name: str) -> Locator:
    """The row of a client secret."""
    return person.page.get_by_role("row").filter(
        has=person.page.get_by_role("rowheader", name=re.compile(rf"^{re.escape(name)}\b"))
    )


def add(person: Person, name: str, lifetime: str = "180 days") -> None:
    """From the application's page to the answer."""
    person.link("Add client secret").click()
    person.field("Name").fill(name)
    person.field("Lifetime").select_option(label=lifetime)
    person.button("Add client secret").click()


def read_obstacle(person: Person, title: str, actor: str) -> None:
    expect(person.heading(title)).to_be_visible()
    expect(person.page.get_by_role("definition").first).to_have_text(actor)


def test_list_is_paged_and_searched(adam: Person) -> None:
    standin = adam.site.standin
    open_applications(adam, "listed")
    first = names(adam)
    adam.link("Next page").click()
    expect(adam.link("First page")).to_be_visible()
    second = names(adam)
    adam.link("Next page").click()
    expect(adam.link("Next page")).to_have_count(0)
    everything = {application["displayName"] for application in standin.applications(CONTOSO)}
    assert len(everything) == 60
    assert {*first, *second, *names(adam)} == everything
    adam.link("First page").click()
    expect(adam.page.get_by_role("rowheader").first).to_have_text(first[0])
    search(adam, "warehouse")
    expect(adam.page.get_by_role("rowheader")).to_have_text(
        ["Data Warehouse Loader", "Warehouse Scanner", "Warehouse Scanner API"]
    )
    expect(adam.row("Data Warehouse Loader")).to_contain_text("(1 expired)")
    expect(adam.field(SEARCH)).to_have_value("warehouse")
    search(adam, standin.application(CONTOSO, "Grafana")["appId"])
    expect(adam.page.get_by_role("rowheader")).to_have_text(["Grafana"])
    search(adam, "zebra")
    expect(adam.heading("Nothing found")).to_be_visible()
    adam.link("Show all").click()
    expect(adam.page.get_by_role("rowheader").first).to_have_text(first[0])


def test_value_is_copied_works_and_is_not_shown_again(adam: Person) -> None:
    adam.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    standin = adam.site.standin
    open_application(adam, "copied", "Payroll Export")
    app_id = standin.application(CONTOSO, "Payroll Export")["appId"]
    add(adam, "build server")
    expect(adam.field("Value")).to_be_focused()
    value = adam.field("Value").input_value()
    assert standin.secret_works(CONTOSO, app_id, value)
    adam.button("Copy").click()
    expect(adam.button("Copied")).to_be_visible()
    assert adam.page.evaluate("navigator.clipboard.readText()") == value
    key = standin.application(CONTOSO, app_id)["secrets"][-1]["keyId"]
    expect(adam.page.get_by_text(key)).to_be_visible()
    adam.button("Done: I have saved it").click()
    expect(secret(adam, "build server")).to_contain_text("Issued here")
    expect(secret(adam, "build server")).to_contain_text(key)
    history = adam.page.get_by_role("listitem").filter(has_text="Issue client secret: build server")
    expect(history).to_contain_text("by adam")
    expect(history).to_contain_text(key)
    assert value not in adam.page.content()
    # The browser has no copy to go back to, and asks whether to send the form again.
    with pytest.raises(Error, match="ERR_CACHE_MISS"):
        adam.page.go_back()


def test_life_of_a_secret(adam_either_way: Person, request: pytest.FixtureRequest) -> None:
    adam, standin = adam_either_way, adam_either_way.site.standin
    open_application(adam, f"life-{request.node.callspec.id}", "Absence Calendar Sync")
    app_id = standin.application(CONTOSO, "Absence Calendar Sync")["appId"]
    expect(adam.heading("No client secrets")).to_be_visible()
    add(adam, "calendar", "30 days")
    value = adam.field("Value").input_value()
    adam.page.reload()
    expect(adam.field("Value")).to_have_value(value)
    adam.button("Done: I have saved it").click()
    assert value not in adam.page.content()
    expect(secret(adam, "calendar")).to_have_count(1)
    expect(secret(adam, "calendar")).to_contain_text("Expires in 29 days")
    adam.link("Remove calendar").click()
    expect(adam.heading("Remove the client secret “calendar”?")).to_be_visible()
    adam.field("Type the name to confirm").fill("another")
    adam.button("Remove client secret").click()
    expect(adam.page.get_by_role("alert")).to_contain_text("Type calendar.")
    assert standin.secret_works(CONTOSO, app_id, value)
    adam.field("Type the name to confirm").fill("calendar")
    adam.button("Remove client secret").click()
    expect(adam.page.get_by_role("status")).to_have_text("The client secret calendar is removed.")
    expect(adam.heading("No client secrets")).to_be_visible()
    expect(
        adam.page.get_by_role("listitem").filter(has_text="Remove client secret: calendar")
    ).to_be_visible()
    assert not standin.secret_works(CONTOSO, app_id, value)


def test_lifetime_that_a_policy_forbids_is_said_at_the_field(adam: Person) -> None:
    open_application(adam, "too-long", "HR Portal")
    adam.site.standin.graph_policy(CONTOSO, max_lifetime_days=90)
    add(adam, "policed", "1 year")
    expect(adam.page.get_by_role("alert")).to_be_focused()
    lifetime = adam.page.get_by_role("combobox", name="Lifetime")
    expect(lifetime).to_have_accessible_description(re.compile("Choose a shorter lifetime"))
    expect(lifetime).to_have_value("365")
    lifetime.select_option(label="90 days")
    adam.button("Add client secret").click()
    expect(adam.field("Value")).to_be_visible()
    adam.button("Done: I have saved it").click()
    refused = adam.page.get_by_role("listitem").filter(has_text="Issue client secret: policed")
    expect(refused.filter(has_text="Failed")).to_have_count(1)


def test_account_that_may_not_is_told_who_must_act(adam: Person) -> None:
    adam.connect("not-mine")
    adam.site.standin.grant_consent(CONTOSO)
    adam.link("not-mine").click()
    adam.link("Reconnect").click()
    adam.field("Another account or directory may take this connection over").check()
    adam.button("Reconnect to Azure").click()
    adam.pick(MAX)
    expect(adam.row("not-mine")).to_contain_text(MAX)
    adam.link("not-mine").click()
    adam.page.get_by_role("link", name="Applications").click()
    search(adam, "Expense Claims")
    adam.link("Expense Claims").click()
    add(adam, "refused")
    read_obstacle(adam, "The connected account may not do this", TENANT_ADMIN)
    expect(adam.page.get_by_text("owner of the application")).to_be_visible()
    adam.link("Look at the application").click()
    refused = adam.page.get_by_role("listitem").filter(has_text="Issue client secret: refused")
    expect(refused).to_contain_text("Failed")


def test_lost_answer_is_called_uncertain(adam: Person) -> None:
    open_application(adam, "lost", "Fleet Telematics")
    adam.site.standin.fault("graph_add_lost")
    add(adam, "lost one")
    read_obstacle(adam, "Microsoft did not answer", "You")
    expect(adam.page.get_by_text("may have been made all the same")).to_be_visible()
    adam.link("Look at the application").click()
    expect(secret(adam, "lost one")).not_to_contain_text("Issued here")
    lost = adam.page.get_by_role("listitem").filter(has_text="Issue client secret: lost one")
    expect(lost).to_contain_text("Uncertain")


def test_ways_on_where_nothing_can_be_read(adam: Person) -> None:
    standin = adam.site.standin
    open_applications(adam, "unreadable")
    standin.fault("graph_read_unavailable", times=None)
    adam.page.reload()
    read_obstacle(adam, "Microsoft could not be reached", "Nobody: waiting is enough")
    standin.clear_faults()
    adam.link("Try again").click()
    adam.link("Accounts Payable Robot").click()
    standin.remove_application(
        CONTOSO, standin.application(CONTOSO, "Accounts Payable Robot")["id"]
    )
    adam.page.reload()
    read_obstacle(adam, "The application is not there", "You")
    adam.link("List the applications").click()
    standin.revoke_sessions("ada@contoso.com")
    standin.fault("graph_read_unauthorized", times=None)
    adam.page.reload()
    expect(adam.heading("The connection has no access at the moment")).to_be_visible()
    adam.link("Open the connection").click()
    expect(adam.link("Reconnect")).to_be_visible()
