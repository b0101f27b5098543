"""Run the stand-in: python -m example_project.standin --port 8001."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence


def parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m example_project.standin", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8001, help="0 takes any free port")
    parser.add_argument("--redirect-uri", action="append", default=[], metavar="URL")
    parser.add_argument("--client-id", default="", metavar="GUID")
    parser.add_argument("--client-secret", default="", metavar="VALUE")
    parser.add_argument("--seed", type=int, help="make the random lifetimes repeatable")
    parser.add_argument(
        "--tls", nargs=2, metavar=("CERTFILE", "KEYFILE"), help="speak HTTPS, with this certificate"
    )
    parser.add_argument("--exit-with-parent", action="store_true")
    return parser.parse_args(argv)


def main(argv: Sequence[str]) -> None:
    options = parse(argv)
    parent = os.getppid()  # Before the slow imports, during which it may end.
    # Set, not defaulted: a caller's own settings module must not leak in here.
    os.environ["DJANGO_SETTINGS_MODULE"] = "example_project.standin.settings"
    import django

    django.setup()
    # To refuse requests is what it is for: that is no news for a terminal.
    logging.getLogger("django.request").setLevel(logging.ERROR)
    # These need Django's settings, which only exist from here on.
    from django.core.handlers.wsgi import WSGIHandler

    from example_project.standin.directory import registration
    from example_project.standin.server import StandInHandler, StandInServer, exit_with_parent
    from example_project.standin.state import STATE

    if options.exit_with_parent:
        exit_with_parent(parent)
    server = StandInServer((options.host, options.port), StandInHandler)
    server.set_app(WSGIHandler())
    if options.tls:
        server.speak_tls(*options.tls)
    STATE.configure(
        origin=f"{'https' if options.tls else 'http'}://{options.host}:{server.server_port}",
        registration=registration(
            client_id=options.client_id,
            client_secret=options.client_secret,
            redirect_uris=tuple(options.redirect_uri),
        ),
        seed=options.seed,
    )
    STATE.keys.all()  # Made now, so that no first request has to wait for it.
    print(f"Entra stand-in ready on {STATE.origin}", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        server.server_close()


if __name__ == "__main__":
    main(sys.argv[1:])
