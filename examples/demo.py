"""Shows Python driving a real containerd. Run it as root, with containerd, runc and busybox-static installed."""

from __future__ import annotations

import shutil
import signal
import tempfile
import time
from pathlib import Path

import pyctd

APPLETS = ("sh", "echo", "cat", "sleep", "tr", "seq")


def busybox_rootfs(directory: Path) -> Path:
    """Makes a minimal root file system."""
    for name in ("bin", "proc", "dev", "sys", "tmp"):
        (directory / name).mkdir()
    shutil.copy("/bin/busybox", directory / "bin")
    for applet in APPLETS:
        (directory / "bin" / applet).symlink_to("busybox")
    return directory


def say(text: str) -> None:
    print(f"\n=== {text}", flush=True)


def on_event(container_id: str, event: pyctd.EventType, info: pyctd.EventInfo) -> None:
    process = f"/{info.process_id}" if info.process_id not in ("", container_id) else ""
    code = f" with {info.exit_code}" if event is pyctd.EventType.EXIT else ""
    # A single write, newline included: handlers run on other threads.
    print(f"    [event] {container_id}{process}: {event}{code}\n", end="", flush=True)


def demo(client: pyctd.Client, rootfs: Path) -> None:
    say("containerd's version")
    print(client.version())

    say("a container whose output arrives line by line")
    script = "for i in $(seq 3); do echo line $i; sleep 0.3; done; echo done >&2; exit 7"
    container = client.new_container("stream", pyctd.spec.default(rootfs, ["/bin/sh", "-c", script]))
    started = time.monotonic()

    def show(line: str) -> None:
        print(f"{time.monotonic() - started:6.2f} s  {line}", flush=True)

    task = container.start(attach_stdio=pyctd.stdio.lines(show, show))
    print(f"exit code: {task.wait(timeout=30).exit_code}")
    task.delete()
    container.delete()

    say("a container that keeps running, and an exec in it that reads stdin")
    container = client.new_container("stay", pyctd.spec.default(rootfs, ["/bin/sleep", "600"]))
    task = container.start()
    out = pyctd.stdio.capture(stdin=b"written by python\n")
    upper = task.exec("upper", pyctd.spec.process_of(container.info(), ["/bin/tr", "a-z", "A-Z"]), attach_stdio=out)
    print(f"exit code: {upper.wait(timeout=30).exit_code}, stdout: {out.stdout!r}")
    upper.delete()

    say("pause and resume")
    task.pause()
    print(f"status: {task.status().status}")
    task.resume()
    print(f"status: {task.status().status}")

    say("its processes, and the resources they use")
    print(f"pids: {[process.pid for process in task.pids()]}")
    metrics = task.stats().metrics
    print("cgroup", "v2" if isinstance(metrics, pyctd.metrics.CgroupV2Metrics) else "v1", metrics.pids)

    say("a kill, and the exit status")
    task.kill(signal.SIGKILL)
    print(task.wait(timeout=30))

    say("clean-up")
    task.delete()
    container.delete()
    try:
        client.load_container("stay")
    except pyctd.NotFoundError as error:
        print(f"load_container now says: {error}")


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="pyctd-demo-") as directory:
        rootfs = busybox_rootfs(Path(directory))
        say("a private containerd")
        with pyctd.Engine() as engine, engine.client(backend=on_event) as client:
            print(engine, "pid", engine.pid)
            demo(client, rootfs)
    say("the engine has stopped and left nothing behind")


if __name__ == "__main__":
    main()
