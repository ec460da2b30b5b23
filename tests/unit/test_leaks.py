"""What the tests themselves kill."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from support import leaks
from support.box import eventually


@pytest.mark.skipif(os.geteuid() != 0, reason="another user's process needs root")
def test_no_other_users_process_is_taken_for_a_shim(tmp_path: Path) -> None:
    args = ["containerd-shim-runc-v2", "-c", "read -r _", "-address", f"{tmp_path}/containerd.sock"]
    for user in (65534, None):
        with subprocess.Popen(args, executable="/bin/sh", stdin=subprocess.PIPE, cwd="/", user=user) as process:
            try:
                # The kernel shows its arguments a moment after its start.
                line = Path(f"/proc/{process.pid}/cmdline")
                eventually(lambda: os.fsencode(tmp_path) in line.read_bytes())  # noqa: B023
                assert bool(leaks.processes(str(tmp_path))) == (user is None)
                assert bool(leaks.shims(tmp_path)) == (user is None)
                leaks.kill_shims(tmp_path)
                if user is None:
                    process.wait(timeout=60)
                else:
                    with pytest.raises(subprocess.TimeoutExpired):
                        process.wait(timeout=0.3)
            finally:
                process.kill()
