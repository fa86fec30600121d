"""Makes docs/images/evaluation.png anew from the page of a run: `python tests/browser/picture.py evaluation.html`.

The page of `make demo` is at the place that it prints; fetch it with any S3 client.
"""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from conftest import NAMES, Browser

IMAGE = Path(__file__).resolve().parents[2] / "docs" / "images" / "evaluation.png"
WIDTH, HEIGHT = 1280, 1780


def main() -> None:
    """Takes the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("page", type=Path, help="evaluation.html of a run")
    page = parser.parse_args().page.resolve()
    program = next(found for name in NAMES if (found := shutil.which(name)))
    with tempfile.TemporaryDirectory() as folder:
        Browser(program, Path(folder)).picture(page, IMAGE, WIDTH, HEIGHT)


if __name__ == "__main__":
    main()
