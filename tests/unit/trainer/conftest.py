"""What is made once for all tests of the trainer."""

from pathlib import Path
from typing import Any

import pytest

import trainer_factories as make
from attune_trainer.data.encoding.supervised import Encoder


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The tests' byte-level tokenizer, with a chat template."""
    return make.make_tokenizer(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture(scope="session")
def encoder(tokenizer: Any) -> Encoder:
    """Encodes for a model of 64 tokens."""
    return Encoder(tokenizer, 64)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder for data files."""
    folder = tmp_path / "data"
    folder.mkdir()
    return folder
