"""containerd for Python, with dockerd's own behaviour: moby's libcontainerd client, called through CFFI."""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING

from . import options, spec, stdio
from ._streams.direct import IO, Config, DirectIO, StdioCallback
from .client import Client
from .container import Container
from .errors import (
    AlreadyExistsError,
    CanceledError,
    ClosedError,
    ConflictError,
    CriuError,
    DeadlineExceededError,
    Error,
    FailedPreconditionError,
    ForkedError,
    InternalError,
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
    ResourceExhaustedError,
    StdioError,
    UnavailableError,
    UnimplementedError,
    UnknownError,
)
from .events import Backend, Event, EventInfo, EventStream, EventType
from .process import Process
from .task import Task
from .types import (
    ContainerInfo,
    EngineProgram,
    ExitStatus,
    Extension,
    ProcessInfo,
    ProcessStatus,
    Stats,
    Status,
    Summary,
    Version,
)

if TYPE_CHECKING:
    from . import aio, metrics
    from .engine import Engine

    __version__: str
else:

    def __getattr__(name: str) -> object:
        """Loads slow imports on first use: ``pyctd.aio`` (asyncio), ``pyctd.metrics`` (msgspec), ``Engine`` (subprocess
        handling) and ``__version__`` (importlib.metadata)."""
        if name in ("aio", "metrics", "Engine"):
            module = _import_module(f".{name.lower()}", __name__)
            return module.Engine if name == "Engine" else module
        if name == "__version__":
            from importlib.metadata import version

            return version("pyctd")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "IO",
    "AlreadyExistsError",
    "Backend",
    "CanceledError",
    "Client",
    "ClosedError",
    "Config",
    "ConflictError",
    "Container",
    "ContainerInfo",
    "CriuError",
    "DeadlineExceededError",
    "DirectIO",
    "Engine",
    "EngineProgram",
    "Error",
    "Event",
    "EventInfo",
    "EventStream",
    "EventType",
    "ExitStatus",
    "Extension",
    "FailedPreconditionError",
    "ForkedError",
    "InternalError",
    "InvalidArgumentError",
    "NotFoundError",
    "PermissionDeniedError",
    "Process",
    "ProcessInfo",
    "ProcessStatus",
    "ResourceExhaustedError",
    "Stats",
    "Status",
    "StdioCallback",
    "StdioError",
    "Summary",
    "Task",
    "UnavailableError",
    "UnimplementedError",
    "UnknownError",
    "Version",
    "aio",
    "metrics",
    "options",
    "spec",
    "stdio",
]
