"""Rotations: no gap, nothing lost, nobody else's secrets. Fault rows are named by number."""

from __future__ import annotations

import json
import uuid
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.db import connection as database
from django.utils import timezone

from infisical_azure import rotation as engine
from infisical_azure.models import (
    AccessToken,
    HeldSecret,
    RefreshToken,
    RotatedSecret,
    Rotation,
)
from infisical_azure.signals import rotation_failed, rotation_recovered, secret_rotated

from .conftest import Browser
from .held_tokens import expire
from .microsoft import (
    APPLICATION_CLIENT_ID,
    KEY_ID,
    Microsoft,
    client_secret,
    error,
)
from .rotations import DAY, Azure, advance, later, listen, states, taken, url

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("hooks")]


# A life


def test_whole_rotation_ends_with_the_new_one_in_use(
    rotation: Rotation, azure: Azure, microsoft: Microsoft
) -> None:
    advance(rotation)
    (secret,) = rotation.secrets.all()
    assert secret.state == "current"
    assert [str(secret.key_id)] == azure.ours
    assert microsoft.count("proof") == 5
    assert microsoft.count("vault_set") == 1
    assert not HeldSecret.objects.exists()
    (put,) = [request for kind, request in microsoft.requests if kind == "vault_set"]
    sent = json.loads(put.body)
    assert sent["value"] == f"CANARY~{secret.key_id}"
    assert sent["tags"]["infisical-azure-rotation"] == str(secret.pk)
    assert put.url.startswith("https://team.vault.azure.net/secrets/hr-secret?")
    assert rotation.wake_at == rotation.due_at > timezone.now() + 29 * DAY
    assert "CANARY" not in str(vars(secret)) + str(secret) + str(rotation)
    microsoft.requests.clear()
    advance(rotation, "waiting")
    assert microsoft.requests == []


def test_old_one_is_removed_when_the_overlap_is_over(rotation: Rotation, azure: Azure) -> None:
    advance(rotation)
    (first,) = azure.ours
    with later(days=30, minutes=1):
        advance(rotation)
        assert states(rotation) == ["retiring", "current"]
        assert len(azure.ours) == 2
        advance(rotation, "waiting")
    with later(days=32, minutes=2):
        advance(rotation)
        assert states(rotation) == ["removed", "current"]
        assert len(azure.ours) == 1
        assert first not in azure.ours
    assert KEY_ID in [one["keyId"] for one in azure.secrets]


def test_news_of_a_rotation_come_after_the_commit(
    rotation: Rotation, django_capture_on_commit_callbacks: Any
) -> None:
    heard = listen(secret_rotated)
    with django_capture_on_commit_callbacks(execute=True):
        advance(rotation)
    (news,) = heard
    assert (news["rotation"], news["secret"]) == (rotation, rotation.secrets.get())


def test_every_kind_of_destination_gets_it(
    rotation: Rotation, azure: Azure, microsoft: Microsoft
) -> None:
    rotation.destinations.create(
        kind="app-configuration", place="store", name="hr/secret", label="prod & test"
    )
    rotation.destinations.create(kind="app-configuration", place="store", name="plain")
    rotation.destinations.create(kind="hook", place="vaulty", name="job runner")
    taken.clear()
    advance(rotation)
    puts = [request for kind, request in microsoft.requests if kind == "store_set"]
    assert sorted(put.url for put in puts) == [
        "https://store.azconfig.io/kv/hr%2Fsecret?api-version=2023-11-01&label=prod%20%26%20test",
        "https://store.azconfig.io/kv/plain?api-version=2023-11-01",
    ]
    assert puts[0].headers["Content-Type"] == "application/vnd.microsoft.appconfig.kv+json"
    (delivery,) = taken
    assert delivery.value.reveal() == f"CANARY~{azure.ours[0]}"
    assert delivery.organization == rotation.connection.organization
    assert "CANARY" not in repr(delivery)


def test_person_who_wants_it_now_is_noted(rotation: Rotation, browser: Browser) -> None:
    advance(rotation)
    engine.rotate_now(rotation, browser.user)
    advance(rotation)
    assert [one.user for one in rotation.secrets.order_by("intended_at")] == [None, browser.user]
    assert rotation.wanted_by is None


def test_pause_begins_and_removes_nothing(rotation: Rotation, azure: Azure) -> None:
    advance(rotation)
    with later(days=30, minutes=1):
        advance(rotation)
        engine.pause(rotation)
    with later(days=70):
        advance(rotation, "waiting")
        assert rotation.wake_at is None
        assert states(rotation) == ["retiring", "current"]
        engine.resume(rotation)
        advance(rotation)
        assert states(rotation) == ["removed", "retiring", "current"]


def test_what_is_begun_ends_though_paused(
    rotation: Rotation, azure: Azure, microsoft: Microsoft
) -> None:
    microsoft.proofs = [7000215]
    advance(rotation, "waiting")
    engine.pause(rotation)
    advance(rotation)
    assert states(rotation) == ["current"]


# Crashes: each durable step is where the next process goes on


def crash(rotation: Rotation, **secret: Any) -> RotatedSecret:
    """Leave behind what a process that was killed leaves: a lease, and how far it was."""
    Rotation.objects.filter(pk=rotation.pk).update(
        lease_until=timezone.now() + timedelta(minutes=1), fence=7
    )
    made: RotatedSecret = rotation.secrets.create(**secret)
    return made


def after_the_lease() -> time_machine.travel:
    return later(minutes=1, seconds=1)


def test_r1_killed_before_the_intent_leaves_nothing(rotation: Rotation, azure: Azure) -> None:
    Rotation.objects.update(lease_until=timezone.now() + timedelta(minutes=1))
    assert engine.advance(rotation.pk) == "skipped"
    with after_the_lease():
        advance(rotation)
    assert states(rotation) == ["current"]
    assert len(azure.ours) == 1


def test_r2_killed_after_the_intent_goes_on_with_it(rotation: Rotation, azure: Azure) -> None:
    intended = crash(rotation)
    with after_the_lease():
        advance(rotation)
    assert rotation.secrets.get().pk == intended.pk
    assert len(azure.ours) == 1


@pytest.mark.parametrize("is_shown", [True, False], ids=["seen at once", "seen late"])
def test_r3_lost_answer_is_found_by_its_marker_and_removed(
    rotation: Rotation, azure: Azure, microsoft: Microsoft, is_shown: bool
) -> None:
    azure.loses, azure.is_shown = 1, is_shown
    advance(rotation, "failed")
    assert rotation.secrets.get().asked_at is not None
    (orphan,) = azure.ours
    with later(seconds=40):
        if not is_shown:
            advance(rotation, "waiting")
            assert microsoft.count("add_password") == 1
            azure.is_shown = True
    with later(seconds=61):
        advance(rotation)
    assert states(rotation) == ["current"]
    assert orphan not in azure.ours
    assert len(azure.ours) == 1


def test_r3_orphan_that_turns_up_later_still_is_swept_away(
    rotation: Rotation, azure: Azure
) -> None:
    azure.loses, azure.is_shown = 1, False
    advance(rotation, "failed")
    with later(seconds=61):
        advance(rotation)
        assert len(azure.ours) == 2
        azure.is_shown = True
        assert rotation.wake_at < timezone.now() + timedelta(minutes=16)
    with later(minutes=17):
        advance(rotation)
    assert azure.ours == [str(rotation.secrets.get().key_id)]
    assert rotation.sweep_at is None


def test_r4_killed_before_it_was_stored_is_the_same(rotation: Rotation, azure: Azure) -> None:
    secret = crash(rotation, asked_at=timezone.now())
    azure.secrets.append(client_secret(secret.marker, keyId=str(uuid.uuid4())))
    with after_the_lease():
        advance(rotation)
    assert azure.ours == [str(rotation.secrets.get().key_id)]


def test_r5_and_r6_killed_before_it_was_proven_or_delivered(
    rotation: Rotation, azure: Azure, microsoft: Microsoft
) -> None:
    for state, proofs in (("issued", 5), ("proven", 0)):
        rotation.secrets.all().delete()
        key = str(uuid.uuid4())
        secret = crash(
            rotation,
            state=state,
            key_id=key,
            proven_at=timezone.now() if state == "proven" else None,
            expires_at=timezone.now() + 90 * DAY,
        )
        azure.secrets.append(client_secret(secret.marker, keyId=key))
        HeldSecret.objects.create(of=secret, secret="CANARY~kept")
        microsoft.requests.clear()
        with after_the_lease():
            advance(rotation)
        assert microsoft.count("proof") == proofs
        assert microsoft.count("add_password") == 0
        assert microsoft.count("vault_set") == 1
        assert states(rotation) == ["current"]


def test_r6_delivery_whose_answer_was_lost_is_not_repeated(
    rotation: Rotation, azure: Azure, microsoft: Microsoft
) -> None:
    def arrive() -> None:
        sent = json.loads(microsoft.requests[-1][1].body)
        microsoft.vault = {"value": sent["value"], "tags": sent["tags"]}

    microsoft.before["vault_set"] = arrive
    microsoft.fail("vault_set", 504, {})
    advance(rotation, "failed")
    with later(minutes=1):
        advance(rotation)
    assert microsoft.count("vault_set") == 1
    assert states(rotation) == ["current"]


def test_r7_destination_that_is_down_keeps_the_old_one_valid_and_is_told_once(
    rotation: Rotation, azure: Azure, microsoft: Microsoft
) -> None:
    advance(rotation)
    rotation.destinations.create(kind="hook", place="vaulty", name="job runner")
    taken.clear()
    heard, well = listen(rotation_failed), listen(rotation_recovered)
    body = {"error": {"code": "Forbidden", "innererror": {"code": "ForbiddenByRbac"}}}
    microsoft.fail("vault_set", 403, body, **{"x-ms-request-id": "abc-1"})
    for minutes in (1, 120, 240):
        with later(days=30, minutes=minutes):
            advance(rotation, "failed")
    assert (rotation.problem, rotation.failures) == ("ForbiddenByRbac", 3)
    assert rotation.correlation_id == "abc-1"
    assert len(heard) == 1
    assert states(rotation) == ["current", "proven"]
    assert len(azure.ours) == 2
    assert len(taken) == 1  # The other destination has it, once.
    del microsoft.override["vault_set"]
    with later(days=31):
        advance(rotation)
    assert states(rotation) == ["retiring", "current"]
    assert (rotation.problem, rotation.failing_since, len(well)) == ("", None, 1)


def test_r7_hook_that_fails_tells_nothing_of_the_value(rotation: Rotation) -> None:
    rotation.destinations.create(kind="hook", place="vaulty", name="broken")
    rotation.destinations.create(kind="hook", place="gone", name="x")
    advance(rotation, "failed")
    assert rotation.problem == "delivery_failed"
    assert HeldSecret.objects.exists()


def test_r8_overlap_goes_on_after_a_restart(rotation: Rotation, azure: Azure) -> None:
    advance(rotation)
    with later(days=30, minutes=1):
        advance(rotation)
    assert rotation.wake_at == rotation.secrets.get(state="retiring").retire_at


@pytest.mark.parametrize("how", ["404", "400", "lost"])
def test_r9_removal_of_what_is_gone_is_a_success(
    rotation: Rotation, azure: Azure, microsoft: Microsoft, how: str
) -> None:
    advance(rotation)
    with later(days=30, minutes=1):
        advance(rotation)

    def vanish() -> None:
        azure.secrets = [one for one in azure.secrets if one["keyId"] != old]

    old = str(rotation.secrets.get(state="retiring").key_id)
    microsoft.before["remove_password"] = vanish
    microsoft.fail("remove_password", {"404": 404, "400": 400, "lost": 504}[how], {})
    with later(days=33):
        advance(rotation, "failed" if how == "lost" else "advanced")
    with later(days=34):
        engine.advance(rotation.pk)
    assert states(rotation) == ["removed", "current"]
    assert microsoft.count("remove_password") == 1


def test_r9_refused_removal_is_no_success_but_keeps_no_rotation_back(
    rotation: Rotation, azure: Azure, microsoft: Microsoft
) -> None:
    advance(rotation)
    with later(days=30, minutes=1):
        advance(rotation)
    microsoft.fail("remove_password", 400, {"error": {"code": "Request_BadRequest"}})
    with later(days=33):
        advance(rotation, "failed")
    microsoft.fail("remove_password", 403, {"error": {"code": "Authorization_RequestDenied"}})
    with later(days=61):
        advance(rotation, "failed")
    assert states(rotation) == ["retiring", "retiring", "current"]


@pytest.mark.parametrize(
    ("status", "code"),
    [(409, "conflict"), (400, "Directory_ConcurrencyViolation"), (429, "busy"), (503, "down")],
)
def test_r10_passing_fault_of_a_removal_is_retried(
    rotation: Rotation, azure: Azure, microsoft: Microsoft, status: int, code: str
) -> None:
    advance(rotation)
    with later(days=30, minutes=1):
        advance(rotation)
    heard = listen(rotation_failed)
    microsoft.fail("remove_password", status, {"error": {"code": code}}, **{"Retry-After": "120"})
    with later(days=33):
        advance(rotation, "failed")
        assert timedelta(seconds=110) < rotation.wake_at - timezone.now() <= timedelta(seconds=120)
    assert heard == []
    with later(days=33, minutes=20):
        advance(rotation, "failed")
    assert len(heard) == 1
    microsoft.override["remove_password"] = (204, {}, "")
    with later(days=34):
        advance(rotation)
    assert states(rotation) == ["removed", "current"]
    assert str(rotation.secrets.get(state="current").key_id) in azure.ours


def test_r11_full_application_loses_only_what_is_ours_and_over(
    rotation: Rotation, azure: Azure, microsoft: Microsoft
) -> None:
    full = {"error": {"code": "Directory_ResourceSizeExceeded"}}
    microsoft.fail("add_password", 400, full)
    advance(rotation, "failed")
    assert rotation.problem == "Directory_ResourceSizeExceeded"
    assert len(azure.secrets) == 1
    del microsoft.override["add_password"]
    advance(rotation)
    with later(days=30, minutes=1):
        advance(rotation)
    microsoft.fail("add_password", 400, full)
    with later(days=61):
        advance(rotation, "failed")
        assert states(rotation) == ["removed", "current", "intended"]
        del microsoft.override["add_password"]
        advance(rotation)
    assert len(azure.secrets) == 3


def test_r12_application_that_is_gone_stops_it_with_an_alarm(
    rotation: Rotation, azure: Azure, microsoft: Microsoft
) -> None:
    heard = listen(rotation_failed)
    microsoft.fail("add_password", 404, {"error": {"code": "Request_ResourceNotFound"}})
    advance(rotation, "failed")
    advance(rotation, "failed")
    assert (rotation.is_paused, rotation.wake_at, len(heard)) == (True, None, 1)


def test_r13_only_one_of_two_rotators_works(rotation: Rotation, azure: Azure) -> None:
    first, second = (Rotation.objects.get(pk=rotation.pk) for _ in range(2))
    assert Rotation.objects.claim(first, timedelta(minutes=1)).fence == 1
    assert Rotation.objects.claim(second, timedelta(minutes=1)) is None
    assert engine.advance(rotation.pk) == "skipped"
    assert azure.ours == []


def test_r13_what_another_noted_before_the_claim_counts(
    rotation: Rotation, azure: Azure, microsoft: Microsoft
) -> None:
    """The row was read while another had the lease, and is claimed once that one has failed."""
    since = timezone.now() - timedelta(minutes=10)
    done: list[bool] = []

    def fail_as_another(execute: Any, sql: str, *args: Any) -> Any:
        if sql.startswith('UPDATE "infisical_azure_rotation"') and not done:
            done.append(True)
            Rotation.objects.update(failures=3, failing_since=since)
        return execute(sql, *args)

    microsoft.fail("add_password", 503, "<html>")
    with database.execute_wrapper(fail_as_another):
        advance(rotation, "failed")
    assert (rotation.failures, rotation.failing_since) == (4, since)


@pytest.mark.parametrize("step", ["add_password", "proof", "vault_set"])
def test_r13_overtaken_rotator_saves_nothing(
    rotation: Rotation, azure: Azure, microsoft: Microsoft, step: str
) -> None:
    before = microsoft.before.get(step, bool)

    def overtake() -> None:
        before()
        Rotation.objects.update(fence=99)

    microsoft.before[step] = overtake
    assert engine.advance(rotation.pk) == "skipped"
    assert states(rotation) == [
        {"add_password": "intended", "proof": "issued", "vault_set": "proven"}[step]
    ]


def test_r13_overtaken_rotator_notes_no_failure(
    rotation: Rotation, azure: Azure, microsoft: Microsoft
) -> None:
    microsoft.fail("vault_set", 403, "no json")
    microsoft.before["vault_set"] = lambda: Rotation.objects.update(fence=99)
    assert engine.advance(rotation.pk) == "skipped"
    rotation.refresh_from_db()
    assert rotation.failures == 0


def test_r14_flapping_secret_is_proven_only_by_many_in_a_row(
    rotation: Rotation, azure: Azure, microsoft: Microsoft
) -> None:
    microsoft.proofs = [0, 7000215, 0, 0, 0, 0, 7000215, 7000215]
    for seconds in range(0, 15, 5):
        with later(seconds=seconds):
            advance(rotation, "waiting")
            assert microsoft.count("vault_set") == 0
            assert rotation.wake_at - timezone.now() <= timedelta(seconds=5)
    advance(rotation)
    assert states(rotation) == ["current"]
    assert microsoft.count("proof") == 8 + 5


def test_r14_secret_that_is_never_accepted_is_told_of(
    rotation: Rotation, azure: Azure, microsoft: Microsoft
) -> None:
    heard = listen(rotation_failed)
    microsoft.proofs = [7000215] * 99
    advance(rotation, "waiting")
    with later(minutes=11):
        advance(rotation, "failed")
    assert (rotation.problem, rotation.aadsts, len(heard)) == ("invalid_client", 7000215, 1)


def test_r16_old_one_that_somebody_removed_is_not_missed(
    rotation: Rotation, azure: Azure, microsoft: Microsoft
) -> None:
    advance(rotation)
    with later(days=30, minutes=1):
        advance(rotation)
    azure.secrets = [azure.secrets[0], azure.secrets[-1]]
    with later(days=33):
        advance(rotation)
    assert states(rotation) == ["removed", "current"]
    assert microsoft.count("remove_password") == 0


def test_current_one_that_somebody_removed_is_replaced_at_once_with_an_alarm(
    rotation: Rotation, azure: Azure, microsoft: Microsoft
) -> None:
    advance(rotation)
    with later(days=30, minutes=1):
        advance(rotation)
    azure.secrets.pop()
    heard = listen(rotation_failed)
    with later(days=33):
        advance(rotation, "failed")
        assert (rotation.problem, len(heard)) == ("current_secret_missing", 1)
        advance(rotation)
    assert states(rotation) == ["removed", "retiring", "current"]
    assert len(azure.ours) == 1


def test_current_one_that_is_not_visible_yet_is_waited_for(
    rotation: Rotation, azure: Azure
) -> None:
    rotation.overlap = timedelta(0)
    rotation.save()
    advance(rotation)
    with later(days=31):
        azure.is_shown = False
        advance(rotation, "waiting")
        assert states(rotation) == ["retiring", "current"]
    azure.is_shown = True
    with later(days=31, minutes=16):
        advance(rotation)
    assert states(rotation) == ["removed", "current"]


# What else can break


def test_connection_without_access_fails_loudly_and_asks_nothing_twice(
    rotation: Rotation, azure: Azure, microsoft: Microsoft
) -> None:
    heard = listen(rotation_failed)
    expire()
    microsoft.fail("token", 400, error(50173))
    advance(rotation, "failed")
    assert (rotation.problem, len(heard)) == ("grant_revoked", 1)
    assert rotation.secrets.get().asked_at is None


@pytest.mark.parametrize("status", [429, 503])
def test_token_endpoint_that_is_busy_passes(
    rotation: Rotation, azure: Azure, microsoft: Microsoft, status: int
) -> None:
    heard = listen(rotation_failed)
    expire()
    microsoft.fail("token", status, {})
    advance(rotation, "failed")
    assert heard == []


def test_value_that_can_not_be_opened_fails_loudly(
    rotation: Rotation, azure: Azure, microsoft: Microsoft, settings: Any
) -> None:
    microsoft.proofs = [7000215]
    advance(rotation, "waiting")
    right, settings.FERNET_KEYS = settings.FERNET_KEYS, ["another-key-of-32-characters-or-more"]
    advance(rotation, "failed")
    assert rotation.problem in {"decryption_failed", "operator_setup"}
    settings.FERNET_KEYS = right
    with later(hours=1):
        advance(rotation)


def test_rotation_that_is_gone_is_skipped() -> None:
    assert engine.advance(uuid.uuid4()) == "skipped"


@pytest.mark.parametrize(
    ("status", "body", "headers", "problem", "pause"),
    [
        (503, "no json", {"retry-after-ms": "90000"}, "destination_unavailable", 90),
        (429, {}, {"Retry-After": "77"}, "throttled", 77),
        (409, {"type": "https://azconfig.io/errors/key-locked"}, {}, "key-locked", None),
        (400, {"error": {"code": "BadParameter"}}, {}, "BadParameter", None),
        (403, {"error": "odd"}, {}, "graph_refused", None),
    ],
)
def test_refusals_of_a_store_are_told_apart(
    rotation: Rotation,
    azure: Azure,
    microsoft: Microsoft,
    status: int,
    body: Any,
    headers: dict[str, str],
    problem: str,
    pause: int | None,
) -> None:
    rotation.destinations.update(kind="app-configuration", place="store")
    microsoft.fail("store_set", status, body, **headers)
    advance(rotation, "failed")
    assert rotation.problem == problem
    if pause:
        left = rotation.wake_at - timezone.now()
        assert pause - 2 < left.total_seconds() <= pause
    microsoft.fail("store_set", None, ConnectionError("CANARY~lost"))
    advance(rotation, "failed")
    assert rotation.problem == "destination_unavailable"


@pytest.mark.parametrize(
    ("status", "inner", "is_written"),
    [(404, "", True), (403, "SecretDisabled", True), (403, "ForbiddenByRbac", False)],
)
def test_vault_without_a_readable_version_gets_one(
    rotation: Rotation,
    azure: Azure,
    microsoft: Microsoft,
    status: int,
    inner: str,
    is_written: bool,
) -> None:
    body = {"error": {"code": "Forbidden", "innererror": {"code": inner}}}
    microsoft.fail("vault", status, body)
    advance(rotation, "advanced" if is_written else "failed")
    assert microsoft.count("vault_set") == is_written


def test_rows_show_what_they_are_and_nothing_more(rotation: Rotation) -> None:
    advance(rotation)
    secret = rotation.secrets.get()
    held = HeldSecret(of=secret, secret="CANARY~held")
    assert str(held) == f"value of {secret.pk}"
    assert str(rotation.destinations.get()) == "team / hr-secret"
    assert str(Rotation(app_id=APPLICATION_CLIENT_ID)) == APPLICATION_CLIENT_ID


# What a hostile review found


def test_orphan_hunter_that_was_overtaken_removes_nothing(
    rotation: Rotation, azure: Azure, microsoft: Microsoft
) -> None:
    azure.loses = 1
    advance(rotation, "failed")
    show = microsoft.before["application"]

    def finish_first() -> None:
        """Another process settles, issues, proves and delivers while this one looks."""
        microsoft.before["application"] = show
        Rotation.objects.update(lease_until=None)
        assert engine.advance(rotation.pk) == "advanced"
        show()

    microsoft.before["application"] = finish_first
    with later(seconds=61):
        assert engine.advance(rotation.pk) == "skipped"
    assert [str(rotation.secrets.get(state="current").key_id)] == azure.ours


def test_copy_of_a_marker_is_not_ours(rotation: Rotation, azure: Azure) -> None:
    advance(rotation)
    marker = rotation.secrets.get().marker
    for days, key in ((-1, KEY_ID), (0, None)):
        starts = None if key is None else (timezone.now() - days * DAY).isoformat()
        azure.secrets.append(
            client_secret(marker, keyId=key or str(uuid.uuid4()), startDateTime=starts)
        )
    Rotation.objects.update(sweep_at=timezone.now())
    advance(rotation)
    assert len(azure.ours) == 3


def test_orphan_that_only_seemed_removed_is_swept_away(
    rotation: Rotation, azure: Azure, microsoft: Microsoft
) -> None:
    azure.loses = 1
    advance(rotation, "failed")
    microsoft.fail("remove_password", 400, {"error": {"code": "Request_BadRequest"}})
    show, looks = microsoft.before["application"], []

    def flap() -> None:
        looks.append(1)
        azure.is_shown = len(looks) != 2
        show()

    microsoft.before["application"] = flap
    with later(seconds=61):
        advance(rotation)
    microsoft.override["remove_password"] = (204, {}, "")
    with later(minutes=20):
        advance(rotation)
    assert azure.ours == [str(rotation.secrets.get().key_id)]


@pytest.mark.parametrize("status", [408, 501, 507, 202])
def test_odd_answer_may_be_a_lost_one(
    rotation: Rotation, azure: Azure, microsoft: Microsoft, status: int
) -> None:
    microsoft.fail("add_password", status, {"error": {"code": "Odd"}})
    advance(rotation, "failed")
    assert rotation.secrets.get().asked_at is not None


def test_wishes_of_people_during_a_step_are_heeded(
    rotation: Rotation, azure: Azure, microsoft: Microsoft, browser: Browser
) -> None:
    microsoft.proofs = [7000215]
    advance(rotation, "waiting")
    engine.pause(rotation)
    microsoft.before["vault_set"] = lambda: engine.resume(rotation)
    advance(rotation)
    assert (rotation.is_paused, rotation.wake_at) == (False, rotation.due_at)
    engine.rotate_now(rotation, browser.user)
    microsoft.before["vault_set"] = lambda: engine.pause(rotation)
    advance(rotation)
    assert (rotation.is_paused, rotation.wake_at, rotation.wanted_by) == (True, None, None)
    engine.resume(rotation)
    with later(days=2, minutes=1):
        remove = microsoft.before["remove_password"]
        microsoft.before["remove_password"] = lambda: (
            remove(), engine.rotate_now(rotation, browser.user)
        )  # fmt: skip
        advance(rotation)
    assert states(rotation) == ["removed", "retiring", "current"]


def test_wish_between_the_last_step_and_the_rest_is_heeded(
    rotation: Rotation, azure: Azure, browser: Browser
) -> None:
    from django.db import connection as database

    wished: list[bool] = []

    def wish(execute: Any, sql: str, *args: Any) -> Any:
        if '"failing_since" = ' in sql and not wished:
            wished.append(True)
            engine.rotate_now(rotation, browser.user)
        return execute(sql, *args)

    with database.execute_wrapper(wish):
        advance(rotation)
    assert states(rotation) == ["retiring", "current"]


def test_pause_during_a_failure_stays(
    rotation: Rotation, azure: Azure, microsoft: Microsoft
) -> None:
    microsoft.fail("vault_set", 403, {})
    microsoft.before["vault_set"] = lambda: engine.pause(rotation)
    advance(rotation, "skipped")
    assert rotation.is_paused
    del microsoft.before["vault_set"]
    advance(rotation, "failed")
    assert rotation.is_paused


@pytest.mark.parametrize(
    ("why", "answer", "given_up"),
    [
        ("revoked", 403, "removed"),
        ("revoked", 504, "retiring"),  # It may have arrived all the same.
        ("expired", 504, "removed"),
    ],
)
def test_pending_one_that_will_never_work_is_given_up(
    rotation: Rotation,
    azure: Azure,
    microsoft: Microsoft,
    why: str,
    answer: int,
    given_up: str,
) -> None:
    advance(rotation)
    delivered = azure.ours[0]
    microsoft.fail("vault_set", answer, {})
    with later(days=31):
        advance(rotation, "failed")
    if why == "revoked":
        azure.secrets.pop()
    del microsoft.override["vault_set"]
    microsoft.proofs = [7000222]
    with later(days=32 if why == "revoked" else 130):
        advance(rotation)
    assert states(rotation) == ["retiring", given_up, "current"]
    assert len(azure.ours) == 2
    assert delivered in azure.ours


def test_old_proof_is_renewed_before_the_delivery(
    rotation: Rotation, azure: Azure, microsoft: Microsoft
) -> None:
    microsoft.fail("vault_set", 403, {})
    advance(rotation, "failed")
    del microsoft.override["vault_set"]
    microsoft.requests.clear()
    with later(hours=1):
        advance(rotation)
    assert microsoft.count("proof") == 5


def test_one_that_is_refused_though_it_is_there_stays_pending(
    rotation: Rotation, azure: Azure, microsoft: Microsoft
) -> None:
    microsoft.proofs = [7000215] * 9
    advance(rotation, "waiting")
    with later(minutes=16):
        advance(rotation, "failed")
    assert states(rotation) == ["issued"]


def test_late_delivery_makes_the_next_one_due_earlier(
    rotation: Rotation, azure: Azure, microsoft: Microsoft
) -> None:
    microsoft.fail("vault_set", 403, {})
    advance(rotation, "failed")
    del microsoft.override["vault_set"]
    with later(days=60):
        advance(rotation)
        in_use = rotation.secrets.get(state="current")
        assert rotation.due_at < in_use.expires_at - rotation.overlap
        assert rotation.due_at >= timezone.now()


@pytest.mark.parametrize("what", ["proof", "vault_set"])
def test_configuration_that_breaks_half_way_is_told(
    rotation: Rotation, azure: Azure, microsoft: Microsoft, what: str, settings: Any
) -> None:
    heard = listen(rotation_failed)
    microsoft.fail("vault_set", 403, {})
    microsoft.proofs = [7000215] if what == "proof" else []
    engine.advance(rotation.pk)
    settings.INFISICAL_AZURE = {**settings.INFISICAL_AZURE, "CLOUDS": ["china"]}
    advance(rotation, "failed")
    assert rotation.problem == "operator_setup"
    assert heard


def test_rotation_that_is_deleted_meanwhile_is_skipped(
    rotation: Rotation, azure: Azure, microsoft: Microsoft
) -> None:
    microsoft.before["proof"] = lambda: Rotation.objects.all().delete()
    assert engine.advance(rotation.pk) == "skipped"


@pytest.mark.parametrize("where", ["issued", "proven"])
def test_value_that_is_lost_is_replaced(
    rotation: Rotation, azure: Azure, microsoft: Microsoft, where: str
) -> None:
    if where == "issued":
        microsoft.proofs = [7000215]
        advance(rotation, "waiting")
    else:
        microsoft.fail("vault_set", 403, {})
        advance(rotation, "failed")
        del microsoft.override["vault_set"]
    HeldSecret.objects.all().delete()
    advance(rotation)
    assert states(rotation) == ["removed", "current"]
    assert azure.ours == [str(rotation.secrets.get(state="current").key_id)]


def test_value_that_was_stored_with_a_lost_key_is_replaced(
    rotation: Rotation,
    azure: Azure,
    microsoft: Microsoft,
    settings: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    old = list(settings.FERNET_KEYS)
    microsoft.fail("vault_set", 504, {})
    advance(rotation, "failed")
    settings.FERNET_KEYS = ["n" * 43, *old]
    for model in (AccessToken, RefreshToken):
        for row in model.objects.iterator():
            row.save(update_fields=["secret"])
    settings.FERNET_KEYS = ["n" * 43]
    del microsoft.override["vault_set"]
    advance(rotation)
    assert states(rotation) == ["retiring", "current"]  # The first one may have arrived.
    assert "begins anew" in caplog.text
    # Where all is lost, a person has to act.
    settings.FERNET_KEYS = ["o" * 43]
    heard = listen(rotation_failed)
    with later(minutes=1):
        engine.rotate_now(rotation, rotation.connection.connected_by)
        advance(rotation, "failed")
    assert (rotation.problem, len(heard)) == ("decryption_failed", 1)


def test_token_that_a_vault_no_longer_takes_is_replaced_once(
    rotation: Rotation, azure: Azure, microsoft: Microsoft
) -> None:
    def mend() -> None:
        if microsoft.count("token") == 2:
            del microsoft.override["vault"]

    microsoft.before["vault"] = mend
    microsoft.fail("vault", 401, {"error": {"code": "Unauthorized"}})
    advance(rotation)
    assert microsoft.count("token") == 2
    assert states(rotation) == ["current"]


@pytest.mark.parametrize(
    ("kind", "body", "words"),
    [
        ("store_set", {"type": "https://azconfig.io/errors/key-locked"}, "Unlock it"),
        ("vault_set", {"error": {"code": "ObjectIsDeletedButRecoverable"}}, "purge it"),
    ],
)
def test_conflict_that_lasts_is_told_at_once(
    browser: Browser,
    rotation: Rotation,
    azure: Azure,
    microsoft: Microsoft,
    kind: str,
    body: dict[str, Any],
    words: str,
) -> None:
    rotation.destinations.create(kind="app-configuration", place="store", name="key")
    heard = listen(rotation_failed)
    microsoft.fail(kind, 409, body)
    advance(rotation, "failed")
    assert len(heard) == 1
    assert words in browser.get(url(browser, rotation)).content.decode()


def test_ended_rotation_leaves_nothing_that_was_sent_nowhere(
    rotation: Rotation, azure: Azure, microsoft: Microsoft
) -> None:
    microsoft.fail("vault", 403, {"error": {"code": "Forbidden"}})
    advance(rotation, "failed")
    assert states(rotation) == ["proven"]
    with later(minutes=2):
        assert engine.end(rotation.pk)
    assert azure.ours == []


def test_ended_rotation_leaves_what_may_have_arrived(
    rotation: Rotation, azure: Azure, microsoft: Microsoft
) -> None:
    microsoft.fail("vault_set", 504, {})
    advance(rotation, "failed")
    with later(minutes=2):
        assert engine.end(rotation.pk)
    assert len(azure.ours) == 1


def test_r12_alarm_comes_though_another_one_came_before(
    rotation: Rotation, azure: Azure, microsoft: Microsoft
) -> None:
    heard = listen(rotation_failed)
    microsoft.fail("add_password", 400, {"error": {"code": "SomePolicy"}})
    advance(rotation, "failed")
    microsoft.fail("add_password", 404, {"error": {"code": "Request_ResourceNotFound"}})
    advance(rotation, "failed")
    assert (rotation.is_paused, len(heard)) == (False, 2)
    advance(rotation, "failed")
    assert (rotation.is_paused, rotation.wake_at, len(heard)) == (True, None, 2)


@pytest.mark.parametrize("after", ["Fri, 31 Dec 9999 23:59:59 GMT", "999999", "0"])
def test_wish_to_wait_has_bounds(
    rotation: Rotation, azure: Azure, microsoft: Microsoft, after: str
) -> None:
    microsoft.fail("vault_set", 429, {}, **{"Retry-After": after})
    advance(rotation, "failed")
    left = rotation.wake_at - timezone.now()
    assert timedelta(0) < left <= DAY


def test_paused_rotation_makes_no_room(
    rotation: Rotation, azure: Azure, microsoft: Microsoft
) -> None:
    advance(rotation)
    with later(days=30, minutes=1):
        advance(rotation)
    microsoft.fail("add_password", 400, {"error": {"code": "Directory_ResourceSizeExceeded"}})
    with later(days=61):
        microsoft.before["add_password"] = lambda: engine.pause(rotation)
        advance(rotation, "skipped")
        del microsoft.before["add_password"]
        advance(rotation, "failed")
    assert states(rotation)[0] in {"removed", "retiring"}


def test_application_that_may_not_sign_in_is_told_of(
    rotation: Rotation, azure: Azure, microsoft: Microsoft
) -> None:
    heard = listen(rotation_failed)
    microsoft.fail("proof", 400, error(700016, "unauthorized_client"))
    advance(rotation, "failed")
    assert (rotation.problem, len(heard)) == ("unauthorized_client", 1)


def test_rotator_that_is_overtaken_at_its_rest_saves_nothing(
    rotation: Rotation, azure: Azure
) -> None:
    from django.db import connection as database

    def overtake(execute: Any, sql: str, *args: Any) -> Any:
        if '"failing_since" = ' in sql:
            Rotation.objects.update(fence=99, lease_until=timezone.now() + DAY)
        return execute(sql, *args)

    with database.execute_wrapper(overtake):
        assert engine.advance(rotation.pk) == "skipped"
    rotation.refresh_from_db()
    assert rotation.lease_until is not None
