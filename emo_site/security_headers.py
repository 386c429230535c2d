"""Headers that tell a browser what no page of the desk needs. Those that Django and django-csp know are settings."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

# Every power that a browser would ask the reader about, and those that it would not.
_POWERS = (
    "accelerometer",
    "autoplay",
    "browsing-topics",
    "camera",
    "display-capture",
    "encrypted-media",
    "fullscreen",
    "geolocation",
    "gyroscope",
    "hid",
    "idle-detection",
    "magnetometer",
    "microphone",
    "midi",
    "payment",
    "picture-in-picture",
    "publickey-credentials-get",
    "screen-wake-lock",
    "serial",
    "usb",
    "xr-spatial-tracking",
)
HEADERS = {
    "Permissions-Policy": ", ".join(f"{power}=()" for power in _POWERS),
    # No other site may show a picture, a style sheet or a page of the desk as its own.
    "Cross-Origin-Resource-Policy": "same-origin",
    # Also of what is answered before Django's own middleware, such as /healthz.
    "X-Content-Type-Options": "nosniff",
}


def fenced(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    def middleware(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        # Whoever may keep a page says so; after the logout nothing else is found in the browser.
        response.headers.setdefault("Cache-Control", "no-store")
        return response

    return middleware
