"""The suite in fresh environments; ``make test`` runs django_newest where it can."""

from __future__ import annotations

import nox

nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_existing_virtualenvs = True


def install(session: nox.Session, django: str) -> None:
    session.install("-q", "-e", ".[test]", f"django~={django}")


@nox.session(python=["3.11", "3.12", "3.13"])
@nox.parametrize("django", ["5.2.0", "6.1.0"])
def tests(session: nox.Session, django: str) -> None:
    """Run the suite on one Python and one Django."""
    if django.startswith("6") and session.python == "3.11":
        session.skip("Django 6.1 needs Python 3.12")
    install(session, django)
    session.run(
        "python", "-W", "error", "-m", "pytest", "-m", "not browser and not redis", *session.posargs
    )


@nox.session
def django_newest(session: nox.Session) -> None:
    """Run the suite and the example site's on Django 6.1."""
    install(session, "6.1.0")
    # The stand-in is the same on every Django; what waits for sockets is the same, too.
    session.run(
        *("python", "-m", "pytest", "-q", "-m", "not browser and not redis and not slow"),
        *("--ignore=tests/standin", "--ignore=tests/test_transport.py"),
    )
    session.run("python", "-m", "pytest", "-q", "--ds=example_project.settings", "tests/example")


@nox.session
@nox.parametrize("organization", ["uuid", "integer", "group"])
def migrations(session: nox.Session, organization: str) -> None:
    """Check that no migration is missing, whatever the organization model."""
    install(session, "5.2.0")
    environment = {"TEST_ORGANIZATION": organization, "DJANGO_SETTINGS_MODULE": "tests.settings"}
    arguments = ("makemigrations", "--check", "--dry-run", "infisical_azure")
    session.run("python", "-m", "django", *arguments, env=environment)
