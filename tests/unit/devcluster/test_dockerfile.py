from __future__ import annotations

import pytest

from attune_devcluster.dockerfile import sources

TWO_TARGETS = """
ARG BASE_IMAGE=python:3.11-slim
FROM ${BASE_IMAGE} AS base
COPY requirements/base.txt /tmp/

FROM base AS data
COPY --chown=1:1 contract trainer-image/attune_trainer/data /app/

FROM base AS tools
ADD tools.tar /opt/

# COPY commented.out /
FROM data AS trainer
COPY requirements/trainer.txt \\
     /tmp/
COPY --from=tools /opt/tool /usr/bin/
COPY --from=docker.io/library/busybox /bin/busybox /bin/
RUN --mount=type=bind,source=constraints.txt,target=/c.txt --mount=type=cache,target=/root/.cache pip install x
"""
BASE = ["requirements/base.txt"]
DATA = [*BASE, "contract", "trainer-image/attune_trainer/data"]


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        pytest.param("base", BASE, id="only its own"),
        pytest.param("data", DATA, id="and those of the stage below"),
        pytest.param(
            "trainer", [*DATA, "requirements/trainer.txt", "tools.tar", "constraints.txt"], id="and COPY --from"
        ),
        pytest.param(
            None, [*DATA, "requirements/trainer.txt", "tools.tar", "constraints.txt"], id="last stage by default"
        ),
    ],
)
def test_sources_of_a_target(target: str | None, expected: list[str]) -> None:
    assert sources(TWO_TARGETS, target) == sorted(expected)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        pytest.param("copy a b/", ["a"], id="lower case"),
        pytest.param('COPY ["with space", "b/"]', ["with space"], id="JSON form"),
        pytest.param("COPY *.toml src/ /app/", ["*.toml", "src/"], id="glob"),
        pytest.param("RUN echo COPY a b", [], id="not an instruction"),
        pytest.param("RUN --mount=from=other,source=x,target=/y true", [], id="mount from a stage"),
        pytest.param("RUN --mount=type=secret,id=x,target=/y true", [], id="secret"),
    ],
)
def test_sources_of_an_instruction(line: str, expected: list[str]) -> None:
    assert sources(f"FROM scratch\n{line}\n", None) == expected


@pytest.mark.parametrize(
    ("text", "target"),
    [pytest.param(TWO_TARGETS, "absent", id="unknown target"), pytest.param("# nothing\n", None, id="no stage")],
)
def test_a_missing_target_is_an_error_that_names_what_there_is(text: str, target: str | None) -> None:
    with pytest.raises(LookupError, match=r"there are: (base, data, tools, trainer|none)"):
        sources(text, target)
