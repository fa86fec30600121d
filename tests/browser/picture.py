"""Makes docs/images/evaluation.png anew: PYTHONPATH=contract:trainer-image python tests/browser/picture.py."""

import shutil
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from conftest import EXAMPLE, NAMES, Browser

from attune_trainer.evaluation.page import render
from attune_trainer.evaluation.page.document import EvaluationDocument

IMAGE = Path(__file__).resolve().parents[2] / "docs" / "images" / "evaluation.png"
WIDTH, HEIGHT = 1280, 1780


def main() -> None:
    """Takes the picture of the example."""
    program = next(found for name in NAMES if (found := shutil.which(name)))
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "evaluation.html"
        render.write(EvaluationDocument.model_validate_json(EXAMPLE.read_text(encoding="utf-8")), page)
        Browser(program, Path(folder)).picture(page, IMAGE, WIDTH, HEIGHT)


if __name__ == "__main__":
    main()
