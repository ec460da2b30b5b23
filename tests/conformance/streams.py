"""What a scenario's process is attached to on the Python side: the counterpart of the reference's streams.go."""

from __future__ import annotations

import base64
import hashlib
import threading
import time
from typing import Any

import pyctd

__all__ = ["PATIENCE", "Mistake", "Refusal", "Streams", "text_of"]

PATIENCE = 60.0
"""Seconds that a step waits for what must come: ample, for only a failure takes it."""
DRAIN = 2.0
"""Seconds that the streams of an ended process are waited for, as long as in dockerd."""


class Mistake(Exception):
    """A mistake of the scenario."""


class Refusal(Exception):
    """What the callback of ``stdio: refuse`` raises."""


class Streams:
    """A stdio callback and the IO that it returns: keeps what the process writes, and in which order it was called."""

    def __init__(self, mode: str) -> None:
        self.mode = mode
        self.dio: pyctd.DirectIO | None = None
        self.calls: list[str] = []
        self._out = {"stdout": bytearray(), "stderr": bytearray()}
        self._changed = threading.Condition()
        self._readers: list[threading.Thread] = []

    def __call__(self, dio: pyctd.DirectIO) -> Streams | None:
        self.dio = dio
        if self.mode == "refuse":
            raise Refusal("the callback refuses")
        if self.mode == "none":
            return None
        if self.mode == "read":
            for name, pipe in (("stdout", dio.stdout), ("stderr", dio.stderr)):
                if pipe is not None:
                    self._readers.append(threading.Thread(target=self._read, args=(name, pipe), daemon=True))
                    self._readers[-1].start()
        return self

    def _read(self, name: str, pipe: pyctd.stdio.Stream) -> None:
        buffer = bytearray(1 << 16)
        try:
            while count := pipe.readinto(buffer):
                with self._changed:
                    self._out[name] += buffer[:count]
                    self._changed.notify_all()
        except (OSError, ValueError):
            return  # closed meanwhile

    def until(self, name: str, text: str) -> None:
        """Waits until a stream has brought a text."""
        with self._changed:
            if not self._changed.wait_for(lambda: text.encode() in self._out[name], PATIENCE):
                raise Mistake(f"{text!r} did not come on {name}")

    def write(self, data: bytes) -> None:
        """Writes all of it to stdin."""
        stdin = self.pipe("stdin")
        while data:
            data = data[stdin.write(data) :]

    def pipe(self, name: str) -> pyctd.stdio.Stream:
        pipe = getattr(self.dio, name, None)
        if pipe is None:
            raise Mistake(f"there is no {name}")
        return pipe  # type: ignore[no-any-return]

    def config(self) -> pyctd.Config:
        assert self.dio is not None
        return self.dio.config()

    def print_config(self) -> dict[str, Any] | None:
        """What the callback was given."""
        if self.dio is None:
            return None
        config = self.dio.config()
        return {
            "terminal": config.terminal,
            "stdin": config.stdin,
            "stdout": config.stdout,
            "stderr": config.stderr,
        }

    def print(self) -> dict[str, Any]:
        with self._changed:
            return {name: text_of(bytes(data)) for name, data in self._out.items()}

    def cancel(self) -> None:
        self.calls.append("cancel")
        assert self.dio is not None
        self.dio.cancel()

    def wait(self) -> None:
        self.calls.append("wait")
        self.drain()

    def drain(self, within: float = DRAIN) -> None:
        until = time.monotonic() + within
        for reader in self._readers:
            reader.join(max(0.0, until - time.monotonic()))

    def close(self) -> None:
        self.calls.append("close")
        assert self.dio is not None
        self.dio.close()


def text_of(data: bytes) -> Any:
    """Prints bytes: as text where they are some and short, as their digest where they are long."""
    if len(data) > 4096:
        return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    try:
        return data.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode()}
