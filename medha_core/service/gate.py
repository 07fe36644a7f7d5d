"""What every request passes first: its size, its time, its host, and whether somebody still waits."""

import asyncio
import logging
from collections.abc import Callable, Collection
from time import perf_counter

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from medha_core.service.limits import Limits
from medha_core.service.problems import ProblemError

logger = logging.getLogger("medha_core")

OnDone = Callable[[str, str, int, float], None]


class Gate:
    """An ASGI middleware that reads a body whole before the application sees the request.

    Too large a body is answered with 413, unread. A request that takes longer than
    `limits.timeout` is answered with 504, and its work is cancelled; so is the work
    of one whose client went away.

    Args:
        hosts: names in the `Host` header that are served; None for all. A web page that
            a browser shows must not reach a server of this machine by another name.
        is_closing: whether the server ends: what is cancelled then is answered with 503.
        on_done: called with route, method, status and seconds of each request.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        limits: Limits,
        hosts: Collection[str] | None = None,
        is_closing: Callable[[], bool] = lambda: False,
        on_done: OnDone | None = None,
    ):
        self._app = app
        self._limits = limits
        self._hosts = hosts
        self._is_closing = is_closing
        self._on_done = on_done

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, answer = perf_counter(), _Answer(send)
        try:
            await self._serve(scope, receive, answer)
        except ProblemError as problem:
            await answer.problem(problem, scope, receive)
        except asyncio.CancelledError:
            if not self._is_closing():
                raise
            ending = ProblemError(503, "the server ends, and could not finish this in time")
            await answer.problem(ending, scope, receive)
        finally:
            if self._on_done is not None and answer.status:
                self._on_done(_route(scope), scope["method"], answer.status, perf_counter() - started)

    async def _serve(self, scope: Scope, receive: Receive, answer: "_Answer") -> None:
        self._check_host(scope)
        try:
            async with asyncio.timeout(self._limits.timeout):
                body = await self._body(scope, receive)
        except TimeoutError:
            raise ProblemError(504, "the request did not arrive in time") from None
        if body is not None:
            await self._answered(scope, body, receive, answer)

    async def _body(self, scope: Scope, receive: Receive) -> bytes | None:
        """The body; None when the client left before it was complete."""
        if _declared(scope) > self._limits.max_body:
            raise self._too_large()
        parts, size = [], 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            part = message.get("body", b"")
            size += len(part)
            if size > self._limits.max_body:
                raise self._too_large()
            parts.append(part)
            if not message.get("more_body", False):
                return b"".join(parts)

    async def _answered(self, scope: Scope, body: bytes, receive: Receive, answer: "_Answer") -> None:
        work = asyncio.create_task(self._app(scope, _replay(body, receive), answer))
        gone = asyncio.create_task(receive())  # after the body this returns when the client leaves
        try:
            await asyncio.wait(
                {work, gone}, timeout=self._limits.timeout, return_when=asyncio.FIRST_COMPLETED
            )
            late = not work.done() and not gone.done()
        finally:
            gone.cancel()
            work.cancel()  # no effect on what is done
            await asyncio.wait({work})
        if late:
            raise ProblemError(504, f"this took longer than {self._limits.timeout:g} seconds")
        if not work.cancelled():
            work.result()

    def _check_host(self, scope: Scope) -> None:
        if self._hosts is None:
            return
        given = next((value for name, value in scope["headers"] if name == b"host"), b"").decode("latin-1")
        name = given if given.endswith("]") else given.rpartition(":")[0] or given
        if name.lower() not in self._hosts:
            raise ProblemError(421, "this server is for its own machine and answers to no other name", "host")

    def _too_large(self) -> ProblemError:
        return ProblemError(413, f"a request has at most {self._limits.max_body} bytes")


class _Answer:
    """`send` that knows what was sent."""

    def __init__(self, send: Send):
        self._send = send
        self.status = 0

    @property
    def started(self) -> bool:
        return self.status != 0

    async def problem(self, problem: ProblemError, scope: Scope, receive: Receive) -> None:
        """Tell what went wrong, unless an answer has begun."""
        if not self.started:
            await problem.response()(scope, receive, self)

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        await self._send(message)


def _replay(body: bytes, receive: Receive) -> Receive:
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def replayed() -> Message:
        if messages:
            return messages.pop()
        await asyncio.Event().wait()  # the gate itself watches for the client to leave
        return await receive()

    return replayed


def _declared(scope: Scope) -> int:
    """The length a request says its body has; 0 where it says none that can be read."""
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value)
    return 0


def _route(scope: Scope) -> str:
    """The route's pattern, of which there are few; never the path that was asked for."""
    return str(getattr(scope.get("route"), "path", "unknown"))
