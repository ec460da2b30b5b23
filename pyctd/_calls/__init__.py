"""Calls of the C ABI, for both faces. The life of a call:

1. A method such as ``Client.new_container`` asks ``operations`` for an ``Operation``: the export, its checked and
   packed arguments, and what the outcome means. Both faces use the same one.
2. ``Call.start`` calls the export, which copies its arguments, starts a goroutine and returns the operation's number.
   No export blocks.
3. The goroutine calls libcontainerd. The call's timeout is the deadline of its context.
4. The outcome lands on a queue as a completion, and the queue's eventfd becomes readable.
5. The face waits for that: ``blocking`` polls the eventfd, so that other threads run and Ctrl-C is heard at once;
   ``pyctd.aio`` adds it to its event loop.
6. ``Call.finish`` takes the completion. Whatever the operation made has an owner from here on.
7. ``Call.result`` returns what the operation came to, or raises its error: the class of its kind, with Go's text.

Any exception before the end of 6 interrupts the call, above all Ctrl-C and asyncio's cancellation:

8. ``Call.cancel`` cancels the operation's context, and the face waits a little longer for its completion.
9. ``Call.abandon`` adds to the exception, as its context, what came of the operation, or that Go still cleans up.
10. In the latter case ``Call.end_late`` logs what came of it.
"""

from .blocking import run, run_call
from .call import Call, Operation

__all__ = ["Call", "Operation", "run", "run_call"]
