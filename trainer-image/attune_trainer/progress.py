"""Where a stage is, for the operator (`/progress`) and Prometheus (`/metrics`). A missed poll means nothing."""

import logging
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from attune_contract.enums import Stage
from attune_contract.outcome import Artifact
from attune_contract.progress import Progress
from attune_contract.runconfig import PROGRESS_PORT, RunConfig

PORT_VARIABLE = "ATTUNE_PROGRESS_PORT"
MOST_WARNINGS = 5
_GAUGES = {
    "step": "Optimizer steps in training, rows elsewhere.",
    "total_steps": "Steps that the stage has in all; 0 while unknown.",
    "epoch": "Passes over the training rows.",
    "loss": "Nats per token, last logged.",
    "learning_rate": "Learning rate, last logged.",
    "tokens_per_second": "Tokens through the model per second, padding not counted.",
    "eta_seconds": "Seconds that are left, as far as one can tell.",
    "checkpoint_step": "Step of the last complete checkpoint.",
    "checkpoint_seconds": "Seconds that the last checkpoint took until it was complete in the store.",
    "resumed_from_step": "Step of the checkpoint that this attempt went on from; 0 where it began at the beginning.",
}
_log = logging.getLogger(__name__)


class Board:
    """The one mutable thing of a stage: what it says of itself while it works. Safe to use from threads.

    Args:
        run_id: the run.
        stage: the stage.
        attempt: which one at it.
        now: the wall clock, in UTC.
        on_keep: told, by one thread at a time, of what the Outcome says however the stage ends, each time that changes.
        mask: takes secrets out of what is said in words.
    """

    def __init__(
        self,
        run_id: str,
        stage: Stage,
        attempt: int,
        now: Callable[[], datetime],
        *,
        on_keep: Callable[[Mapping[str, Any]], None] = lambda _: None,
        mask: Callable[[str], str] = lambda text: text,
    ) -> None:
        self._now = now
        self._on_keep = on_keep
        self._mask = mask
        self._lock = threading.RLock()
        self._kept: dict[str, Any] = {}
        self._progress = Progress(run_id=run_id, stage=stage, attempt=attempt, updated_at=_rfc3339(now()))

    def update(self, **fields: Any) -> None:
        """Sets fields of Progress by name; the others stay."""
        with self._lock:
            self._progress = self._progress.model_copy(update={**fields, "updated_at": _rfc3339(self._now())})

    def warn(self, text: str) -> None:
        """Adds a sentence to what went wrong without ending the stage; the last few are kept."""
        with self._lock:
            said = (*self._progress.warnings, self._mask(text))[-MOST_WARNINGS:]
            self._progress = self._progress.model_copy(update={"warnings": said, "updated_at": _rfc3339(self._now())})
            self._on_keep(self.kept())

    def keep(self, checkpoint: Artifact | None, resumed_from_step: int) -> None:
        """Takes down what the Outcome says however the stage ends.

        Args:
            checkpoint: the last complete one.
            resumed_from_step: where this attempt went on from; 0: at the beginning.
        """
        with self._lock:
            self._kept = {"checkpoint": checkpoint, "resumed_from_step": resumed_from_step}
            self._on_keep(self.kept())

    def kept(self) -> dict[str, Any]:
        """The same, as fields of an Outcome, with the warnings."""
        with self._lock:
            return {**self._kept, "warnings": self._progress.warnings}

    def read(self) -> Progress:
        """What was last said."""
        with self._lock:
            return self._progress


def port(config: RunConfig, environment: Mapping[str, str]) -> int:
    """The port to answer on: as the environment says, else 9400 in a cluster and none (0) on a laptop."""
    given = environment.get(PORT_VARIABLE, "")
    return int(given) if given.isdecimal() else (0 if config.local else PROGRESS_PORT)


def serve(board: Board, on: int) -> int | None:
    """Answers on a port from a thread that ends with the process.

    Args:
        board: what to tell.
        on: the port; 0 serves nothing.

    Returns:
        The port, or None where nothing is served: progress is a convenience, so a port that is taken is only logged.
    """
    if not on:
        return None
    try:
        server = ThreadingHTTPServer(("", on), _handler(board))
    except OSError as error:
        _log.warning("progress is not served: port %d: %s", on, error)
        return None
    threading.Thread(target=server.serve_forever, name="progress", daemon=True).start()
    return server.server_port


def metrics(progress: Progress) -> str:
    """Progress as Prometheus text (exposition format 0.0.4)."""
    labels = f'run_id="{progress.run_id}",stage="{progress.stage.value}",attempt="{progress.attempt}"'
    lines = []
    for name, meaning in _GAUGES.items():
        value = getattr(progress, name)
        if value is not None:
            lines += [f"# HELP attune_{name} {meaning}", f"# TYPE attune_{name} gauge"]
            lines.append(f"attune_{name}{{{labels}}} {value}")
    return "\n".join(lines) + "\n"


def _handler(board: Board) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/progress":
                self._answer("application/json", board.read().model_dump_json(exclude_none=True))
            elif self.path == "/metrics":
                self._answer("text/plain; version=0.0.4", metrics(board.read()))
            else:
                self.send_error(404)

        def _answer(self, kind: str, text: str) -> None:
            body = text.encode()
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the standard library's name
            """Polls are no news."""

    return Handler


def _rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
