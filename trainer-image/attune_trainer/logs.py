"""The log of an attempt for whoever asks why it failed: its last lines, and all of it below the run; secrets masked."""

import logging
import re
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import IO, TextIO

from attune_contract import layout
from attune_contract.enums import Role, Stage
from attune_contract.outcome import LOG_LINES, MAX_LOG_LINE
from attune_contract.runconfig import RunConfig
from attune_trainer import launch
from attune_trainer.artifacts import RunFiles
from attune_trainer.data.quality import sensitive
from attune_trainer.errors import StageError
from attune_trainer.storage.resolve import Stores
from attune_trainer.storage.retry import Retry

MOST_LINES = 10_000
PATIENCE = 5.0
"""Seconds for which a store that does not answer is asked again: the attempt is over, and its pod should go."""
SHORTEST = 6
"""Characters that a secret has at least; shorter values would mask words."""
MASKED = "[secret]"
# The ID of a key is none: it says whose key it is, and may be a word that stands in a bucket's name.
_SECRET_NAMES = re.compile(r"(?i)SECRET|TOKEN|PASSWORD|PASSWD|CREDENTIAL|ACCESS_KEY(?!_ID)|API_KEY|PRIVATE_KEY")
_SIGNED = re.compile(r"(?i)((?:X-Amz-(?:Signature|Credential|Security-Token)|Signature|AWSAccessKeyId)=)[^&\s\"']+")
_IN_ADDRESS = re.compile(r"(?<=://)[^/\s:@]{0,256}:[^/\s@]{1,1024}(?=@)")
_BEARER = re.compile(r"(?i)\b(authorization:\s*(?:bearer|basic)\s+|bearer\s+)[A-Za-z0-9._~+/=-]{8,}")
_OF_TORCHRUN = re.compile(r"^[EW]\d{4} .*torch/distributed/elastic/")
_log = logging.getLogger(__name__)


class Mask:
    """Takes secrets out of text: those that this pod was given, and whatever looks like one.

    Args:
        values: the secrets themselves.
    """

    def __init__(self, values: Iterable[str]) -> None:
        known = sorted({value for value in values if len(value) >= SHORTEST}, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, known))) if known else None

    def __call__(self, text: str) -> str:
        """The text without them."""
        if self._known:
            text = self._known.sub(MASKED, text)
        text = _BEARER.sub(rf"\1{MASKED}", _SIGNED.sub(rf"\1{MASKED}", text))
        return sensitive.mask(_IN_ADDRESS.sub(MASKED, text))


class Secrets:
    """What a pod must not say: the values of its Secrets, and of variables that are called like secrets.

    Args:
        config: names the Secrets; None: it cannot be read.
        environment: the process's variables.
    """

    def __init__(self, config: RunConfig | None, environment: Mapping[str, str]) -> None:
        self._config = config
        self._environment = environment
        self._seen: set[str] = set()
        self.mask()

    def __call__(self, text: str) -> str:
        """A text without them, as they are now and as they were."""
        return self.mask()(text)

    def mask(self) -> Mask:
        """Takes them out of text. Keys may have been rotated since, so they are read afresh; what was one stays one."""
        self._seen |= {value for name, value in self._given() if _SECRET_NAMES.search(name)}
        return Mask(self._seen)

    def _given(self) -> Iterator[tuple[str, str]]:
        yield from self._environment.items()
        if self._config is None:
            return
        stores = Stores(self._config, self._environment)
        for role in Role:
            with suppress(StageError, OSError):  # the Secret is missing, so there is nothing to mask
                yield from stores.keys(role).items()


class Tail:
    """The last lines of a log, masked.

    Args:
        mask: makes what takes secrets out; asked each time that lines are wanted.
    """

    def __init__(self, mask: Callable[[], Callable[[str], str]]) -> None:
        self._mask = mask
        self._lines: deque[str] = deque(maxlen=MOST_LINES)

    def add(self, line: str) -> None:
        """Adds a line."""
        self._lines.append(line.rstrip("\n"))

    def text(self) -> str:
        """All that is kept."""
        mask = self._mask()
        return "".join(f"{mask(line)}\n" for line in list(self._lines))

    def last(self) -> tuple[str, ...]:
        """The lines that an Outcome has room for; without what torchrun says once a process failed."""
        lines = [line for line in list(self._lines) if line.strip()]
        end = next((n for n, line in enumerate(lines) if _OF_TORCHRUN.match(line)), len(lines))
        mask = self._mask()
        return tuple(mask(line)[:MAX_LOG_LINE] for line in lines[:end][-LOG_LINES:])


class Handler(logging.Handler):
    """Adds what is logged to a tail.

    Args:
        tail: takes the lines.
    """

    def __init__(self, tail: Tail) -> None:
        super().__init__()
        self._tail = tail

    def emit(self, record: logging.LogRecord) -> None:
        """Adds one record, a traceback's lines each for themselves."""
        for line in self.format(record).splitlines():
            self._tail.add(line)


def follow(stream: IO[str], out: TextIO, tail: Tail) -> threading.Thread:
    """Passes on what a process says, and keeps its last lines; in a thread that ends when the stream does."""

    def read() -> None:
        for line in stream:
            tail.add(line)
            out.write(line)
            out.flush()

    thread = threading.Thread(target=read, name="log", daemon=True)
    thread.start()
    return thread


def leave(config: RunConfig, environment: Mapping[str, str], stage: Stage, path: str, text: str) -> str | None:
    """Writes a text below the run, if the store can be reached; a log is not worth an error.

    Returns:
        Its URI, or None where it could not be written.
    """
    try:
        store = Stores(config, environment, Retry(PATIENCE)).open(Role.OUTPUT, config.workload.output.uri)
        run = RunFiles(store, config.run_uri, stage)
        run.put_bytes(path, text.encode("utf-8", "replace"))
    except (StageError, OSError) as error:
        _log.warning("the attempt's %s could not be kept: %s", path.rsplit("/", 1)[-1], error)
        return None
    return run.uri(path)


def leave_log(config: RunConfig, environment: Mapping[str, str], stage: Stage, tail: Tail) -> str | None:
    """Writes the log of this attempt, on this node, below the run."""
    path = layout.attempt_log(stage, config.run.attempt, launch.node(config, environment))
    return leave(config, environment, stage, path, tail.text())
