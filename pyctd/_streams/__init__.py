"""How a process's bytes reach Python, and how a stdio callback lives.

1. ``Container.start`` puts the caller's callback into the registry (``attach``), under a cookie that goes to Go.
2. libcontainerd makes the FIFOs. Go calls ``attach.run_callback`` on one of its threads; that wraps Go's streams in a
   ``DirectIO`` (``direct``) and runs the callback with it, before the process exists.
3. What the callback returns is the process's ``IO``. A built-in callback (``pyctd.stdio``, ``pyctd.aio.stdio``) returns
   one that moves the bytes by itself: on threads (``pumps``), or on an event loop (``pyctd.aio._pipes``).
4. A stream is opened at its first use, which waits for the process's side: Go hands over a descriptor of the FIFO that
   it has opened. From here on no byte goes through Go.
5. The call that started the process tells a built-in IO so (``builtin.BuiltInIO.on_started``): it may now resize the
   process's terminal (``terminal``) or end its stdin.
6. A thread waits for its FIFO, moves what is there to a sink (``sinks``, ``lines``), and is stopped at any moment.
7. When the process has exited, ``Process.wait`` waits for the end of its output (``drain``), a bounded time.
8. containerd's client calls ``wait`` and ``close`` of the IO when the process is deleted; ``attach.call_io`` carries
   them, and forgets the callback after the last. An interrupt that arrives meanwhile passes Go in ``interrupts``.
"""
