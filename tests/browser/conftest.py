"""A real Chromium, and what is asked of it: a picture, a PDF, or how a page comes out at a width."""

import html
import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from attune_trainer.evaluation.page.document import EvaluationDocument

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
EXAMPLE = Path(__file__).with_name("example.json")
# The page runs no script: it is measured from outside, by the page whose frame it is in.
MEASURE = """<!doctype html><title></title><body style="margin:0"><script>
function measure(frame) {
  const page = frame.contentDocument, width = frame.clientWidth, seen = [];
  for (const element of page.body.querySelectorAll('*')) {
    const at = element.getBoundingClientRect();
    const clipped = element.closest('.scroll, thead, title');
    if (!clipped && at.width && (at.right > width + 1 || at.left < -1)) seen.push(element.outerHTML.slice(0, 120));
  }
  document.title = JSON.stringify({
    width: page.documentElement.scrollWidth, height: page.documentElement.scrollHeight, beyond: seen.slice(0, 5),
    background: getComputedStyle(page.body).backgroundColor, color: getComputedStyle(page.body).color,
    title: page.title, stacked: getComputedStyle(page.querySelector('table.stacked tr td')).display,
  });
}
</script><iframe style="border:0;width:%dpx;height:900px" onload="measure(this)" srcdoc="%s"></iframe>"""


@dataclass(frozen=True)
class Browser:
    """Chromium without a window, with a profile of its own."""

    program: str
    folder: Path

    def measured(self, page: str, width: int, *flags: str) -> dict[str, Any]:
        """How a page comes out in a frame of so many pixels."""
        outer = self.folder / "frame.html"
        outer.write_text(MEASURE % (width, html.escape(page)), encoding="utf-8")
        dom = self._run("--virtual-time-budget=3000", "--dump-dom", *flags, outer.as_uri())
        found = re.search(r"<title>(.*?)</title>", dom, re.DOTALL)
        assert found, f"{self.program} wrote no page"
        assert found[1], "the page was not measured: its frame did not load"
        return dict(json.loads(html.unescape(found[1])))

    def picture(self, page: Path, target: Path, width: int, height: int) -> None:
        """A PNG of the page's top."""
        self._run(f"--screenshot={target}", f"--window-size={width},{height}", page.as_uri())

    def pdf(self, page: Path, target: Path) -> bytes:
        """The page as it comes out on paper."""
        self._run("--no-pdf-header-footer", f"--print-to-pdf={target}", page.as_uri())
        return target.read_bytes()

    def _run(self, *arguments: str) -> str:
        profile = self.folder / "profile"
        common = ("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--user-data-dir={profile}")
        done = subprocess.run(
            [self.program, *common, *arguments], capture_output=True, text=True, check=False, timeout=120
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Browser:
    program = next((found for name in NAMES if (found := shutil.which(name))), None)
    if program is None:
        pytest.fail("these tests need a browser: tests/browser/ensure.sh installs chromium (as `make test` does)")
    return Browser(program, tmp_path_factory.mktemp("browser"))


@pytest.fixture(scope="session")
def example() -> EvaluationDocument:
    """The figures of a run of examples/support-router; what that run did not have is made up, and says so."""
    return EvaluationDocument.model_validate_json(EXAMPLE.read_text(encoding="utf-8"))
