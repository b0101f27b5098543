"""Call one URL with one session from many threads at once: ``python -m tests.faults.callers``."""

from __future__ import annotations

import json
import sys
import threading
from concurrent.futures import ThreadPoolExecutor


def main(url: str, session: str, threads: int) -> None:
    import django

    django.setup()
    from django.conf import settings
    from django.db import connection
    from django.test import Client

    barrier = threading.Barrier(threads)

    def call(_: int) -> tuple[int, str]:
        client = Client(raise_request_exception=False)
        client.cookies[settings.SESSION_COOKIE_NAME] = session
        barrier.wait()
        response = client.get(url)
        connection.close()
        return response.status_code, response.get("Location", "")

    with ThreadPoolExecutor(threads) as pool:
        print("ready", flush=True)
        sys.stdin.readline()
        print(json.dumps(list(pool.map(call, range(threads)))), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
