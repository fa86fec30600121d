"""What the demos share: they run commands that a person would type, and show each."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def enter_cluster() -> None:
    """Takes the cluster's variables (KUBECONFIG, the S3 server, helm on PATH) into this process."""
    printed = subprocess.run(
        [sys.executable, "-m", "attune_devcluster", "env"], check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT
    ).stdout
    for line in printed.splitlines():
        name, _, value = line.removeprefix("export ").partition("=")
        os.environ[name] = "".join(shlex.split(value))
    os.environ |= {
        "AWS_ENDPOINT_URL": os.environ["ATTUNE_S3_ENDPOINT"],
        "AWS_REGION": os.environ["ATTUNE_S3_REGION"],
        "AWS_ACCESS_KEY_ID": os.environ["ATTUNE_S3_ACCESS_KEY_ID"],
        "AWS_SECRET_ACCESS_KEY": os.environ["ATTUNE_S3_SECRET_ACCESS_KEY"],
    }


def step(title: str) -> None:
    """Prints a heading."""
    print(f"\n\033[1m== {title}\033[0m" if sys.stdout.isatty() else f"\n== {title}", flush=True)


def call(*command: str | Path, quiet: bool = False) -> None:
    """Shows a command and runs it; ends the demo where it fails."""
    words = [str(w) for w in command]
    if not quiet:
        shown = [w.replace(f"{ROOT}/", "").replace(sys.executable, "python") for w in words]
        print(f"$ {shlex.join(shown)}", flush=True)
    stdout = subprocess.DEVNULL if quiet else None
    if subprocess.run(words, cwd=ROOT, stdout=stdout, check=False).returncode:
        sys.exit(f"demo: this failed: {shlex.join(words)}")


def read(kind: str, namespace: str, name: str) -> dict:
    """An object as it is now."""
    command = ["kubectl", "get", kind, name, "-n", namespace, "-o", "json"]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
