"""The table of results in docs/reliability.md, written by the suite itself between two markers."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from peril.world import Verdict, pattern, quantiles

HEAD = (
    "| what goes wrong | how often | runs | how they end | attempts beyond one a stage | operator started again "
    "| from the fault to the next step | what the status says of it |"
)
NOTHING = "nothing: the run goes on"
LONGEST_QUOTE = 160
_PAGE = """\
# Reliability

What Attune promises when things go wrong: no complete checkpoint is lost, no finished run runs again, no attempt
overlaps another, and every stop says why. The tables are written by `make faults`, which breaks what they name and
looks at what becomes of the runs.
"""


class Line(Protocol):
    """Whatever can be a line of a table."""

    def line(self) -> str:
        """As Markdown."""


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    fault: str
    times: int
    runs: int
    end: str
    extra: int
    restarts: int
    wait: str
    says: str

    def line(self) -> str:
        """As Markdown."""
        cells = (self.fault, self.times, self.runs, self.end, self.extra, self.restarts, self.wait, self.says)
        return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"


def row(fault: str, times: int, verdicts: Sequence[Verdict], usual: Iterable[str], waits: Sequence[float] = ()) -> Row:
    """What became of all runs that one kind of fault was done to.

    Args:
        fault: what went wrong.
        times: how often.
        verdicts: on the worlds where it did.
        usual: patterns of what status says where nothing goes wrong.
        waits: seconds to the next step, where they are not those of the verdicts.
    """
    ends = [state for verdict in verdicts for state in verdict.states.values()]
    known = set(usual)
    unusual = {pattern(m): m for verdict in verdicts for m in verdict.messages if pattern(m) not in known}
    said = "; ".join(f"“{_short(message)}”" for message in list(unusual.values())[:2])
    return Row(
        fault=fault,
        times=times,
        runs=len(ends),
        end=", ".join(f"{ends.count(end)} {end}" for end in sorted(set(ends))),
        extra=sum(verdict.extra_attempts for verdict in verdicts),
        restarts=sum(verdict.restarts for verdict in verdicts),
        wait=quantiles(waits or [wait for verdict in verdicts for wait in verdict.waits]),
        says=said or NOTHING,
    )


def _short(message: str) -> str:
    return message if len(message) <= LONGEST_QUOTE else f"{message[:LONGEST_QUOTE].rstrip()}…"


@dataclass
class Section:
    """A part of the page that this suite owns."""

    name: str
    """For the markers."""
    title: str
    text: str
    """Above the table."""
    rows: list[Line] = field(default_factory=list)
    head: str = HEAD

    def render(self) -> str:
        """The whole part, markers included."""
        columns = "| --- " * (self.head.count("|") - 1) + "|"
        lines = [*self.text.strip().splitlines(), "", self.head, columns, *(row.line() for row in self.rows)]
        start, end = _markers(self.name)
        return "\n".join([start, f"## {self.title}", "", *lines, end])

    def write(self, page: Path) -> None:
        """Puts it in its place on the page; at the page's end where it has none yet."""
        text = page.read_text() if page.exists() else _PAGE
        start, end = _markers(self.name)
        between = re.compile(re.escape(start) + ".*?" + re.escape(end), re.DOTALL)
        if between.search(text):
            text = between.sub(lambda _: self.render(), text)
        else:
            text = f"{text.rstrip()}\n\n{self.render()}\n"
        page.write_text(text)


def _markers(name: str) -> tuple[str, str]:
    return f"<!-- results of {name}: written by make faults -->", f"<!-- end of {name} -->"
