"""`make demo`: a cluster, the operator, and one real FineTuneJob from its data to its verdict.

It only runs commands that a person would type, and shows each; what it prints between them is the FineTuneJob's own
status.
"""

import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
EXAMPLE = ROOT / "examples" / "support-router"
NAMESPACE, NAME = "support", "support-router"
LIMIT_SECONDS = 1800
POLL_SECONDS = 1.0


def main() -> int:
    """Runs the whole story. Returns 0 only if the run succeeded."""
    step("A cluster, the images, and the operator")
    call("make", "install")
    enter_cluster()
    step("A small base model and the data, uploaded to the cluster's S3")
    call(sys.executable, ROOT / "examples" / "upload.py", EXAMPLE.name)
    step("The FineTuneJob")
    call("kubectl", "apply", "-f", EXAMPLE / "manifests" / "namespace.yaml")
    call("kubectl", "delete", "finetunejob", NAME, "-n", NAMESPACE, "--ignore-not-found", "--wait", quiet=True)
    call("kubectl", "apply", "-f", EXAMPLE / "manifests")
    follow()
    step("What came of it")
    call("kubectl", "wait", "--for=condition=Finished", f"finetunejob/{NAME}", "-n", NAMESPACE, "--timeout=60s")
    call("kubectl", "describe", "finetunejob", NAME, "-n", NAMESPACE)
    call("kubectl", "get", "finetunejob", NAME, "-n", NAMESPACE)
    return verdict(read())


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


def read() -> dict:
    """The FineTuneJob as it is now."""
    command = ["kubectl", "get", "finetunejob", NAME, "-n", NAMESPACE, "-o", "json"]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def follow() -> None:
    """Prints phase and message of the FineTuneJob whenever they change, until it is finished."""
    print("(the same to watch by hand: kubectl get finetunejobs -n support --watch)", flush=True)
    began, last = time.monotonic(), None
    while time.monotonic() - began < LIMIT_SECONDS:
        status = read().get("status", {})
        now = (status.get("phase", "Pending"), status.get("message", ""))
        if now != last:
            print(f"{time.monotonic() - began:5.0f} s  {now[0]:<12} {now[1]}", flush=True)
            last = now
        if any(c["type"] == "Finished" and c["status"] == "True" for c in status.get("conditions", [])):
            return
        time.sleep(POLL_SECONDS)
    sys.exit(
        f"demo: not finished after {LIMIT_SECONDS} s; `kubectl describe ftj -n {NAMESPACE} {NAME}` says where it is"
    )


def verdict(job: dict) -> int:
    """Says in words how tuned and base compare, and where the model and the report are."""
    status = job["status"]
    if status["phase"] != "Succeeded":
        print(f"\nThe run failed: {status['message']}")
        return 1
    print()
    for result in (r for r in status["evaluation"]["results"] if not r.get("slice")):
        print(
            f"{result['metric']:<11} {result['baseline']:<8} {result['value']:.3f} → tuned {result['tuned']:.3f}"
            f"   ({result['delta']:+.3f}, on {result['rows']} held-out rows)"
        )
    sentence = next(c["message"] for c in status["conditions"] if c["type"] == "GatePassed")
    print(f"Verdict     {status['evaluation']['verdict']}: {sentence}")
    report = status["evaluation"]["reportURI"]
    print(f"Report      {report.removesuffix('.json')}.html, and for programs {report}")
    print(f"Model       {status.get('output', {}).get('modelURI', 'not published, as the gate did not pass')}")
    print(f"Cost        {status['cost']['amount']} {status['cost']['currency']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
