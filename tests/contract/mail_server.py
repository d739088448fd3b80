# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A mail server on loopback, with as much of SMTP as a client of the standard library speaks: EHLO, STARTTLS, AUTH PLAIN, one message a connection."""

from __future__ import annotations

import base64
import socket
import ssl
import threading
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any, Optional


@dataclass
class MailServer:
    """Use as a context manager. ``refuses``: the answer to a command (``MAIL``, ``RCPT``, ``AUTH``, ``DATA``) instead of taking it."""

    tls: Optional[ssl.SSLContext] = None
    login: tuple[str, str] = ("", "")
    refuses: dict[str, str] = field(default_factory=dict)
    mails: list[EmailMessage] = field(default_factory=list)
    recipients: list[str] = field(default_factory=list)
    secured: bool = False

    def __enter__(self) -> MailServer:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _serve(self) -> None:
        while True:
            try:
                sock, _peer = self._listener.accept()
            except OSError:
                return
            sock.settimeout(120)
            try:
                self._talk(sock)
            except OSError:
                continue  # the client hung up, as it may

    def _talk(self, sock: Any) -> None:
        lines = sock.makefile("rb")
        sock.sendall(b"220 mail.test\r\n")
        while True:
            line = lines.readline().decode("latin-1").strip()
            verb = line.split(" ")[0].upper()
            if not line or verb == "QUIT":
                sock.sendall(b"221 bye\r\n")
                sock.close()
                return
            if verb in self.refuses:
                sock.sendall(f"{self.refuses[verb]}\r\n".encode())
            elif verb == "EHLO":
                offers = ["mail.test", *(["STARTTLS"] if self.tls and not self.secured else []), *(["AUTH PLAIN"] if self.login[0] else []), "8BITMIME"]
                sock.sendall("".join(f"250{'-' if offer is not offers[-1] else ' '}{offer}\r\n" for offer in offers).encode())
            elif verb == "STARTTLS" and self.tls:
                sock.sendall(b"220 go on\r\n")
                sock = self.tls.wrap_socket(sock, server_side=True)
                lines, self.secured = sock.makefile("rb"), True
            elif verb == "AUTH":
                given = base64.b64decode(line.split(" ")[2]).decode().split("\x00")[1:]
                sock.sendall(b"235 ok\r\n" if tuple(given) == self.login else b"535 no\r\n")
            elif verb == "RCPT":
                self.recipients.append(line.split("<")[1].split(">")[0])
                sock.sendall(b"250 ok\r\n")
            elif verb == "DATA":
                sock.sendall(b"354 go on\r\n")
                body = b""
                while (part := lines.readline()) != b".\r\n":
                    body += part[1:] if part.startswith(b".") else part
                self.mails.append(message_from_bytes(body, policy=policy.default))
                sock.sendall(b"250 taken\r\n")
            else:
                sock.sendall(b"250 ok\r\n")
