"""Brings one message to one channel: by e-mail through Django's settings, or by a signed POST. Touches no database."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from http.client import HTTPException
from smtplib import SMTPException, SMTPRecipientsRefused, SMTPResponseException, SMTPSenderRefused
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import (
    HTTPDefaultErrorHandler,
    HTTPErrorProcessor,
    HTTPHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
)

from django.conf import settings
from django.core import mail
from django.core.mail.backends.base import BaseEmailBackend
from django.template.loader import render_to_string

from emo_site import __version__
from monitoring.alert_values import Attempt, Channel, Delivery
from monitoring.choices import ChannelKind

# Of each wait for the other side: connecting, and each answer.
TIMEOUT_SECONDS = 10.0
SIGNATURE = "X-EMO-Signature"
_TOO_MANY, _TOO_SLOW = 429, 408


def deliver(channel: Channel, delivery: Delivery, *, timeout: float = TIMEOUT_SECONDS) -> Attempt:
    """Tries once. What fails comes back in words, without the channel's URL and secret."""
    if not (delivery.waiting_for if channel.kind == ChannelKind.EMAIL else channel.url):
        return Attempt(at=datetime.now(UTC), failure="The channel leads nowhere.", permanent=True)
    if channel.kind == ChannelKind.EMAIL:
        return _by_email(delivery, timeout)
    return _by_webhook(channel, delivery, timeout)


def signature(secret: str, body: bytes, *, at: datetime) -> str:
    """`t=SECONDS,v1=HEX`: HMAC-SHA256 of the seconds since 1970, a full stop and the body."""
    seconds = int(at.timestamp())
    digest = hmac.new(secret.encode(), f"{seconds}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={seconds},v1={digest}"


# ---- e-mail ----------------------------------------------------------------------------------------------------------


def _by_email(delivery: Delivery, timeout: float) -> Attempt:
    """One mail to each address: nobody sees the others, and one that is refused does not keep it from the rest."""
    if not settings.EMAIL_HOST:
        failure = "The desk has no mail server: EMO_EMAIL_URL is not set."
        return Attempt(at=datetime.now(UTC), failure=failure, permanent=True, waiting_for=delivery.waiting_for)
    connection = mail.get_connection(timeout=timeout)
    try:
        connection.open()
        left = _send_each(connection, delivery)
    except (SMTPException, OSError) as error:
        left = [(address, _of_mail(error), False) for address in delivery.waiting_for]
    finally:
        connection.close()
    return Attempt(
        at=datetime.now(UTC),
        failure="; ".join(f"{address}: {reason}" for address, reason, _ in left),
        permanent=all(refused for _, _, refused in left),
        waiting_for=tuple(address for address, _, _ in left),
    )


def _send_each(connection: BaseEmailBackend, delivery: Delivery) -> list[tuple[str, str, bool]]:
    """The addresses that have not got it: why, and whether that is for good."""
    left: list[tuple[str, str, bool]] = []
    html = render_to_string("alerts/message.html", {"delivery": delivery})
    for address in delivery.waiting_for:
        message = mail.EmailMultiAlternatives(
            subject=delivery.subject,
            body=delivery.body,
            to=[address],
            connection=connection,
            # The same one if it is sent again: a mailbox that has it already may know it.
            headers={"Message-ID": f"<{delivery.id}@emo-desk>", "Auto-Submitted": "auto-generated"},
        )
        message.attach_alternative(html, "text/html")
        try:
            message.send()
        except (SMTPException, OSError) as error:
            left.append((address, _of_mail(error), _is_refusal(error)))
    return left


def _is_refusal(error: Exception) -> bool:
    """Whether the server said no, and will say so again."""
    if isinstance(error, SMTPRecipientsRefused):
        return all(code >= 500 for code, _ in error.recipients.values())
    return isinstance(error, SMTPResponseException) and error.smtp_code >= 500


def _of_mail(error: Exception) -> str:
    if isinstance(error, SMTPRecipientsRefused):
        return ", ".join(f"{code} {_text(reason)}" for code, reason in error.recipients.values())
    if isinstance(error, SMTPSenderRefused):
        return f"{error.smtp_code} {_text(error.smtp_error)} (sender {error.sender})"
    if isinstance(error, SMTPResponseException):
        return f"{error.smtp_code} {_text(error.smtp_error)}"
    return f"{type(error).__name__}: {error}"


def _text(reason: bytes | str) -> str:
    return reason.decode("utf-8", "replace") if isinstance(reason, bytes) else reason


# ---- webhook ---------------------------------------------------------------------------------------------------------


def _opener(handlers: Sequence[type]) -> OpenerDirector:
    opener = OpenerDirector()
    for handler in handlers:
        opener.add_handler(handler())
    return opener


# Neither files nor redirects: what was meant for one host must not be sent to another.
_OPENER = _opener([ProxyHandler, HTTPHandler, HTTPSHandler, HTTPErrorProcessor, HTTPDefaultErrorHandler])


def _by_webhook(channel: Channel, delivery: Delivery, timeout: float) -> Attempt:
    body = json.dumps(delivery.document).encode()
    headers = {
        "Content-Type": "application/json",
        "User-Agent": f"emo-desk/{__version__}",
        # The same one if it is sent again.
        "Idempotency-Key": str(delivery.id),
    }
    if channel.secret:
        headers[SIGNATURE] = signature(channel.secret, body, at=datetime.now(UTC))
    failure, permanent = _post(channel.url, body, headers, timeout)
    return Attempt(at=datetime.now(UTC), failure=failure, permanent=permanent)


def _post(url: str, body: bytes, headers: dict[str, str], timeout: float) -> tuple[str, bool]:
    """Why it failed and whether for good; an empty reason where it did not."""
    host = urlsplit(url).hostname
    try:
        request = Request(url, data=body, headers=headers, method="POST")  # noqa: S310  # the opener knows HTTP only
        with _OPENER.open(request, timeout=timeout):
            return "", False
    except HTTPError as error:
        error.close()
        return _answer(str(host), error.code)
    except URLError as error:
        return f"{host}: {error.reason}", False
    except (OSError, HTTPException) as error:
        return f"{host}: {type(error).__name__}", False


def _answer(host: str, code: int) -> tuple[str, bool]:
    if code < 400:
        return f"{host} answered {code}: the desk follows no redirects.", True
    return f"{host} answered {code}.", code < 500 and code not in (_TOO_SLOW, _TOO_MANY)
