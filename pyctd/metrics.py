"""A task's resource usage, typed: ``Stats.metrics`` is a ``CgroupV1Metrics`` or a ``CgroupV2Metrics``.

Which one depends on the machine's cgroup version. ``v1`` and ``v2`` have the classes of their parts, such as
``pyctd.metrics.v1.MemoryStat``. This module is loaded on first use, because its thirty dataclasses and decoder would
slow ``import pyctd`` down.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from . import metrics_v1 as v1
from . import metrics_v2 as v2
from .errors import InternalError, UnimplementedError
from .metrics_v1 import CgroupV1Metrics
from .metrics_v2 import CgroupV2Metrics

__all__ = ["CgroupV1Metrics", "CgroupV2Metrics", "Metrics", "v1", "v2"]

Metrics: TypeAlias = CgroupV1Metrics | CgroupV2Metrics
"""Either: ``isinstance`` tells which."""

#: The protobuf message's name to its class.
BY_TYPE: dict[str, type[CgroupV1Metrics] | type[CgroupV2Metrics]] = {
    "io.containerd.cgroups.v1.Metrics": CgroupV1Metrics,
    "io.containerd.cgroups.v2.Metrics": CgroupV2Metrics,
}


class _Sent(msgspec.Struct):
    """What pyctd_task_stats answers with."""

    type: str
    metrics: msgspec.Raw


def decode(data: bytes) -> Metrics:
    """Decodes what Go sends, and ignores unknown fields, such as a newer containerd's. Internal to pyctd."""
    sent: _Sent = msgspec.json.decode(data, type=_Sent)
    if sent.type not in BY_TYPE:
        raise UnimplementedError(f"the metrics are of type {sent.type!r}; pyctd knows {' and '.join(BY_TYPE)}")
    try:
        return msgspec.json.decode(sent.metrics, type=BY_TYPE[sent.type])
    except msgspec.ValidationError as error:
        raise InternalError(f"the metrics are no {sent.type}: {error}") from error
