"""Somebody at a browser, who reads labels, roles and texts and nothing else."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from playwright.sync_api import Page, expect

if TYPE_CHECKING:
    from playwright.sync_api import Locator

    from .site import Site

CONTOSO = "5f3c1e0a-7b1d-4c55-9d0e-2a6c8f4b1c01"
FABRIKAM = "fabrikam.com"
ADA, MAX, FAYE = "Ada Admin", "Max Member", "Faye Foster"


class Person:
    """One person with one window; everything they do is found by what it says."""

    def __init__(self, page: Page, site: Site) -> None:
        self.page, self.site = page, site

    # Finding

    def link(self, name: str) -> Locator:
        return self.page.get_by_role("link", name=name, exact=True)

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name, exact=True)

    def heading(self, name: str | re.Pattern[str]) -> Locator:
        return self.page.get_by_role("heading", name=name)

    def field(self, label: str) -> Locator:
        return self.page.get_by_label(label)

    def row(self, name: str) -> Locator:
        """The row of a connection in the list."""
        return self.page.get_by_role("row").filter(has=self.link(name))

    @property
    def dialog(self) -> Locator:
        return self.page.get_by_role("dialog")

    # On the site

    def sign_in(self, username: str) -> None:
        self.page.goto(self.site.url)
        self.field("Username").fill(username)
        self.field("Password").fill("demo")
        self.button("Sign in").click()
        expect(self.heading("Organizations")).to_be_visible()

    def go_to_settings(self) -> None:
        self.page.goto(self.site.url)
        self.link("Tailspin Toys").click()

    def go_to_connections(self, organization: str = "tailspin-toys") -> None:
        """Open the tab, as by a bookmark."""
        self.page.goto(f"{self.site.url}/organization/{organization}/app-connections/")
        expect(self.heading("App Connections")).to_be_visible()

    def choose_azure(self) -> None:
        """From the list to the form."""
        self.link("Add connection").click()
        self.page.get_by_role("link", name="Azure Client Secrets").click()
        expect(self.heading("Connect to Azure")).to_be_visible()

    def fill_form(self, name: str, description: str = "", directory: str = CONTOSO) -> None:
        self.field("Name").fill(name)
        self.field("Description").fill(description)
        self.field("Directory (tenant) ID").fill(directory)

    def ask_for(self, name: str, description: str = "", directory: str = CONTOSO) -> None:
        """From the list to Microsoft."""
        self.choose_azure()
        self.fill_form(name, description, directory)
        self.button("Connect to Azure").click()
        expect(self.heading("Pick an account")).to_be_visible()

    # At Microsoft

    def plan_fault(self, label: str) -> None:
        self.page.get_by_text("Make something go wrong").click()
        self.field("In this sign-in").select_option(label=label)

    def pick(self, account: str) -> None:
        self.page.get_by_role("button", name=account).click()

    def grant(self, account: str = ADA) -> None:
        """Pick an account that has not consented yet, and accept."""
        self.pick(account)
        self.button("Accept").click()

    # Both

    def connect(
        self, name: str, description: str = "", directory: str = CONTOSO, fault: str = ""
    ) -> None:
        """Make a connection, from wherever one is."""
        self.site.standin.reset()
        self.go_to_connections()
        self.ask_for(name, description, directory)
        if fault:
            self.plan_fault(fault)
        self.grant(FAYE if directory == FABRIKAM else ADA)
        expect(self.page.get_by_role("status")).to_contain_text(name)
