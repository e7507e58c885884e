"""The traceparent (W3C Trace Context) of what leaves by HTTP, where traces are set up; nothing where they are not.

prx_email_site.monitoring.traces says how one is made: packages below it know no tracer.
"""

from __future__ import annotations

from collections.abc import Callable

Headers = Callable[[int | None], dict[str, str]]


def _none(outbox_id: int | None) -> dict[str, str]:
    return {}


_make: Headers = _none


def headers(outbox_id: int | None = None) -> dict[str, str]:
    """The header by which a receiver joins the trace of this outbox row; without one, that of what runs now."""
    return _make(outbox_id)


def set_up(make: Headers | None) -> None:
    """Said once a process by whoever starts the tracer; None: no more."""
    global _make
    _make = make or _none
