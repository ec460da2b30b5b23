"""How a process's bytes reach Python, and how a stdio callback lives.

1. ``Container.start`` puts the caller's callback into the registry (``attach``), under a cookie that goes to Go.
2. libcontainerd makes the FIFOs. Go calls ``attach.run_callback`` on one of its threads, before the process exists:
   that wraps Go's streams in a ``DirectIO`` (``direct``) and runs the callback with it.
3. What the callback returns is the process's ``IO``. A built-in callback (``pyctd.stdio``, ``pyctd.aio.stdio``) returns
   a ``BuiltInIO`` (``builtin``), which moves the bytes by itself: on threads (``pumped``, ``terminal``), or on an event
   loop (``pyctd.aio.stdio``).
4. A stream is opened at its first use, which waits until the process's side is open. Go hands over a descriptor of the
   FIFO that it has opened, and no byte goes through Go.
5. A pump (``pumps``) is a thread for one stream. It waits for the stream's ``Fifo`` (``fifo``); another thread can end
   that wait at any moment. It moves what is there to a sink (``sinks``, ``lines``), or what is given to the FIFO
   (``keys`` looks at what is typed).
6. The call that started the process calls ``on_started`` of a built-in IO, which may from then on resize the process's
   terminal or end its stdin (``builtin.Control``).
7. When the process has exited, ``Process.wait`` waits for the end of its output (``drain``), for 2 seconds at most.
8. When the process is deleted, containerd's client calls ``wait`` and ``close`` of the IO. ``attach.call_io`` carries
   the calls, and forgets the callback after the last one. An interrupt that arrives meanwhile passes Go through
   ``interrupts``.
"""
