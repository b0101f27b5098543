"""Random histories of a rotation: whatever happens, no gap and nobody else's secret."""

from __future__ import annotations

import json
import os
import uuid
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import responses
import time_machine
from django.contrib.auth.models import User
from django.db import transaction
from hypothesis import HealthCheck, settings, strategies
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from infisical_azure import rotation as engine
from infisical_azure import watch
from infisical_azure.models import AppConnection, RotatedSecret, Rotation, shortest_lifetime

from .conftest import Browser
from .hostapp.host import add_member, make_organization
from .microsoft import APPLICATION, APPLICATION_CLIENT_ID, Microsoft, client_secret
from .rotations import Azure

#: So many histories; set it to 10000 for the whole proof.
HISTORIES = int(os.environ.get("ROTATION_HISTORIES", "60"))
CALLS = ("application", "add_password", "remove_password", "proof", "vault_set")
WISHES = ("rotate", "pause", "resume", "add", "remove")


class Killed(BaseException):
    """The process is gone, in the middle of a request."""


class Histories(RuleBasedStateMachine):
    """What may happen to one rotation, in any order."""

    @initialize()
    def connect(self) -> None:
        self.undo = transaction.atomic()
        self.undo.__enter__()
        self.clock = time_machine.travel(datetime(2026, 1, 5, 12, tzinfo=UTC), tick=False)
        self.now = self.clock.start()
        self.http = responses.RequestsMock(assert_all_requests_are_fired=False)
        self.http.start()
        self.microsoft = Microsoft(self.http)
        user, organization = User.objects.create_user("ada"), make_organization("Tailspin Toys")
        add_member(organization, user)
        Browser(user, organization, self.microsoft).connect()
        self.azure = Azure(self.microsoft)
        self.rotation = Rotation.objects.create(
            connection=AppConnection.objects.get(),
            application_id=APPLICATION,
            app_id=APPLICATION_CLIENT_ID,
            interval=timedelta(days=30),
            lifetime=timedelta(days=90),
            overlap=timedelta(days=2),
        )
        self.rotation.destinations.create(kind="key-vault", place="team", name="hr")
        self.foreign = {self.azure.secrets[0]["keyId"]}
        self.taken: set[str] = set()
        """Ours that somebody else has removed."""
        self.delivered = ""
        self.kill_at = self.wish_at = ""
        self.microsoft.before["applications"] = self.azure.show
        self.wishes = {
            "rotate": lambda: engine.rotate_now(self.rotation, user),
            "pause": lambda: engine.pause(self.rotation),
            "resume": lambda: engine.resume(self.rotation),
            "add": self.destination_is_added,
            "remove": self.destination_is_removed,
        }
        for call in CALLS:
            self.microsoft.before[call] = self.watched(call, self.microsoft.before.get(call, bool))

    def watched(self, call: str, act: Any) -> Any:
        """Note what a request does, and kill the process at the one that is to be its last."""

        def watch() -> None:
            request = self.microsoft.requests[-1][1]
            act()
            if call == "remove_password":
                assert json.loads(request.body)["keyId"] not in self.foreign
            if call == "vault_set" and "vault_set" not in self.microsoft.override:
                sent = json.loads(request.body)
                self.delivered = sent["tags"]["key-id"]
                self.microsoft.vault = {"value": "", "tags": sent["tags"]}
            if call == self.wish_at:
                self.wish_at = ""
                self.wish()
            if call == self.kill_at:
                self.kill_at = ""
                raise Killed

        return watch

    # What this site does

    @rule()
    def advance(self) -> None:
        engine.advance(self.rotation.pk)

    @rule(call=strategies.sampled_from(CALLS))
    def advance_and_be_killed(self, call: str) -> None:
        self.kill_at = call
        with suppress(Killed):
            engine.advance(self.rotation.pk)
        self.kill_at = ""

    @rule(call=strategies.sampled_from(CALLS), wish=strategies.sampled_from(WISHES))
    def advance_while_somebody_wants(self, call: str, wish: str) -> None:
        self.wish_at, self.wish = call, self.wishes[wish]
        engine.advance(self.rotation.pk)
        self.wish_at = ""

    @rule(wish=strategies.sampled_from(WISHES))
    def somebody_wants(self, wish: str) -> None:
        self.wishes[wish]()

    @rule(days=strategies.sampled_from([7, 30, 90]))
    def reschedule(self, days: int) -> None:
        interval, overlap = timedelta(days=days), timedelta(days=2)
        lifetime = shortest_lifetime(interval, overlap)
        engine.reschedule(self.rotation, interval=interval, lifetime=lifetime, overlap=overlap)

    @rule()
    def watch(self) -> None:
        watch.watch(self.rotation.connection)

    def destination_is_added(self) -> None:
        vault = self.rotation.destinations.get(kind="key-vault")
        with engine.changing(self.rotation):
            self.rotation.destinations.create(
                kind="key-vault-reference", place="store", name="hr", refers_to=vault
            )

    def destination_is_removed(self) -> None:
        found = self.rotation.destinations.filter(kind="key-vault-reference").first()
        assert found is None or engine.remove_destination(found)

    # What the world does

    @rule(seconds=strategies.sampled_from([1, 10, 61, 200, 1000, 86_400, 2_700_000]))
    def time_passes(self, seconds: int) -> None:
        self.now.shift(seconds)
        if seconds > 60:
            self.azure.is_shown = True

    @rule()
    def somebody_adds_one(self) -> None:
        key = str(uuid.uuid4())
        self.azure.secrets.insert(0, client_secret("somebody else's", keyId=key))
        self.foreign.add(key)

    @precondition(lambda self: self.azure.ours)
    @rule()
    def somebody_removes_one_of_ours(self) -> None:
        key = self.azure.ours[-1]
        self.azure.secrets = [one for one in self.azure.secrets if one["keyId"] != key]
        self.taken.add(key)

    @rule()
    def next_answer_is_lost(self) -> None:
        self.azure.loses = 1

    @rule()
    def reads_lag(self) -> None:
        self.azure.is_shown = False

    @rule(status=strategies.sampled_from([400, 403, 404, 409, 429, 503]))
    def removals_fail(self, status: int) -> None:
        self.microsoft.fail("remove_password", status, {"error": {"code": "Odd"}})

    @rule(status=strategies.sampled_from([403, 429, 503]))
    def vault_is_down(self, status: int) -> None:
        self.microsoft.fail("vault_set", status, {"error": {"code": "Odd"}})

    @rule(times=strategies.integers(1, 9))
    def entra_does_not_know_it_yet(self, times: int) -> None:
        self.microsoft.proofs = [0, 7000215] * times

    @rule()
    def all_is_well_again(self) -> None:
        self.azure.is_shown = True
        self.microsoft.override = {"remove_password": (204, {}, "")}
        self.microsoft.proofs = []

    # What must be so at every moment

    @invariant()
    def nobody_elses_are_untouched(self) -> None:
        assert self.foreign <= {one["keyId"] for one in self.azure.secrets}

    @invariant()
    def what_is_delivered_works(self) -> None:
        if self.delivered and self.delivered not in self.taken:
            assert self.delivered in self.azure.ours

    @invariant()
    def one_is_under_way_at_most(self) -> None:
        assert RotatedSecret.objects.filter(state__in=RotatedSecret.PENDING).count() <= 1

    def teardown(self) -> None:
        try:
            self.converges()
        finally:
            self.http.stop(allow_assert=False)
            self.clock.stop()
            transaction.set_rollback(True)
            self.undo.__exit__(None, None, None)

    def converges(self) -> None:
        """Once nothing is wrong any more, nothing is left over, and one is in use."""
        self.all_is_well_again()
        self.azure.loses = 0
        for _ in range(6):
            self.now.shift(1000)
            engine.resume(self.rotation)  # It stops by itself where the application is gone.
            engine.advance(self.rotation.pk)
        assert self.delivered in self.azure.ours or self.delivered in self.taken
        current = self.rotation.secrets.get(state="current")
        assert str(current.key_id) == self.delivered
        if str(current.key_id) in self.taken:
            watch.watch(self.rotation.connection)
            assert engine.advance(self.rotation.pk) == "failed"
            self.now.shift(10)
            assert engine.advance(self.rotation.pk) == "advanced"
            assert self.delivered in self.azure.ours
        engine.rotate_now(self.rotation, User.objects.get())
        assert engine.advance(self.rotation.pk) == "advanced"
        current = self.rotation.secrets.get(state="current")
        assert set(self.rotation.destinations.values_list("delivered", flat=True)) == {current.pk}
        known = {str(one.key_id) for one in self.rotation.secrets.exclude(state="removed")}
        assert set(self.azure.ours) <= known


@pytest.mark.django_db
@pytest.mark.slow
def test_r15_no_history_touches_others_or_loses_what_is_in_use() -> None:
    run_state_machine_as_test(
        Histories,
        settings=settings(
            max_examples=HISTORIES,
            stateful_step_count=20,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        ),
    )
