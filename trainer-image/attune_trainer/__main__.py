"""The process that a pod starts.

It hears SIGTERM before it reads any other module: the kernel sends process 1 of a container no signal without a
handler, so one that came too early would be lost, and the pod would stay until its grace period is over.
"""

import os
import signal
import sys

if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: os._exit(128 + signal.SIGTERM))
    from attune_trainer.command import main

    sys.exit(main())
