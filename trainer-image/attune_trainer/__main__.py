"""The process that a pod starts.

It hears SIGTERM before it reads any other module: the kernel sends process 1 of a container no signal without a
handler, so one that came too early would be lost, and the pod would stay until its grace period is over.

Nor does it collect garbage before the stage's modules are read, or tidy up after itself: reading three thousand modules
makes much and throws little away, and to look through all of it is a third of what a short stage computes.
"""

import ctypes
import gc
import logging
import os
import signal
import sys
from contextlib import suppress

if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: os._exit(128 + signal.SIGTERM))
    gc.disable()  # until `imports.over`
    from attune_trainer.command import main

    code = main()
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, OSError, ValueError):  # closed, or read by nobody any more
            stream.flush()
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).fflush(None)  # what libraries of C have yet to write, such as NCCL's NCCL_DEBUG
    os._exit(code)
