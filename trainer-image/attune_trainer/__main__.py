"""The process that a pod starts.

It hears SIGTERM before it reads any other module: the kernel sends process 1 of a container no signal without a
handler, so one that came too early would be lost, and the pod would stay until its grace period is over.

Nor does it collect garbage before all modules are read, or tidy up after itself: reading three thousand modules makes
much and throws little away, and to look through all of it is a third of what a short stage computes.
"""

import gc
import logging
import os
import signal
import sys

if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: os._exit(128 + signal.SIGTERM))
    gc.disable()  # until `imports.over`
    from attune_trainer.command import main

    code = main()
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
