"""Who is let in: the address with the token, from the page itself."""

import secrets
from collections.abc import Iterable

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_HEADERS = {
    # Nothing from elsewhere, no script but that of the page, and no frame around it.
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    # The pictures are private: they don't stay in the browser's cache.
    "cache-control": "no-store",
}
_CLOSE = {"connection": "close"}
_OWN_SITES = (None, "same-origin", "none")


class Guard:
    """Lets nothing through but requests of the page itself, and of who knows its address.

    The name of the host is checked so that no other page can give this machine a name of its own
    (DNS rebinding), the origin so that none can send anything. Whoever lacks the token is answered
    alike, whatever is asked for.

    Args:
        app: What is guarded; the token is the first part of its paths.
        token: The secret.
        hosts: Names and ports that the page is called by.
    """

    def __init__(self, app: ASGIApp, token: str, hosts: Iterable[str]) -> None:
        self._app = app
        self._token = token.encode()
        self._hosts = frozenset(hosts)
        self._origins = frozenset(f"http://{host}" for host in self._hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or have it answered."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        refused = self._refusal(scope)
        app = PlainTextResponse(refused, 403, _CLOSE) if refused else self._app
        await app(scope, receive, send_with_headers)

    def _refusal(self, scope: Scope) -> str:
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        if len(hosts) != 1 or hosts[0].lower() not in self._hosts:
            return "The page is not at this name: use the address that `kh page` has printed."
        if any(origin not in self._origins for origin in headers.getlist("origin")):
            return "Other pages may not use this one."
        if any(site not in _OWN_SITES for site in headers.getlist("sec-fetch-site")):
            return "Other pages may not use this one."
        token = scope["path"].split("/")[1] if scope["path"].startswith("/") else ""
        if not secrets.compare_digest(token.encode("utf-8", "replace"), self._token):
            return "The address lacks its token: use the address that `kh page` has printed."
        return ""
