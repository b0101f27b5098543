"""The threaded HTTP/1.1 server, with access to the raw connection for faults."""

from __future__ import annotations

import os
import socketserver
import ssl
import sys
import threading
import time
from typing import Any

from django.core.servers.basehttp import ThreadedWSGIServer, WSGIRequestHandler


class StandInServer(ThreadedWSGIServer):
    request_queue_size = 256
    daemon_threads = True

    def server_bind(self) -> None:
        # The inherited one asks DNS for the name of the host, which can take seconds.
        socketserver.TCPServer.server_bind(self)
        host, port = self.socket.getsockname()[:2]
        self.server_name, self.server_port = str(host), int(port)
        self.setup_environ()

    def speak_tls(self, certificate_file: str, key_file: str) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate_file, key_file)
        # The handshake waits for the thread of the connection: it must not hold up accept().
        self.socket = context.wrap_socket(
            self.socket, server_side=True, do_handshake_on_connect=False
        )
        self.base_environ["HTTPS"] = "on"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Stay quiet when a client, or one of our own faults, broke the connection."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class StandInHandler(WSGIRequestHandler):
    disable_nagle_algorithm = True

    def get_environ(self) -> dict[str, Any]:
        environ: dict[str, Any] = super().get_environ()
        environ["standin.handler"] = self
        return environ

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: the journal of the control API is the log."""


def exit_with_parent(parent: int) -> None:
    """End this process soon after the one that started it has ended."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(0)

    threading.Thread(target=watch, daemon=True).start()
