"""How a process's bytes reach Python, and the life of a stdio callback.

1. ``Container.start`` puts the caller's callback into the registry (``attach``), under a cookie that goes to Go.
2. libcontainerd makes the FIFOs. Before the process exists, Go calls ``attach.run_callback`` on one of its threads.
   That wraps Go's streams in a ``DirectIO`` (``direct``) and passes it to the callback.
3. The callback returns the process's ``IO``. A built-in callback (``pyctd.stdio``, ``pyctd.aio.stdio``) returns a
   ``BuiltInIO`` (``builtin``), which moves the bytes by itself: on threads (``pumped``, ``terminal``), or on an event
   loop (``pyctd.aio.stdio``).
4. A stream is opened on first use, which waits until the process's side is open. Go hands over a descriptor of the
   FIFO that it opened; no byte goes through Go.
5. A pump (``pumps``) is a thread for one stream. It waits for the stream's ``Fifo`` (``fifo``); another thread can end
   that wait at any moment. It moves output to a sink (``sinks``, ``lines``), or input to the FIFO (``keys`` checks the
   typed keys).
6. The call that started the process calls ``on_started`` of a built-in IO. From then on, the IO may resize the
   process's terminal or close its stdin (``builtin.Control``).
7. When the process has exited, ``Process.wait`` waits for the end of its output (``drain``), for 2 seconds at most.
8. When the process is deleted, containerd's client calls ``wait`` and ``close`` of the IO. ``attach.call_io`` forwards
   the calls, and forgets the callback after the last one. ``interrupts`` carries an interrupt that arrives meanwhile
   past Go.
"""
