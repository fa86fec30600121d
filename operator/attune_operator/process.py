"""The process around kopf: it ends where kopf cannot go on, and says why.

kopf asks again after what passes by itself: a lost connection, 429, 5xx. Any other answer when a watch is opened, such
as 410 or 403, ends one of its watchers and with it all the rest, except that the other watchers may wait for ever for
credentials that nobody hands out any more. A process that ends is started anew by Kubernetes, and lists everything
afresh; one that hangs is noticed by its liveness probe only, minutes later.
"""

import asyncio
import logging
import os
import threading
from collections.abc import Callable, Collection
from typing import Any

import kopf

WATCHING_FAILED = 4
"""Exit code of an operator that could not go on watching."""
TEARDOWN_SECONDS = 10.0
"""How long kopf may take to end, beside what is being worked on."""
log = logging.getLogger("attune")


async def serve(registry: kopf.OperatorRegistry, drain_seconds: float) -> int:
    """Runs kopf until SIGTERM, or until it fails.

    Args:
        registry: kopf's registry, with every handler.
        drain_seconds: how long what is being worked on may take to end.

    Returns:
        The exit code.
    """
    ours = {task for task in (asyncio.current_task(),) if task is not None}
    tasks = await kopf.spawn_tasks(registry=registry, clusterwide=True, standalone=True)
    return await until_over(tasks, lambda: kopf.run_tasks(tasks, ignored=ours), drain_seconds + TEARDOWN_SECONDS)


async def until_over(
    tasks: Collection[asyncio.Task[Any]],
    tear_down: Callable[[], Any],
    seconds: float,
    leave: Callable[[int], Any] = os._exit,
) -> int:
    """Waits until the first of kopf's tasks ends, and sees that the process ends after it.

    Args:
        tasks: kopf's; all of them are meant to run for ever.
        tear_down: ends the others in good order; awaited.
        seconds: how long that may take.
        leave: ends the process here and now.

    Returns:
        The exit code: 0 where it was told to stop.
    """
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    error = next((e for task in done if not task.cancelled() and (e := task.exception()) is not None), None)
    code = WATCHING_FAILED if error else 0
    if error:
        log.error("cannot go on watching, so the process ends with exit code %d to be started anew: %r", code, error)
    timer = threading.Timer(seconds, _leave_hanging, (seconds, code, leave))
    timer.daemon = True
    timer.start()
    try:
        await tear_down()
    except Exception as late:
        if late is not error:
            log.exception("failed while it was ending, so the exit code is %d", WATCHING_FAILED)
        return WATCHING_FAILED
    finally:
        timer.cancel()
    return code


def _leave_hanging(seconds: float, code: int, leave: Callable[[int], Any]) -> None:
    log.warning("parts of it did not end within %.0f s and are cut off, which is as safe as a crash", seconds)
    leave(code)
