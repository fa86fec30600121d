"""What can go wrong here, told so that a person can mend it."""

from __future__ import annotations

from pathlib import Path

TAIL_LINES = 25


class ClusterError(Exception):
    """Something that keeps the local cluster from working.

    Args:
        message: what is wrong and where.
        hint: what to do about it.
        log: the full log of the step; its end is shown with the message.
    """

    def __init__(self, message: str, *, hint: str = "", log: Path | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.log = log

    def render(self) -> str:
        """The text to print: the end of the log first, because the last lines on a screen are read first."""
        parts = []
        if self.log is not None:
            parts.append(f"--- end of {self.log}\n{tail(self.log)}\n---")
        parts.append(f"error: {self.message}")
        if self.hint:
            parts.append(f"  what to do: {self.hint}")
        return "\n".join(parts)


def tail(path: Path, lines: int = TAIL_LINES) -> str:
    """The last `lines` lines of a text file; an empty string where there is none."""
    try:
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
    except OSError:
        return ""
