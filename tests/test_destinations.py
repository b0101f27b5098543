"""Where a rotation delivers to and how often, as people change that while it works."""

from __future__ import annotations

import json
import threading
import uuid
from contextlib import suppress
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.core.exceptions import ValidationError
from django.db import connections
from django.utils import timezone

from infisical_azure import rotation as engine
from infisical_azure import watch
from infisical_azure.clouds import BUILT_IN, Cloud
from infisical_azure.models import AppConnection, Destination, Rotation
from infisical_azure.signals import rotation_failed

from .conftest import Browser
from .database import meanwhile
from .hostapp.host import add_member, remove_member
from .microsoft import Microsoft
from .rotations import DAY, Azure, act, advance, later, listen, refer, states, url
from .test_rotation_pages import add

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("hooks")]


def deliver_to(browser: Browser, rotation: Rotation, **form: str) -> Any:
    form = {"kind": "key-vault", "place": "team", "name": "second", "label": "", **form}
    return browser.post(url(browser, rotation, "destination_add"), form)


def remove(browser: Browser, destination: Destination) -> Any:
    return browser.post(removal_of(browser, destination))


def removal_of(browser: Browser, destination: Destination) -> str:
    args = (destination.rotation.connection_id, destination.rotation_id, destination.pk)
    return browser.url("destination_remove", *args)


# A reference to Key Vault


def test_reference_holds_the_address_and_comes_after_the_value(
    rotation: Rotation, azure: Azure, microsoft: Microsoft
) -> None:
    refer(rotation)
    advance(rotation)
    kinds = [kind for kind, _ in microsoft.requests if kind.endswith("_set")]
    assert kinds == ["vault_set", "store_set"]
    request = microsoft.requests[-1][1]
    assert request.url.startswith("https://team-store.azconfig.io/kv/hr%3Asecret?")
    assert request.url.endswith("&label=production")
    sent = json.loads(request.body)
    assert json.loads(sent["value"]) == {"uri": "https://team.vault.azure.net/secrets/hr-secret"}
    kind = "application/vnd.microsoft.appconfig.keyvaultref+json;charset=utf-8"
    assert sent["content_type"] == kind
    assert sent["tags"]["key-id"] == azure.ours[0]
    assert "CANARY" not in request.body.decode()


def test_reference_waits_for_what_it_refers_to(
    rotation: Rotation, azure: Azure, microsoft: Microsoft
) -> None:
    refer(rotation)
    microsoft.fail("vault_set", 503, {})
    advance(rotation, "failed")
    assert microsoft.count("store_set") == 0
    del microsoft.override["vault_set"]
    advance(rotation)
    assert microsoft.count("store_set") == 1
    assert states(rotation) == ["current"]


def test_reference_to_nothing_fails_loudly(
    rotation: Rotation, azure: Azure, microsoft: Microsoft
) -> None:
    refer(rotation)
    Destination.objects.update(refers_to=None)
    advance(rotation, "failed")
    assert rotation.problem == "delivery_failed"
    assert microsoft.count("vault_set") == 1


def test_references_that_lead_nowhere_fail_loudly(
    rotation: Rotation, azure: Azure, microsoft: Microsoft
) -> None:
    reference = refer(rotation)
    Destination.objects.filter(pk=reference.pk).update(refers_to=reference)
    advance(rotation, "failed")
    assert rotation.problem == "delivery_failed"
    assert microsoft.count("store_set") == 0


# More than one


def test_another_destination_gets_the_next_one(
    browser: Browser, rotation: Rotation, azure: Azure, microsoft: Microsoft
) -> None:
    advance(rotation)
    assert browser.get(url(browser, rotation, "destination_add")).status_code == 200
    shown = browser.get(deliver_to(browser, rotation)["Location"]).content.decode()
    assert "It gets the next client secret" in shown
    assert "nothing yet" in shown
    act(browser, rotation, "rotate")
    delivered = set(rotation.destinations.values_list("delivered__key_id", flat=True))
    assert {str(key) for key in delivered} == {azure.ours[-1]}
    assert "nothing yet" not in browser.get(url(browser, rotation)).content.decode()


def test_reference_is_a_choice_where_there_is_something_to_refer_to(
    browser: Browser, rotation: Rotation, azure: Azure
) -> None:
    vault = str(rotation.destinations.get().pk)
    reference = {"kind": "key-vault-reference", "place": "team-store", "name": "hr"}
    form = deliver_to(browser, rotation, **reference).context["form"]
    assert list(form.errors) == ["refers_to"]
    assert deliver_to(browser, rotation, refers_to=vault, **reference).status_code == 302
    shown = browser.get(url(browser, rotation)).content.decode()
    assert "refers to team / hr-secret" in shown
    assert deliver_to(browser, rotation, refers_to=vault).status_code == 302
    assert rotation.destinations.get(name="second").refers_to is None
    rotation.destinations.all().delete()
    rotation.destinations.create(kind="hook", place="vaulty", name="jobs")
    form = deliver_to(browser, rotation, **reference).context["form"]
    assert list(form.errors) == ["kind"]


@pytest.mark.parametrize(
    ("kind", "place", "name", "field"),
    [
        ("key-vault", "a", "x", "place"),
        ("key-vault", "v" * 25, "x", "place"),
        ("key-vault", "two--hyphens", "x", "place"),
        ("key-vault", "1team", "x", "place"),
        ("key-vault", "v" * 24, "x", ""),
        ("app-configuration", "abcd", "x", "place"),
        ("app-configuration", "1team--store", "x", ""),
        ("app-configuration", "team-store", "100%", "name"),
        ("app-configuration", "team-store", "a/b:c", ""),
        ("app-configuration", "team-store", "a\nb", "name"),
        ("app-configuration", "team-store", ".", "name"),
        ("hook", "vaulty", "jobs", ""),
        ("hook", "vaulty", "50%", ""),
        ("hook", "vaulty", "jobs\r\nmore", "name"),
        ("hook", "elsewhere", "jobs", "place"),
    ],
)
def test_names_are_what_azure_allows(
    browser: Browser, rotation: Rotation, azure: Azure, kind: str, place: str, name: str, field: str
) -> None:
    response = deliver_to(browser, rotation, kind=kind, place=place, name=name)
    found = list(response.context["form"].errors) if response.status_code == 200 else []
    assert found == [field] * bool(field)


#: What would lead to another host, or to another path, if it were put into an address.
ELSEWHERE = [
    "", "evil.example/", "evil.example#", "evil.example?", "evil.example\\", "evil.example:443/",
    "x@evil.example/", "x:y@evil.example#", "team.evil", "team.", ".", "..", "/../evil",
    "127.0.0.1#", "[::1]/", "team%2eevil", "t\u00e9am", "team\u3002evil", "team\uff0fevil",
    " team", "team ", "team\n", "te\tam", "te\x7fam", "{name}", "//evil.example/",
]  # fmt: skip


@pytest.mark.parametrize("place", ELSEWHERE[1::6])
@pytest.mark.parametrize(
    "kind", ["key-vault", "app-configuration", "key-vault-reference", "referred"]
)
def test_no_row_sends_anything_to_another_host(
    rotation: Rotation, azure: Azure, microsoft: Microsoft, kind: str, place: str
) -> None:
    row = rotation.destinations.get()
    if kind in {"key-vault-reference", "referred"}:
        reference = refer(rotation)
        row = reference if kind == "key-vault-reference" else row
        kind = row.kind
    Destination.objects.filter(pk=row.pk).update(kind=kind, place=place)
    advance(rotation, "failed")
    assert rotation.problem == "delivery_failed"
    hosts = {urlsplit(request.url).hostname for _, request in microsoft.requests}
    hosts -= {"team.vault.azure.net"} if kind == "key-vault-reference" else set()
    assert hosts == {"login.microsoftonline.com", "graph.microsoft.com"}
    row.refresh_from_db()
    with pytest.raises(ValidationError) as caught:
        row.full_clean()
    assert "place" in caught.value.message_dict


def test_label_has_no_invisible_characters(rotation: Rotation) -> None:
    row = Destination(
        rotation=rotation, kind="app-configuration", place="team-store", name="x", label="a\nb"
    )
    with pytest.raises(ValidationError) as caught:
        row.full_clean()
    assert list(caught.value.message_dict) == ["label"]


@pytest.mark.parametrize("kind", Destination.Kind.values)
def test_place_that_is_empty_is_told_once(rotation: Rotation, kind: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Destination(rotation=rotation, kind=kind, name="x").full_clean()
    assert caught.value.message_dict == {"place": ["This field cannot be blank."]}
    with pytest.raises(ValidationError) as caught:
        Destination(rotation=rotation, kind=kind, place="team-store").full_clean()
    assert caught.value.message_dict["name"] == ["This field cannot be blank."]
    place = "vaulty" if kind == "hook" else "team-store"
    Destination(
        rotation=rotation, kind=kind, place=place, name="x", label="production"
    ).full_clean()


@pytest.mark.parametrize("name", ["../keys/x", "x?y", "x/versions", "", "t\u00e9am", "a\n"])
def test_no_row_writes_to_another_path_of_a_vault(
    rotation: Rotation, azure: Azure, microsoft: Microsoft, name: str
) -> None:
    Destination.objects.update(name=name)
    advance(rotation, "failed")
    assert microsoft.count("vault_set") == 0
    with pytest.raises(ValidationError, match="name"):
        rotation.destinations.get().full_clean()


def test_reference_leads_to_a_vault_only(
    rotation: Rotation, azure: Azure, microsoft: Microsoft
) -> None:
    reference = refer(rotation)
    Destination.objects.exclude(pk=reference.pk).update(kind="hook", place="vaulty")
    advance(rotation, "failed")
    assert rotation.problem == "delivery_failed"
    assert microsoft.count("store_set") == 0


@pytest.mark.parametrize("cloud", BUILT_IN.values())
def test_addresses_stay_in_the_domain_of_each_cloud(cloud: Cloud) -> None:
    assert cloud.vault_url("team") == cloud.vaults.replace("{name}", "team")
    assert cloud.store_url("team-store") == cloud.stores.replace("{name}", "team-store")
    for name in ELSEWHERE:
        for address in (cloud.vault_url, cloud.store_url):
            with pytest.raises(ValueError, match=r"no name of a vault or store\.$"):
                address(name)


@pytest.mark.parametrize(
    ("form", "taken"),
    [
        ({"place": "TEAM", "name": "HR-secret"}, True),
        ({"place": "other", "name": "hr-secret"}, False),
        ({"kind": "app-configuration", "place": "Team-store", "name": "hr:secret"}, False),
        (
            {
                "kind": "app-configuration",
                "place": "Team-store",
                "name": "hr:secret",
                "label": "production",
            },
            True,
        ),
        ({"kind": "hook", "place": "vaulty", "name": "jobs"}, True),
        ({"kind": "hook", "place": "vaulty", "name": "other jobs"}, False),
    ],
)
def test_no_two_deliver_to_the_same_place(
    browser: Browser, rotation: Rotation, azure: Azure, form: dict[str, str], taken: bool
) -> None:
    refer(rotation)
    rotation.destinations.create(kind="hook", place="vaulty", name="jobs")
    response = deliver_to(browser, rotation, **form)
    assert (response.status_code == 302) != taken
    if taken:
        assert "The rotation of HR delivers there already." in response.content.decode()


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_no_two_are_added_for_the_same_place_at_once(browser: Browser, rotation: Rotation) -> None:
    other = Rotation.objects.get()
    other.pk, other.application_id = uuid.uuid4(), uuid.uuid4()
    other.save(force_insert=True)
    both, statuses = threading.Barrier(2, timeout=2), []

    def wait() -> None:
        with suppress(threading.BrokenBarrierError):
            both.wait()

    def click(made: Rotation) -> None:
        person = Browser(browser.user, browser.organization)
        with meanwhile('INSERT INTO "infisical_azure_destination"', wait):
            statuses.append(deliver_to(person, made).status_code)
        connections.close_all()

    threads = [threading.Thread(target=click, args=(made,)) for made in (rotation, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200, 302]
    assert Destination.objects.filter(name="second").count() == 1


def test_another_rotation_may_call_the_same_function(
    browser: Browser, rotation: Rotation, azure: Azure
) -> None:
    rotation.destinations.create(kind="hook", place="vaulty", name="jobs")
    Rotation.objects.update(application_id=rotation.pk)
    form = {"kind": "hook", "place": "vaulty", "name": "jobs"}
    assert add(browser, rotation.connection, **form).status_code == 302


# Removing one


def test_last_destination_stays(browser: Browser, rotation: Rotation, azure: Azure) -> None:
    reference = refer(rotation)
    vault = rotation.destinations.get(kind="key-vault")
    assert "is the only destination" in browser.get(removal_of(browser, vault)).content.decode()
    assert "is the only destination" in remove(browser, vault).content.decode()
    assert "Deliver no longer" in browser.get(removal_of(browser, reference)).content.decode()
    assert remove(browser, reference).status_code == 302
    assert rotation.destinations.get() == vault
    assert browser.get(removal_of(browser, reference)).status_code == 404


def test_reference_goes_with_what_it_refers_to(
    browser: Browser, rotation: Rotation, azure: Azure
) -> None:
    refer(rotation)
    deliver_to(browser, rotation)
    vault = rotation.destinations.get(name="hr-secret")
    content = browser.get(removal_of(browser, vault)).content.decode()
    assert "team-store / hr:secret (production) refers to it" in content
    remove(browser, vault)
    assert rotation.destinations.get().name == "second"


def test_mistyped_vault_is_replaced_and_the_rotation_goes_on(
    browser: Browser, rotation: Rotation, azure: Azure, microsoft: Microsoft
) -> None:
    microsoft.fail("vault_set", None, ConnectionError("no such host"))
    advance(rotation, "failed")
    assert "add the right destination" in browser.get(url(browser, rotation)).content.decode()
    deliver_to(browser, rotation, place="theteam")
    del microsoft.override["vault_set"]
    remove(browser, rotation.destinations.get(place="team"))
    rotation.refresh_from_db()
    assert rotation.wake_at
    assert rotation.wake_at <= timezone.now()
    advance(rotation)
    (put,) = [request for kind, request in microsoft.requests[-2:] if kind == "vault_set"]
    assert put.url.startswith("https://theteam.vault.azure.net/")


def test_destination_that_is_removed_meanwhile_breaks_nothing(
    rotation: Rotation, azure: Azure, microsoft: Microsoft
) -> None:
    rotation.destinations.create(kind="hook", place="vaulty", name="jobs")
    vault = rotation.destinations.get(kind="key-vault")
    microsoft.before["vault_set"] = lambda: engine.remove_destination(vault)
    advance(rotation)
    assert rotation.destinations.get().delivered == rotation.secrets.get()


# How often


def change(browser: Browser, rotation: Rotation, **form: str) -> Any:
    form = {"interval": "7", "overlap": "1", "lifetime": "0", **form}
    return browser.post(url(browser, rotation, "rotation_edit"), form)


def test_next_one_moves_with_the_interval(
    browser: Browser, rotation: Rotation, azure: Azure
) -> None:
    advance(rotation)
    secret = rotation.secrets.get()
    shown = browser.get(change(browser, rotation)["Location"]).content.decode()
    assert "The rotation is changed." in shown
    rotation.refresh_from_db()
    assert (rotation.interval, rotation.overlap, rotation.lifetime) == (7 * DAY, DAY, 15 * DAY)
    assert rotation.due_at == secret.delivered_at + 7 * DAY
    advance(rotation, "waiting")
    assert rotation.wake_at == rotation.due_at
    change(browser, rotation, interval="180", lifetime="365")
    rotation.refresh_from_db()
    # The one in use lasts for 90 days: its successor has to come well before that.
    assert rotation.due_at < secret.expires_at - timedelta(days=7)


def test_form_shows_what_holds(browser: Browser, rotation: Rotation) -> None:
    Rotation.objects.update(interval=45 * DAY, lifetime=90 * DAY)
    content = browser.get(url(browser, rotation, "rotation_edit")).content.decode()
    assert '<option value="45" selected>45 days</option>' in content
    assert '<option value="2" selected>2 days</option>' in content
    assert '<option value="90" selected>90 days</option>' in content
    assert change(browser, rotation, interval="45", overlap="2", lifetime="90").status_code == 302
    Rotation.objects.update(interval=30 * DAY, overlap=3 * DAY, lifetime=48 * DAY)
    content = browser.get(url(browser, rotation, "rotation_edit")).content.decode()
    assert "48 days" not in content


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({"interval": "90", "lifetime": "90"}, "choose one of 136 days or more"),
        ({"interval": "1", "lifetime": "90"}, "is not one of the available choices"),
        ({"lifetime": "1"}, "is not one of the available choices"),
    ],
)
def test_lifetime_covers_interval_and_overlap(
    browser: Browser, rotation: Rotation, form: dict[str, str], words: str
) -> None:
    assert words in change(browser, rotation, **form).content.decode()
    rotation.refresh_from_db()
    assert rotation.interval == 30 * DAY


def test_lifetime_is_chosen_with_the_rotation(
    browser: Browser, connection: AppConnection, azure: Azure
) -> None:
    add(browser, connection, lifetime="365")
    assert Rotation.objects.get().lifetime == 365 * DAY


def test_one_that_is_wanted_stays_wanted(browser: Browser, rotation: Rotation) -> None:
    change(browser, rotation)
    rotation.refresh_from_db()
    assert rotation.due_at <= timezone.now()


def test_change_during_a_rotation_is_heeded_by_it(
    browser: Browser, rotation: Rotation, azure: Azure, microsoft: Microsoft
) -> None:
    schedule = {"interval": 7 * DAY, "overlap": DAY, "lifetime": 15 * DAY}
    microsoft.before["vault_set"] = lambda: engine.reschedule(rotation, **schedule)
    advance(rotation)
    assert rotation.interval == 7 * DAY
    assert timezone.now() + 6 * DAY < rotation.due_at <= timezone.now() + 7 * DAY


def test_reader_changes_nothing(browser: Browser, rotation: Rotation) -> None:
    remove_member(browser.organization, browser.user)
    add_member(browser.organization, browser.user, "view")
    content = browser.get(url(browser, rotation)).content.decode()
    assert "Add destination" not in content
    assert "Change the interval" not in content
    assert change(browser, rotation).status_code == 403
    assert deliver_to(browser, rotation).status_code == 403
    assert remove(browser, rotation.destinations.get()).status_code == 403


# What the watch sees


def look(rotation: Rotation, azure: Azure, microsoft: Microsoft) -> None:
    """Read the directory as the watch does."""
    microsoft.before["applications"] = azure.show
    assert watch.watch(rotation.connection).watched == 1


def test_one_in_use_that_somebody_removed_is_replaced_as_soon_as_the_watch_misses_it(
    rotation: Rotation, azure: Azure, microsoft: Microsoft
) -> None:
    heard = listen(rotation_failed)
    advance(rotation)
    with later(hours=1):
        look(rotation, azure, microsoft)
        advance(rotation, "waiting")
        azure.secrets.pop()
        look(rotation, azure, microsoft)
        advance(rotation, "failed")
        assert (rotation.problem, len(heard)) == ("current_secret_missing", 1)
        advance(rotation)
        assert rotation.problem == ""
        assert states(rotation) == ["retiring", "current"]
        assert len(azure.ours) == 1


def test_one_in_use_that_is_not_visible_yet_is_looked_for_later(
    rotation: Rotation, azure: Azure, microsoft: Microsoft
) -> None:
    advance(rotation)
    azure.is_shown = False
    look(rotation, azure, microsoft)
    advance(rotation)
    assert rotation.missed_at == rotation.wake_at
    assert rotation.problem == ""
    azure.is_shown = True
    with later(minutes=16):
        advance(rotation)
    assert rotation.missed_at is None
    assert states(rotation) == ["current"]


def test_paused_one_says_that_somebody_removed_what_was_in_use(
    browser: Browser, rotation: Rotation, azure: Azure, microsoft: Microsoft
) -> None:
    advance(rotation)
    engine.pause(rotation)
    azure.secrets.pop()
    with later(hours=1):
        look(rotation, azure, microsoft)
        advance(rotation, "failed")
        advance(rotation, "waiting")
        assert "Resume the rotation" in browser.get(url(browser, rotation)).content.decode()
        engine.resume(rotation)
        shown = browser.get(url(browser, rotation)).content.decode()
        assert "A new one is made at once" in shown
        advance(rotation)
        assert rotation.problem == ""
    assert states(rotation) == ["retiring", "current"]


def test_reading_that_comes_while_a_rotation_is_worked_on_is_heeded(
    rotation: Rotation, azure: Azure, microsoft: Microsoft
) -> None:
    advance(rotation)
    secret = azure.secrets.pop()
    with later(hours=1):
        Rotation.objects.update(due_at=timezone.now())
        looked = []

        def look_once() -> None:
            if not looked:
                looked.append(True)
                Rotation.objects.update(missed_at=timezone.now(), wake_at=timezone.now())

        microsoft.before["vault_set"] = look_once
        advance(rotation)
    assert looked
    assert rotation.missed_at is None
    assert secret["keyId"] not in azure.ours
    assert microsoft.count("application") == 1


def test_one_that_another_process_has_put_to_use_meanwhile_is_not_taken_for_removed(
    rotation: Rotation, azure: Azure, microsoft: Microsoft
) -> None:
    advance(rotation)
    azure.secrets.pop()
    show = microsoft.before["application"]

    def overtake() -> None:
        show()
        Rotation.objects.update(fence=99)

    microsoft.before["application"] = overtake
    with later(hours=1):
        Rotation.objects.update(missed_at=timezone.now(), wake_at=timezone.now())
        assert engine.advance(rotation.pk) == "skipped"
        assert not rotation.secrets.get(state="current").has_ended
