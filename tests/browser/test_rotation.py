"""The life of a rotation, from its form to its end."""

from __future__ import annotations

import re
import sqlite3
import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
import requests
from playwright.sync_api import expect

from tests.standin.app import App

from .person import CONTOSO
from .test_applications import TENANT_ADMIN, open_application, secret
from .test_looks import look

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Locator

    from .person import Person

pytestmark = pytest.mark.browser

ADA, OFFICER = "ada@contoso.com", "Key Vault Secrets Officer"
DELIVERED = "A new client secret is delivered and in use."


def set_up(person: Person, vault: str, name: str) -> None:
    """From the application's page to the rotation's."""
    person.link("Set up a rotation").click()
    person.field("Vault or store").fill(vault)
    person.field("Secret or key").fill(name)
    person.button("Start rotating").click()


def fact(person: Person, term: str) -> Locator:
    return person.page.locator(f"dt:text-is('{term}') + dd")


def activity(person: Person, act: str) -> Locator:
    """Return the newest entry of such an act."""
    heading = person.page.locator("h2", has_text="Activity")
    return heading.locator("+ ul > li", has_text=act).first


def in_vault(person: Person, name: str) -> str:
    """What Ada reads in the vault."""
    standin = person.site.standin
    app, redirect = App(standin), standin.registration()["redirect_uris"][0]
    code = app.code(redirect_uri=redirect)
    renewed = app.redeem(code, redirect_uri=redirect).json()["refresh_token"]
    token = app.refresh(renewed, scope="https://vault.azure.net/.default").json()["access_token"]
    found = requests.get(
        f"{standin.vault_url('contoso-vault')}/secrets/{name}/",
        {"api-version": "7.4"},
        headers={"Authorization": f"Bearer {token}"},
        timeout=10,
    )
    return str(found.json()["value"])


def test_life_of_a_rotation(adam: Person) -> None:
    standin = adam.site.standin
    open_application(adam, "rotated", "Payroll Export")
    app_id = standin.application(CONTOSO, "Payroll Export")["appId"]

    def live() -> list[str]:
        found = standin.application(CONTOSO, app_id)["secrets"]
        return [one["keyId"] for one in found if not one["is_removed"]]

    others = live()
    set_up(adam, "contoso-vault", "payroll")
    expect(adam.page.get_by_role("status")).to_have_text(DELIVERED)
    expect(adam.page.get_by_text("Works", exact=True)).to_be_visible()
    (first,) = set(live()) - set(others)
    expect(fact(adam, "In use")).to_contain_text(first)
    expect(activity(adam, "Rotate client secret")).to_contain_text(first)
    value = in_vault(adam, "payroll")
    assert standin.secret_works(CONTOSO, app_id, value)
    assert value not in adam.page.content()

    adam.button("Rotate now").click()
    expect(adam.page.get_by_role("status")).to_have_text(DELIVERED)
    expect(activity(adam, "Rotate now")).to_contain_text("by adam")
    expect(fact(adam, "Superseded")).to_contain_text("works until")
    (second,) = set(live()) - {*others, first}
    expect(fact(adam, "In use")).to_contain_text(second)
    expect(activity(adam, "Rotate client secret")).to_contain_text(second)
    assert standin.secret_works(CONTOSO, app_id, value)
    newer = in_vault(adam, "payroll")
    assert newer != value
    assert standin.secret_works(CONTOSO, app_id, newer)

    adam.button("Pause").click()
    expect(adam.page.get_by_text("Resume it in time")).to_be_visible()
    expect(fact(adam, "Superseded")).to_contain_text("once the rotation is resumed")
    adam.button("Resume").click()
    expect(adam.button("Pause")).to_be_visible()

    standin.assign_role(ADA, "contoso-vault", "")
    adam.button("Rotate now").click()
    expect(adam.page.get_by_text("That failed.")).to_be_visible()
    expect(adam.page.get_by_text("Fails", exact=True)).to_be_visible()
    expect(fact(adam, "Who must act")).to_have_text(TENANT_ADMIN)
    expect(fact(adam, "Connected account")).to_have_text(ADA)
    expect(fact(adam, "In use")).to_contain_text(second)
    expect(fact(adam, "Delivered to")).to_contain_text("lacks the new one")
    standin.assign_role(ADA, "contoso-vault", OFFICER)
    assert in_vault(adam, "payroll") == newer
    adam.button("Try again now").click()
    expect(adam.page.get_by_role("status")).to_have_text(DELIVERED)
    expect(adam.page.get_by_text("Fails", exact=True)).to_have_count(0)
    assert standin.secret_works(CONTOSO, app_id, in_vault(adam, "payroll"))

    adam.link("Back to Payroll Export").click()
    in_use = secret(adam, "rotation").filter(has_text="In use")
    expect(in_use).to_contain_text("Rotated here")
    adam.link("Open the rotation").click()
    adam.link("End").click()
    expect(adam.dialog).to_contain_text("2 superseded client secrets stay valid")
    adam.field("Type the name to confirm").fill("another")
    adam.button("End rotation").click()
    expect(adam.page.get_by_role("alert")).to_contain_text("Type Payroll Export.")
    adam.field("Type the name to confirm").fill("Payroll Export")
    adam.button("End rotation").click()
    ended = "The rotation of Payroll Export is ended."
    expect(adam.page.get_by_role("status")).to_have_text(ended)
    assert len(live()) == len(others) + 3


def date_back(person: Person, page: str, statement: str) -> None:
    """Let time pass for the rotation of a page: its rows are dated back."""
    key = page.rstrip("/").rpartition("/")[2].replace("-", "")
    with closing(sqlite3.connect(person.site.database, timeout=20)) as database, database:
        assert database.execute(statement, [key]).rowcount


def test_rotation_that_was_killed_recovers(adam: Person) -> None:
    standin = adam.site.standin
    open_application(adam, "killed", "Expense Claims")
    app_id = standin.application(CONTOSO, "Expense Claims")["appId"]

    def live() -> set[str]:
        found = standin.application(CONTOSO, app_id)["secrets"]
        return {one["keyId"] for one in found if not one["is_removed"]}

    def adds() -> int:
        return sum(one["path"].endswith("/addPassword") for one in standin.graph_requests())

    others = live()
    set_up(adam, "contoso-vault", "killed")
    expect(adam.page.get_by_role("status")).to_have_text(DELIVERED)
    page, (first,) = adam.page.url, live() - others

    # Microsoft issues the next one, and the process is killed before it has heard of it.
    adam.page.goto(standin.url)
    adam.field("In the next call that it fits:").select_option("graph_add_slow")
    adam.button("Let it happen").click()
    expect(adam.page.get_by_role("status")).to_contain_text("answers slowly")
    before = adds()
    date_back(
        adam,
        page,
        "UPDATE infisical_azure_rotation "
        "SET due_at = '2026-01-01', wake_at = '2026-01-01' WHERE id = ?",
    )
    process = adam.site.start("infisical_azure_rotate")
    give_up = time.monotonic() + 20
    while adds() == before:
        assert time.monotonic() < give_up
        time.sleep(0.05)
    process.kill()
    process.wait(timeout=10)
    (orphan,) = live() - others - {first}
    adam.page.goto(page)
    expect(fact(adam, "In use")).to_contain_text(first)
    expect(fact(adam, "Being made")).to_contain_text("Microsoft is asked to issue it.")
    assert standin.secret_works(CONTOSO, app_id, in_vault(adam, "killed"))
    adam.button("Try again now").click()
    expect(adam.page.get_by_role("status")).to_contain_text("Look again in a minute")

    # Two minutes later: the lease is over, and what Microsoft shows can be relied on.
    date_back(adam, page, "UPDATE infisical_azure_rotation SET lease_until = NULL WHERE id = ?")
    date_back(
        adam,
        page,
        "UPDATE infisical_azure_rotatedsecret SET asked_at = datetime(asked_at, '-2 minutes') "
        "WHERE rotation_id = ? AND asked_at IS NOT NULL",
    )
    adam.button("Try again now").click()
    expect(adam.page.get_by_role("status")).to_have_text(DELIVERED)
    (second,) = live() - others - {first}
    assert second != orphan
    expect(fact(adam, "In use")).to_contain_text(second)
    assert standin.secret_works(CONTOSO, app_id, in_vault(adam, "killed"))


def test_destinations_come_and_go(adam: Person) -> None:
    standin = adam.site.standin
    open_application(adam, "destinations", "Grafana")
    set_up(adam, "contoso-vault", "dashboards")
    expect(adam.page.get_by_role("status")).to_have_text(DELIVERED)
    adam.link("Add destination").click()
    look(adam.page)
    adam.field("Deliver it to").select_option(label="App Configuration reference to Key Vault")
    adam.field("Vault or store").fill("no")
    adam.field("Secret or key").fill("dashboards:secret")
    adam.button("Add destination").click()
    expect(adam.page.get_by_role("alert")).to_contain_text("5 to 50 letters")
    look(adam.page)
    adam.field("Vault or store").fill("contoso-config")
    adam.button("Add destination").click()
    expect(fact(adam, "Delivered to")).to_contain_text("nothing yet")
    adam.button("Rotate now").click()
    expect(adam.page.get_by_role("status")).to_have_text(DELIVERED)
    expect(fact(adam, "Delivered to")).not_to_contain_text("nothing yet")
    expect(fact(adam, "Delivered to")).to_contain_text("refers to contoso-vault / dashboards")
    look(adam.page)
    app_id = standin.application(CONTOSO, "Grafana")["appId"]
    assert standin.secret_works(CONTOSO, app_id, in_vault(adam, "dashboards"))

    adam.link("Change the interval").click()
    adam.field("Replace it every").select_option(label="90 days")
    adam.field("Lifetime").select_option(label="90 days")
    adam.button("Save").click()
    expect(adam.page.get_by_role("alert")).to_contain_text("choose one of 138 days or more")
    look(adam.page)
    adam.field("Lifetime").select_option(label="180 days")
    adam.button("Save").click()
    expect(fact(adam, "Interval")).to_contain_text("Every 90 days")

    adam.link("Remove contoso-config / dashboards:secret").click()
    expect(adam.dialog).to_have_accessible_name(
        "Deliver no longer to contoso-config / dashboards:secret?"
    )
    look(adam.page)
    adam.button("Remove destination").click()
    expect(adam.page.get_by_role("status")).to_have_text("The destination is removed.")
    adam.link("Remove contoso-vault / dashboards").click()
    expect(adam.dialog).to_have_accessible_name(
        "contoso-vault / dashboards is the only destination"
    )
    look(adam.page)


def test_rotation_without_javascript(enter: Callable[..., Person]) -> None:
    adam = enter("adam", java_script_enabled=False)
    standin = adam.site.standin
    open_application(adam, "rotated-no-js", "Expense Claims")
    set_up(adam, "contoso vault", "")
    errors = adam.page.get_by_role("alert")
    expect(errors).to_contain_text("A vault's name has 3 to 24 letters, digits and hyphens.")
    expect(errors).to_contain_text("Enter the name of the secret or key.")
    place = adam.page.get_by_role("textbox", name="Vault or store")
    expect(place).to_have_accessible_description(re.compile("letters, digits and hyphens"))
    place.fill("contoso-vault")
    adam.field("Secret or key").fill("expenses")
    adam.button("Start rotating").click()
    expect(adam.page.get_by_role("status")).to_have_text(DELIVERED)
    app_id = standin.application(CONTOSO, "Expense Claims")["appId"]
    assert standin.secret_works(CONTOSO, app_id, in_vault(adam, "expenses"))
    adam.link("End").click()
    expect(adam.heading("End the rotation of Expense Claims?")).to_be_visible()
    adam.field("Type the name to confirm").fill("Expense Claims")
    adam.button("End rotation").click()
    expect(adam.page.get_by_role("status")).to_contain_text("is ended")


def test_vault_that_does_not_answer_may_be_misnamed(adam: Person) -> None:
    open_application(adam, "unreached", "Grafana")
    adam.site.standin.fault("key_vault_unavailable", times=None)
    set_up(adam, "contoso-vault", "grafana")
    expect(adam.page.get_by_text("The destination could not be reached")).to_be_visible()
    expect(fact(adam, "Who must act")).to_have_text("You")
    expect(fact(adam, "In use")).to_have_text("None yet")
    expect(fact(adam, "Being made")).to_contain_text("To be delivered")
    adam.link("End").click()
    expect(adam.dialog).to_contain_text("being made is removed")
