"""A server, and the SDK's client that reaches it: address, key, connections.

A fifth of the time of a call, when it was measured (64 connections, loopback server, profile of the plain SDK), went into the
connection pool, which walks over all its connections for every request. So they are split over several pools (``_wire.py``).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit, urlunsplit

from bclust.errors import FunctionError
from bclust.functions import CallError

if TYPE_CHECKING:
    from bclust.functions import Context


class Reached(Protocol):
    """A server, or a vendor behind a library. ``name``: what its answers are stored by; ``variable``: that of its key."""

    name: str | None
    variable: str | None

    @property
    def errors(self) -> type[Exception]:
        """What is raised where it answers with an error, or not."""
        ...

    def client(self) -> Any:
        """What to ask with, opened when it is first needed. Raises CallError when there is no key."""
        ...

    async def close(self) -> None:
        """Close the connections; the next question opens new ones."""
        ...


class Connection:
    """Of a row in bclust.yml to its server, opened when it is first needed.

    ``name`` is what its answers are stored by: ``identity`` takes the place of ``base_url``, so that a server that moves to
    another port or host under the same identity is asked nothing twice. (The address that it had before is an identity, too.)
    """

    def __init__(
        self,
        context: Context,
        client: str,
        official: tuple[str, str],
        *,
        base_url: str | None,
        identity: str | None,
        api_key_env: str | None,
    ) -> None:
        """``client`` is MODULE.CLASS, ``official`` the vendor's own address and the variable of its key."""
        self._context = context
        self._sdk, self._class = client.split(".")
        self._base_url = checked_url(base_url)
        self.name = identity or self._base_url
        self._official, key = official
        # another server is never shown the vendor's key: only one that is named for it
        self.variable = api_key_env or (None if base_url else key)
        self._client: Any = None

    @property
    def errors(self) -> type[Exception]:
        """What the SDK raises."""
        error: type[Exception] = importlib.import_module(self._sdk).APIError
        return error

    def client(self) -> Any:
        """The SDK's client. Raises CallError when there is no key."""
        if self._client is None:
            sdk = importlib.import_module(self._sdk)
            self._client = getattr(sdk, self._class)(
                api_key=api_key(self._context, self.variable),
                base_url=self._base_url or self._official,
                max_retries=0,
                timeout=None,
                http_client=_http_client(sdk),
            )
        return self._client

    async def close(self) -> None:
        """Close the connections; the next question opens new ones."""
        if self._client is not None:
            client, self._client = self._client, None
            await client.close()


def checked_url(base_url: str | None) -> str | None:
    """A base URL without a trailing slash. Raises FunctionError for one that is none, or that holds a secret."""
    if base_url is None:
        return None
    parts = urlsplit(str(base_url))
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise FunctionError(f"base_url {base_url!r} is no URL", hint="write it like http://127.0.0.1:8000/v1")
    if parts.username or parts.password or parts.query:
        shown = urlunsplit((parts.scheme, parts.hostname, parts.path, "", ""))
        raise FunctionError(
            f"the base_url of {shown} holds more than an address", hint="keys belong into the environment: api_key_env"
        )
    return str(base_url).rstrip("/")


def api_key(context: Context, variable: str | None) -> str:
    """The key in that variable of the environment; a placeholder where no variable is named (a server that wants none).

    Raises:
        CallError: fatal, naming the variable that is not set.
    """
    if variable is None:
        return "none"
    key = context.env.get(variable, "").strip()
    if not key:
        raise CallError(f"{variable} is not set: export it, or put it into the file .env beside bclust.yml", fatal=True)
    return key


def _http_client(sdk: Any) -> Any:
    """An HTTP client for an SDK (its module) whose connections lie in several pools, with no limit of its own."""
    import httpx2

    from udfs._wire import Pools

    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=None)
    certificates = httpx2.create_ssl_context()  # read once, not once per pool
    # mounted, not passed as the transport: so the proxies that the environment names are still used
    # no redirect is followed: what another host answers is not what the model says
    pools = Pools(certificates, limits)
    return sdk.DefaultAsyncHttpxClient(mounts={"all://": pools}, limits=limits, verify=certificates, follow_redirects=False)
