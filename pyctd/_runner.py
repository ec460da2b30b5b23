"""Calls a client's event handler, and deals with the exceptions that it raises."""

from __future__ import annotations

import contextlib
import contextvars
import logging
import threading
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from . import _native
from ._threads import EVENTS, name_thread
from .events import Event, EventType

__all__ = ["USE_INSTEAD", "Runner", "discard"]

USE_INSTEAD = "use pyctd.aio.Client, or a plain function"

_log = logging.getLogger("pyctd.events")


def discard(result: Awaitable[object] | None) -> None:
    """Drops an awaitable that nobody will await. A coroutine must be closed, or Python warns when collecting it."""
    if isinstance(result, Coroutine):
        result.close()


def _is_coroutine_function(handler: Callable[..., Any]) -> bool:
    import inspect  # imported here: it takes 4 ms, and only clients with a handler need it

    return any(map(inspect.iscoroutinefunction, (handler, type(handler).__call__)))


class Runner:
    """Runs a client's handler, each time in a copy of the context (``contextvars``) that the client was created in.

    Attributes:
        function: the handler.
        is_coroutine_function: whether the handler can be recognized as one. Other handlers may still return awaitables.
        errors: how many times the handler has raised.
        client: the client's handle, once it is connected.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.is_coroutine_function = _is_coroutine_function(function)
        self.errors = 0
        self.client: _native.Handle | None = None
        self._context = contextvars.copy_context()
        self._lock = threading.RLock()

    def handle(self, event: Event, token: int) -> bool:
        """Runs the handler. Returns whether that handled the event; if not, the event is acknowledged separately."""
        if event.event is EventType.GAP:  # no other event comes before this returns
            with contextlib.suppress(RuntimeError):  # can't start a thread: run it here
                threading.Thread(target=self._run_apart, args=(event, token), name=EVENTS, daemon=True).start()
                return False
        return self._run(event, token)

    def _run_apart(self, event: Event, token: int) -> None:
        name_thread(EVENTS)
        if self._run(event, token):
            _native.acknowledge(token)

    def _run(self, event: Event, token: int) -> bool:
        try:
            context = self._context.copy()
            result = context.run(self.function, *event)
            if result is None or not isinstance(result, Awaitable):
                return True
            self._await_result(result, context, token)
        except BaseException as error:  # whatever a handler raises, the next event must come
            self._settle(token, error)
        return False

    def _await_result(self, result: Awaitable[object], context: contextvars.Context, token: int) -> None:
        """Handles an awaitable that the handler returned, and acknowledges the event afterwards. Here: refuses it."""
        discard(result)
        raise TypeError(f"backend returned a {type(result).__name__}: {USE_INSTEAD}")

    def _settle(self, token: int, failed: BaseException | None) -> None:
        """Acknowledges an event, with its handler's exception if any, even if that cannot be logged."""
        text = ""
        try:
            if failed is not None:
                text = type(failed).__name__
                with self._lock:
                    self.errors += 1
                with contextlib.suppress(Exception):  # its own, when asked for its text
                    text += f": {failed}"
                with contextlib.suppress(Exception):  # of a handler of logging's
                    _log.error("the handler of events raised", exc_info=failed)
        finally:
            _native.acknowledge(token, text)
