"""The buttons of the sign-in pages."""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.http import require_POST

from .answers_to_app import cancelled
from .directory import find_account
from .pages import pick_page
from .sign_in import choose, decide
from .state import STATE
from .visits import Visit


@require_POST
def account_picked(request: HttpRequest, visit_id: str) -> HttpResponse:
    visit = _visit(visit_id)
    if request.POST.get("account") == "":
        return cancelled(request, visit)
    account = find_account(request.POST.get("account", ""))
    if account is None:
        return pick_page(request, visit)
    with STATE.lock:
        visit.choose_fault(request.POST.get("fault", ""))
    return choose(request, visit, account)


@require_POST
def decision_made(request: HttpRequest, visit_id: str) -> HttpResponse:
    visit = _visit(visit_id)
    decision = request.POST.get("decision", "")
    if visit.account is None or decision == "other_account":
        return pick_page(request, visit)
    if decision == "accept" and request.POST.get("for_everyone"):
        decision = "consent_for_all"
    return decide(request, visit, visit.account, decision)


def _visit(visit_id: str) -> Visit:
    visit = STATE.visits.get(visit_id)
    if visit is None:
        raise Http404
    return visit
