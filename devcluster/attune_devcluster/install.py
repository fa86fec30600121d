"""Installs the chart on the cluster that is up, with this checkout's images: `python -m attune_devcluster.install`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping

from attune_devcluster import description
from attune_devcluster.console import say
from attune_devcluster.errors import ClusterError
from attune_devcluster.paths import Layout

NAMESPACE = "attune-system"
CHART = "charts/attune"
TIMEOUT = "180s"


def values(images: Mapping[str, Mapping[str, str | None]]) -> list[str]:
    """Arguments `--set-string` of helm for a small machine.

    Args:
        images: as `image list --json` prints them: a reference for operator, data and trainer.

    Raises:
        ClusterError: an image was not built for this checkout; its pods would wait for it without end.
    """
    absent = [name for name, facts in images.items() if not facts["digest"]]
    if absent:
        raise ClusterError(f"not built from this checkout yet: {', '.join(absent)}", hint="run `make image`")
    settings = {f"images.{name}": images[name]["reference"] for name in ("operator", "data", "trainer")}
    settings |= {"preflight.cpu": "100m", "preflight.memory": "1Gi"}
    return [argument for key, value in settings.items() for argument in ("--set-string", f"{key}={value}")]


def main() -> int:
    """Installs or upgrades the release and waits until the operator is ready."""
    layout = Layout.from_environment(os.environ)
    env = {**os.environ, **description.environment(layout, description.load(layout), os.environ.get("PATH", ""))}
    listed = subprocess.run(
        [sys.executable, "-m", "attune_devcluster", "image", "list", "--json"],
        env=env,
        stdout=subprocess.PIPE,
        check=True,
    )
    started = time.monotonic()
    command = ["helm", "upgrade", "--install", "attune", CHART, "--namespace", NAMESPACE, "--create-namespace"]
    command += ["--take-ownership", "--wait", "--timeout", TIMEOUT, *values(json.loads(listed.stdout))]
    result = subprocess.run(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if result.returncode != 0:
        print(result.stdout, file=sys.stderr)
        return result.returncode
    say(f"attune is installed in namespace {NAMESPACE} ({time.monotonic() - started:.0f} s)")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except ClusterError as error:
        say(error.render())
        sys.exit(1)
