"""Graph's applications: lists, searches, pages, and who may read them."""

from __future__ import annotations

import statistics
import time

import pytest

from example_project.standin.application_answers import FIELDS
from example_project.standin.directory import DEFAULT_CLIENT_ID, DEFAULT_SECRET_ID

from .app import CONTOSO, GRAPH, OIDC, App
from .directory import HEADER, Caller, error_of, names_of

UNSUPPORTED = (400, "Request_UnsupportedQuery")
BAD = (400, "Request_BadRequest")


@pytest.fixture
def ada(app: App) -> Caller:
    return Caller(app)


def test_seeded_applications_are_the_same_after_every_reset(ada: Caller) -> None:
    def facts() -> list[tuple[str, ...]]:
        found = ada.standin.applications(CONTOSO)
        return [(a["id"], a["displayName"], *(s["keyId"] for s in a["secrets"])) for a in found]

    before = facts()
    ada.standin.reset()
    assert facts() == before
    assert (len(before), len(ada.standin.applications("fabrikam.com"))) == (60, 3)
    counts = {len(a["secrets"]) for a in ada.standin.applications(CONTOSO)}
    assert counts >= {0, 1, 2, 3, 8}


def test_list_shows_full_objects_without_values(ada: Caller) -> None:
    answer = ada.get()
    assert answer.json()["@odata.context"].endswith("/v1.0/$metadata#applications")
    assert answer.headers["x-ms-resource-unit"] == "2"
    assert "@odata.nextLink" not in answer.json()
    assert "@odata.count" not in answer.json()
    found = answer.json()["value"]
    assert len(found) == 60
    assert {tuple(application) for application in found} == {FIELDS}
    secrets = [secret for application in found for secret in application["passwordCredentials"]]
    assert {tuple(secret) for secret in secrets} == {tuple(sorted(secrets[0]))}
    assert all(secret["secretText"] is None for secret in secrets)
    assert all(len(secret["hint"]) == 3 for secret in secrets)
    registered = next(a for a in found if a["appId"] == DEFAULT_CLIENT_ID)
    assert [s["keyId"] for s in registered["passwordCredentials"]] == [DEFAULT_SECRET_ID]


def test_select_shows_the_chosen_fields_only(ada: Caller) -> None:
    answer = ada.get(select="displayName,appId", top=5)
    assert answer.json()["@odata.context"].endswith("#applications(appId,displayName)")
    assert answer.headers["x-ms-resource-unit"] == "1"
    assert {tuple(a) for a in answer.json()["value"]} == {("appId", "displayName")}


def test_one_application_by_either_id(ada: Caller) -> None:
    known = ada.named("Payroll Export")
    one = ada.get(f"/{known['id']}").json()
    assert one["@odata.context"].endswith("#applications/$entity")
    assert tuple(one)[1:] == FIELDS
    assert one["publisherDomain"] == CONTOSO
    other = ada.get(f"(appId='{known['appId']}')", select="id").json()
    assert other == {
        "@odata.context": "https://graph.microsoft.com/v1.0/$metadata#applications(id)/$entity",
        "id": known["id"],
    }
    for path in ("/nothing", "(appId='nothing')", f"/{known['appId']}"):
        assert error_of(ada.get(path)) == (404, "Request_ResourceNotFound")
    ada.standin.remove_application(CONTOSO, known["appId"])
    assert error_of(ada.get(f"/{known['id']}")) == (404, "Request_ResourceNotFound")
    assert len(ada.get().json()["value"]) == 59


def test_filters(ada: Caller) -> None:
    payroll, portal = ada.named("Payroll Export"), ada.named("HR Portal")
    by_app_id = f"appId eq '{payroll['appId']}'"
    ada.standin.add_application(CONTOSO, "Ada's")
    for text, names in (
        (by_app_id, ["Payroll Export"]),
        (f"{by_app_id} or id eq '{portal['id']}'", ["HR Portal", "Payroll Export"]),
        (f"{by_app_id} or {by_app_id}", ["Payroll Export"]),
        ("startswith(displayName,'warehouse')", ["Warehouse Scanner", "Warehouse Scanner API"]),
        ("startswith(displayName, 'ada''s')", ["Ada's"]),
        ("startsWith", None),
        ("appId eq 'nothing'", []),
        ("displayName eq 'HR Portal'", None),
        (f"not({by_app_id})", None),
        (f"{by_app_id} and id eq '{payroll['id']}'", None),
    ):
        answer = ada.get(filter=text)
        if names is None:
            assert answer.status_code == 400
        else:
            assert names_of(answer) == names
    assert error_of(ada.get(filter="appId eq 'open")) in (BAD, UNSUPPORTED)
    assert error_of(ada.get(filter=" or ".join([by_app_id] * 16))) == UNSUPPORTED


def test_searches_need_the_header(ada: Caller) -> None:
    term = '"displayName:scanner WAREHOUSE"'
    refused = ada.get(search=term)
    assert error_of(refused) == UNSUPPORTED
    assert refused.json()["error"]["message"] == (
        "Request with $search query parameter only works through MSGraph with a special request "
        "header: 'ConsistencyLevel: eventual'"
    )
    assert names_of(ada.get(search=term, headers=HEADER)) == [
        "Warehouse Scanner",
        "Warehouse Scanner API",
    ]
    several = f'{term} OR "displayName:müller"'
    assert len(names_of(ada.get(search=several, headers=HEADER))) == 3
    assert names_of(ada.get(search='"displayName:nothing"', headers=HEADER)) == []
    for text in ("warehouse", '"appId:1"', '"displayName:"', '"displayName:a" AND "displayName:b"'):
        assert error_of(ada.get(search=text, headers=HEADER)) == BAD


def test_counts_need_the_header_and_are_on_the_first_page_only(ada: Caller) -> None:
    assert error_of(ada.get(count="true")) == UNSUPPORTED
    first = ada.get(count="true", top=40, headers=HEADER).json()
    assert first["@odata.count"] == 60
    # The header must come again, too.
    assert error_of(ada.follow(first["@odata.nextLink"])) == UNSUPPORTED
    second = ada.follow(first["@odata.nextLink"], HEADER).json()
    assert "@odata.count" not in second
    assert len(second["value"]) == 20
    filtered = ada.get(count="true", filter="startswith(displayName,'war')", headers=HEADER)
    assert filtered.json()["@odata.count"] == 2


def test_orders(ada: Caller) -> None:
    ascending = names_of(ada.get(orderby="displayName"))
    assert ascending == sorted(ascending, key=str.casefold)
    assert names_of(ada.get(orderby="displayName desc")) == ascending[::-1]
    assert names_of(ada.get()) != ascending
    narrowed = {"filter": "startswith(displayName,'w')", "orderby": "displayName desc"}
    refused = ada.get(**narrowed)
    assert error_of(refused) == UNSUPPORTED
    assert refused.json()["error"]["message"] == "Sorting not supported for current query."
    assert error_of(ada.get(headers=HEADER, **narrowed)) == UNSUPPORTED
    found = names_of(ada.get(headers=HEADER, count="true", **narrowed))
    assert found == ["Website Contact Form", "Warehouse Scanner API", "Warehouse Scanner"]
    assert error_of(ada.get(orderby="createdDateTime")) == UNSUPPORTED


@pytest.mark.parametrize("orderby", ["", "displayName", "displayName desc"])
def test_pages_together_are_the_whole_list(ada: Caller, orderby: str) -> None:
    options = {"orderby": orderby} if orderby else {}
    whole = names_of(ada.get(**options))
    for empty_pages in (False, True):
        ada.standin.directory(empty_pages=empty_pages)
        page = ada.get(top=7, select="displayName", **options).json()
        found, sizes = [page["value"]], [len(page["value"])]
        while "@odata.nextLink" in page:
            page = ada.follow(page["@odata.nextLink"]).json()
            found.append(page["value"])
            sizes.append(len(page["value"]))
        assert [a["displayName"] for part in found for a in part] == whole
        assert {tuple(a) for part in found for a in part} == {("displayName",)}
        assert sizes == ([7, 0] * 8 + [4] if empty_pages else [7] * 8 + [4])


def test_bad_options(ada: Caller) -> None:
    for top in (0, 1000, -1):
        assert error_of(ada.get(top=top)) == UNSUPPORTED
    assert ada.get(top=999).status_code == 200
    assert error_of(ada.get(top="many")) == BAD
    assert error_of(ada.get(select="id,shoeSize")) == BAD
    assert error_of(ada.get(skip=5)) == UNSUPPORTED
    assert error_of(ada.get(skiptoken="invented")) == (400, "Directory_ExpiredPageToken")


def test_page_of_another_tenant_is_refused(app: App, ada: Caller) -> None:
    link = ada.get(top=1).json()["@odata.nextLink"]
    faye = Caller(app, "faye@fabrikam.com")
    assert len(faye.get().json()["value"]) == 3
    assert error_of(faye.follow(link)) == (400, "Directory_ExpiredPageToken")


def test_any_member_reads_with_the_permission(app: App) -> None:
    assert Caller(app, "max@contoso.com").get().status_code == 200
    app.standin.revoke_consent(CONTOSO)
    narrow = app.tokens(scope=f"{OIDC} {GRAPH}/User.Read")["access_token"]
    assert error_of(app.graph("/applications", narrow)) == (403, "Authorization_RequestDenied")
    directory = app.tokens(scope=f"{OIDC} {GRAPH}/Directory.ReadWrite.All")["access_token"]
    assert app.graph("/applications", directory).status_code == 200
    assert error_of(app.graph("/applications", "")) == (401, "InvalidAuthenticationToken")


@pytest.mark.parametrize(
    ("fault", "status", "header"),
    [
        ("unauthorized", 401, "WWW-Authenticate"),
        ("claims_challenge", 401, "WWW-Authenticate"),
        ("forbidden", 403, None),
        ("not_found", 200, None),
        ("page_expired", 400, None),
        ("throttled", 429, "Retry-After"),
        ("throttled_without_retry_after", 429, "x-ms-throttle-scope"),
        ("unavailable", 503, None),
        ("html", 500, None),
    ],
)
def test_faults_hit_applications_only(
    app: App, ada: Caller, fault: str, status: int, header: str | None
) -> None:
    app.standin.fault(f"graph_read_{fault}")
    assert app.graph("/me", ada.token).status_code == 200
    answer = ada.get()
    assert answer.status_code == status
    assert header is None or header in answer.headers
    assert ada.get().status_code == 200
    app.standin.fault("graph_unavailable")
    assert ada.get().status_code == 503


def test_first_page_costs_the_same_in_a_large_tenant(ada: Caller) -> None:
    def typical() -> float:
        times = []
        for _ in range(9):
            started = time.perf_counter()
            ada.get(top=50, orderby="displayName", select="id,displayName")
            times.append(time.perf_counter() - started)
        return statistics.median(times)

    ada.standin.add_applications(CONTOSO, 40)
    before = typical()
    ada.standin.add_applications(CONTOSO, 9_900)
    # Far below what a walk through all of them would cost; the machine may be busy.
    assert typical() < before * 1.2 + 0.01
    assert len(ada.standin.applications(CONTOSO)) == 10_000


def test_journal_has_the_questions(ada: Caller) -> None:
    ada.get(search='"displayName:hr"', headers=HEADER)
    entry = ada.standin.graph_requests()[-1]
    assert entry["query"] == {"$search": ['"displayName:hr"']}
    assert entry["status"] == 200
