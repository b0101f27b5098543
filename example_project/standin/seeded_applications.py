"""The applications that the tenants have from the start."""

from __future__ import annotations

from datetime import datetime, timedelta

from .applications import ORGANIZATION_ONLY, Application, Applications, fixed_id
from .client_secrets import ClientSecret, new_value, seeded_secret
from .directory import ADA, CONTOSO_ID, FABRIKAM_ID, FAYE, FINN, MAX, UNA, Registration, Secret

Days = tuple[int, ...]
_OPERATORS_SECRET_ENDS_IN = timedelta(days=608)
_LONG = (
    "Intercompany reconciliation of invoices and credit notes between the subsidiaries in Northern "
    "and Central Europe (nightly batch)"
)
# In how many days each client secret ends; several have expired.
_CONTOSO: tuple[tuple[str, Days], ...] = (
    ("Payroll Export", (2, 365)),
    ("HR Portal", (6,)),
    ("Warehouse Scanner", (12, 400)),
    ("Warehouse Scanner API", (25,)),
    (_LONG, (29, 700)),
    ("Müller Spedition - Lieferscheinübermittlung", (-3, 180)),
    ("Absence Calendar Sync", ()),
    ("Legacy Intranet Search", (-410, -45, -12, 3, 60, 200, 390, 720)),
    ("Accounts Payable Robot", (365,)),
    ("Badge Printer", (-30,)),
    ("Billing Gateway", (90, 455)),
    ("Board Reporting", (720,)),
    ("Branch Opening Hours", (210,)),
    ("Budget Planner", (2,)),
    ("Canteen Menu Screen", ()),
    ("Car Pool Booking", (500,)),
    ("Catalogue Importer", (6, 6)),
    ("Contract Archive", (-200, 530)),
    ("Crash Report Collector", (12,)),
    ("Customer Feedback Survey", (365,)),
    ("Customs Declarations", (25, 25, 390)),
    ("Data Warehouse Loader", (-1, 29)),
    ("Delivery Tracking", (640,)),
    ("Desk Booking", (120,)),
    ("Document Scanner Floor 3", (-700,)),
    ("E-Mail Signature Service", (300,)),
    ("Energy Meter Reader", (45, 410)),
    ("Expense Claims", (365,)),
    ("Facility Tickets", ()),
    ("Field Service Tablet", (80,)),
    ("Fleet Telematics", (29,)),
    ("Goods Inwards Terminal", (150,)),
    ("Grafana", (14, 380)),
    ("Holiday Approvals", (365,)),
    ("Identity Lifecycle Job", (60,)),
    ("Inventory Count", (-90, -5, 275)),
    ("Invoice Mailer", (600,)),
    ("Jenkins Build Farm", (6, 371)),
    ("Kiosk Mode Launcher", (240,)),
    ("Label Designer", (330,)),
    ("Learning Platform", (365,)),
    ("Mail Room", (500,)),
    ("Marketing Automation", (20,)),
    ("Meeting Room Displays", (110,)),
    ("Newsletter Sign-up", (365,)),
    ("On-call Rota", (70, 435)),
    ("Order Confirmation Sender", (12, 377)),
    ("Partner Portal", (190,)),
    ("Phone Directory", ()),
    ("Price List Generator", (-60, 305)),
    ("Print Accounting", (2, 30)),
    ("Quality Assurance Dashboard", (365,)),
    ("Returns Desk", (460,)),
    ("Sales Forecast", (25, 390)),
    ("Shift Planning", (340,)),
    ("Supplier Onboarding", (700,)),
    ("Terraform Runner", (29, 394)),
    ("Visitor Registration", (260,)),
    ("Website Contact Form", (365,)),
)
_FABRIKAM: tuple[tuple[str, Days], ...] = (
    ("Assembly Line Monitor", (12, 377)),
    ("Spare Parts Shop", (365,)),
    ("Time Clock", ()),
)
_SECRET_NAMES = ("ci", "terraform", None, "legacy 2023", "backup job", "Rotated by hand", "prod")
_OWNERS = {
    "Payroll Export": (MAX.oid,),
    "HR Portal": (MAX.oid, ADA.oid),
    "Grafana": (MAX.oid,),
    "Absence Calendar Sync": (MAX.oid,),
    "Budget Planner": (UNA.oid,),
    "Spare Parts Shop": (FINN.oid,),
    "Time Clock": (FAYE.oid,),
}


def seeded_applications(app: Registration, now: datetime) -> dict[str, Applications]:
    contoso = [*_seeded(CONTOSO_ID, _CONTOSO, now), _operators(app, now)]
    fabrikam = _seeded(FABRIKAM_ID, _FABRIKAM, now)
    return {
        CONTOSO_ID: Applications(CONTOSO_ID, contoso),
        FABRIKAM_ID: Applications(FABRIKAM_ID, fabrikam),
    }


def make_application(
    id_: str,
    name: str,
    now: datetime,
    *,
    owners: tuple[str, ...] = (),
    audience: str = ORGANIZATION_ONLY,
) -> Application:
    return Application(
        id=id_,
        app_id=fixed_id(id_, "appId"),
        name=name,
        created=now.replace(microsecond=0),
        owners=owners,
        audience=audience,
    )


def _seeded(tenant_id: str, rows: tuple[tuple[str, Days], ...], now: datetime) -> list[Application]:
    applications = []
    for number, (name, all_days) in enumerate(rows):
        application = make_application(
            fixed_id(tenant_id, name),
            name,
            now - timedelta(days=760 + 11 * number),
            owners=_OWNERS.get(name, ()),
        )
        for place, days in enumerate(all_days):
            secret_name = _SECRET_NAMES[(number + place) % len(_SECRET_NAMES)]
            key_id = fixed_id(application.id, place)
            secret = seeded_secret(key_id, display_name=secret_name, days=days, now=now)
            application.secrets.append(secret)
        applications.append(application)
    return applications


def _operators(app: Registration, now: datetime) -> Application:
    """The registered application, in its publisher's own tenant."""
    return Application(
        id=fixed_id(app.client_id),
        app_id=app.client_id,
        name=app.name,
        created=(now - timedelta(days=900)).replace(microsecond=0),
        audience="AzureADMultipleOrgs",
        owners=(ADA.oid,),
        app_roles=("Application.ReadWrite.All",),
        secrets=[_mirrored(secret, now) for secret in app.secrets],
    )


def _mirrored(secret: Secret, now: datetime) -> ClientSecret:
    start = (now - timedelta(days=30)).replace(microsecond=0)
    return ClientSecret(
        key_id=secret.id,
        value=secret.value or new_value(),
        display_name="production",
        start=start,
        end=secret.expires_at or now.replace(microsecond=0) + _OPERATORS_SECRET_ENDS_IN,
    )
