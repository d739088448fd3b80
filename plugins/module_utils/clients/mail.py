# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Mail through one SMTP server: one message, bounded in time. Passwords and addresses stand in no message of ours."""

from __future__ import annotations

import fnmatch
import smtplib
import ssl
from collections.abc import Iterable
from email.message import EmailMessage

from ..core.errors import ConfigError, Unavailable

PORTS = {"none": 25, "starttls": 587, "tls": 465}
"""The usual port of each way to secure the connection."""


def check_server(host: str, port: int, allow: Iterable[str] = ()) -> None:
    """Raises ConfigError for a host that ``rollout_url_allow`` leaves out."""
    patterns = list(allow)
    if patterns and not any(fnmatch.fnmatchcase(name, pattern.lower()) for pattern in patterns for name in (host.lower(), f"{host.lower()}:{port}")):
        raise ConfigError(f"mail through {host}:{port} is not allowed (rollout_url_allow)", do=f"Allowed: {', '.join(patterns)}.")


def send(message: EmailMessage, *, host: str, port: int, security: str, username: str = "", password: str = "", ca_path: str = "", timeout: float) -> None:
    """Hand ``message`` to the server. ``security``: none, starttls or tls. Raises Unavailable, and ConfigError for an authority's file."""
    where = f"smtp {host}:{port}"
    try:
        context = ssl.create_default_context(cafile=ca_path or None) if security != "none" else None
    except (OSError, ssl.SSLError):
        raise ConfigError(f"{ca_path} cannot be read as certificates", where="email.ca_path") from None
    try:
        made = smtplib.SMTP_SSL(host, port, timeout=timeout, context=context) if security == "tls" else smtplib.SMTP(host, port, timeout=timeout)
        with made as server:
            if security == "starttls":
                server.starttls(context=context)
            if username:
                server.login(username, password)
            server.send_message(message)
    except smtplib.SMTPResponseException as error:
        raise Unavailable(f"refused: SMTP {error.smtp_code}", where=where) from None
    except smtplib.SMTPRecipientsRefused as error:
        codes = sorted({code for code, _text in error.recipients.values()})
        raise Unavailable(f"the recipients are refused: SMTP {', '.join(map(str, codes))}", where=where) from None
    except smtplib.SMTPException as error:
        raise Unavailable(f"not sent ({type(error).__name__})", where=where) from None
    except ssl.SSLCertVerificationError as error:
        raise Unavailable(f"the TLS certificate is not trusted: {error.verify_message}", where=where) from None
    except TimeoutError:
        raise Unavailable("no answer in time", where=where) from None
    except OSError as error:
        raise Unavailable(error.strerror or type(error).__name__, where=where) from None
