"""What comes back wrong from Microsoft lands on a page that leads on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from .person import ADA, MAX

if TYPE_CHECKING:
    from .person import Person

pytestmark = pytest.mark.browser

YOU, NOBODY = "You", "Nobody: waiting is enough"
TENANT_ADMIN = "An administrator of your Azure directory"


def read_problem(person: Person, title: str, actor: str) -> None:
    expect(person.heading(title)).to_be_visible()
    expect(person.page.get_by_role("definition").first).to_have_text(actor)
    expect(person.page.get_by_text("Nothing was saved.")).to_be_visible()
    person.page.get_by_text("Details for support").click()
    expect(person.page.get_by_text("Reference", exact=True)).to_be_visible()


def try_again(person: Person, name: str) -> None:
    """Find the form filled in, and succeed with it."""
    person.link("Try again").click()
    expect(person.field("Name")).to_have_value(name)
    expect(person.field("Description")).to_have_value(f"About {name}")
    expect(person.field("Directory (tenant) ID")).to_have_value(
        "5f3c1e0a-7b1d-4c55-9d0e-2a6c8f4b1c01"
    )
    person.button("Connect to Azure").click()
    person.pick(ADA)
    person.button("Accept").click()
    expect(person.page.get_by_role("status")).to_have_text(f"Azure connection {name} is ready.")


def ask_for(person: Person, name: str) -> None:
    person.go_to_connections()
    person.ask_for(name, f"About {name}", "contoso.com")


def test_cancelled_on_the_first_page(
    adam_either_way: Person, request: pytest.FixtureRequest
) -> None:
    adam, name = adam_either_way, f"cancelled-{request.node.callspec.id}"
    ask_for(adam, name)
    adam.button("Cancel").click()
    read_problem(adam, "You cancelled at Microsoft", YOU)
    try_again(adam, name)


@pytest.mark.parametrize(
    ("answer", "title"),
    [("Cancel", "You cancelled at Microsoft"), ("Decline", "You declined the permissions")],
)
def test_permissions_refused(adam: Person, answer: str, title: str) -> None:
    name = f"refused-by-{answer.lower()}"
    ask_for(adam, name)
    adam.pick(ADA)
    adam.button(answer).click()
    read_problem(adam, title, YOU)
    expect(adam.page.get_by_role("link", name="/adminconsent")).to_be_visible()
    try_again(adam, name)


def test_member_needs_an_administrator(adam: Person) -> None:
    ask_for(adam, "needs-approval")
    adam.pick(MAX)
    expect(adam.heading("Need admin approval")).to_be_visible()
    adam.button("Return to the application without granting consent").click()
    read_problem(adam, "You cancelled at Microsoft", YOU)
    expect(
        adam.page.get_by_text("administrator's approval, send the approval link")
    ).to_be_visible()
    # Somebody who may, follows the link; then the member can connect.
    approval = adam.page.get_by_role("link", name="/adminconsent").inner_text()
    again = adam.page.url
    adam.page.goto(approval)
    adam.grant(ADA)
    expect(adam.heading("Thank you for your approval")).to_be_visible()
    adam.page.goto(again)
    adam.link("Try again").click()
    adam.button("Connect to Azure").click()
    adam.pick(MAX)
    expect(adam.row("needs-approval")).to_contain_text("Max Member")
    expect(adam.row("needs-approval")).to_contain_text("Ready")


def test_microsoft_says_that_an_administrator_must_approve(adam: Person) -> None:
    ask_for(adam, "must-be-approved")
    adam.plan_fault("An administrator has to approve")
    adam.grant(ADA)
    read_problem(adam, "An administrator must approve first", TENANT_ADMIN)
    expect(adam.page.get_by_text("AADSTS90094")).to_be_visible()
    expect(adam.page.get_by_role("link", name="/adminconsent")).to_be_visible()
    adam.site.standin.reset()
    try_again(adam, "must-be-approved")


def test_token_endpoint_is_down(adam: Person) -> None:
    ask_for(adam, "was-down")
    adam.plan_fault("Microsoft's token endpoint is down (503)")
    adam.grant(ADA)
    read_problem(adam, "Microsoft could not be reached", NOBODY)
    adam.site.standin.reset()
    try_again(adam, "was-down")


def test_answer_opened_twice(adam: Person) -> None:
    ask_for(adam, "opened-twice")
    with adam.page.expect_request(lambda request: "/oauth/callback?" in request.url) as answer:
        adam.grant(ADA)
    expect(adam.row("opened-twice")).to_contain_text("Ready")
    adam.page.goto(answer.value.url)
    expect(adam.heading("This sign-in was already completed")).to_be_visible()
    assert "code=" not in adam.page.url
