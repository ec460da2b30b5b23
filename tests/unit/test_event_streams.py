"""What a stream of events takes."""

from __future__ import annotations

import pytest

from pyctd._origin import Origin
from pyctd.events import Event, EventFilter, EventInfo, EventStream, EventType

FOUND, TOLD_AFTER_ALL = Origin.RECOVERED, Origin.REPEATED


def event(kind: EventType, pid: int = 0) -> Event:
    return Event("c", kind, EventInfo("c", pid=pid))


def stream(**options: bool | str | None) -> EventStream:
    given = {"container_id": None, "process_id": None, "event": None, "gaps": False} | options
    return EventStream(EventFilter.of(**given), lambda closed: None)  # type: ignore[arg-type]


def test_a_closed_stream_takes_no_more() -> None:
    events = stream()
    events.put(event(EventType.START))
    events.close()
    events.put(event(EventType.EXIT))
    assert [one.event for one in events] == [EventType.START]


@pytest.mark.parametrize("options", [{"gaps": True}, {"event": "gap"}], ids=str)
def test_who_asks_for_gaps_gets_what_is_found_after_them_once(options: dict[str, bool | str]) -> None:
    asking, other = stream(**options), stream()
    for one in (asking, other):
        one.put(event(EventType.GAP, FOUND), FOUND)
        one.put(event(EventType.GAP, TOLD_AFTER_ALL), TOLD_AFTER_ALL)
        one.close()
    assert [[one.info.pid for one in stream] for stream in (asking, other)] == [[FOUND], [TOLD_AFTER_ALL]]
