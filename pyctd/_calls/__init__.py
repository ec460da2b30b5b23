"""Calls of the C ABI, for both faces. The life of a call:

1. A method such as ``Client.new_container`` asks ``operations`` for an ``Operation``: the export, its checked and
   packed arguments, and the decoder of its outcome. Both faces use the same one.
2. ``Call.start`` calls the export, which copies its arguments, starts a goroutine and returns the operation's number.
   Exports never block.
3. The goroutine calls libcontainerd. The call's timeout is the deadline of its context.
4. The outcome lands on a queue as a completion, and the queue's eventfd becomes readable.
5. The face waits for it: ``blocking`` polls the eventfd, so that other threads run and Ctrl-C works at once;
   ``pyctd.aio`` adds it to its event loop.
6. ``Call.finish`` takes the completion. From here on, whatever the operation made has an owner.
7. ``Call.result`` returns the operation's result, or raises its error: the class for its kind, with Go's text.

An exception before the end of step 6, usually Ctrl-C or asyncio's cancellation, interrupts the call:

8. ``Call.cancel`` cancels the operation's context, and the face waits briefly for its completion.
9. ``Call.abandon`` sets the exception's context to the operation's outcome, or to a note that Go is still cleaning up.
10. In the latter case, ``Call.end_late`` logs the outcome later.
"""

from .blocking import run, run_call
from .call import Call, Operation

__all__ = ["Call", "Operation", "run", "run_call"]
