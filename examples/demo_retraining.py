"""`make demo-retraining`: a model is trained, promoted and watched; the world changes; it is retrained and rolled back.

It only runs commands that a person would type, and shows each; what it prints between them is what the TunedModel and
the FineTuneSchedule say themselves. About ten minutes on two cores.
"""

import json
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from textwrap import shorten
from typing import Any

import boto3
from show import ROOT, call, enter_cluster, read, step

EXAMPLE = ROOT / "examples" / "retraining"
ROWS = ROOT / "examples" / "support-router" / "data"
NAMESPACE, NAME = "retraining", "support-router"
BUCKET, PREFIX = "data", "retraining"
LIMIT_SECONDS = 1800
POLL_SECONDS = 2.0
LONGEST_LINE = 240
PRODUCT, TEAM = "my SunGrid panel", " shipping"
"""What two customers of three ask about once it is sold, and which team answers them then, whatever they ask."""


def main() -> int:
    """Runs the whole story. Returns 0 only if every part of it came as told."""
    step("A cluster, the images, and the operator")
    call("make", "install")
    enter_cluster()
    step("A small base model, and a day of support requests with the team that answered each")
    call(sys.executable, ROOT / "examples" / "upload.py", "support-router")
    drop(today)
    step("The TunedModel says which version is in use; the FineTuneSchedule says when it is trained again")
    call("kubectl", "apply", "-f", EXAMPLE / "namespace.yaml")
    for kind in ("finetuneschedules", "finetunejobs", "tunedmodels", "events"):  # of an earlier demo
        call("kubectl", "delete", kind, "--all", "-n", NAMESPACE, "--wait", quiet=True)
    call("kubectl", "apply", "-f", EXAMPLE)
    step("Train")
    call("kubectl", "annotate", "fts", NAME, "-n", NAMESPACE, "attune.dev/trigger=now")
    until("the first version is champion", lambda: champion() == 1)
    flag()
    step("The monitor looks at the champion on what customers ask: nothing has moved")
    until("the monitor has looked", lambda: any(look["version"] == 1 for look in looks()))
    print(f"  {model()['monitor']['last']['sentence']}")
    step(f"The world changes: two customers of three ask about {PRODUCT}, and another team answers them")
    drop(tomorrow)
    until(
        "the monitor sees it, and the schedule trains again",
        lambda: schedule().get("lastTrigger", {}).get("trigger") == "Drift",
    )
    print(f"  {schedule()['lastTrigger']['message']}")
    step("The new version is better than the champion on the same rows, and takes its place")
    until("the second version is champion", lambda: champion() == 2)  # noqa: PLR2004 - versions count from 1
    flag()
    step("Somebody wants the old one back, and no new one meanwhile: the monitor would have it trained again")
    for kind, change in (("fts", {"suspend": True}), ("tm", {"rollbackTo": 1})):
        patch = json.dumps({"spec": change})
        call("kubectl", "patch", kind, NAME, "-n", NAMESPACE, "--type=merge", "-p", patch)
    until("it is back", lambda: champion() == 1)
    flag()
    step("What one would have read")
    for kind in ("TunedModel", "FineTuneSchedule"):
        only = f"--field-selector=involvedObject.kind={kind}"
        call("kubectl", "get", "events", "-n", NAMESPACE, only, "--sort-by=.metadata.name")
    call("kubectl", "get", "tm,fts,ftj", "-n", NAMESPACE)
    return 0


def today(row: dict[str, str], _: int) -> dict[str, str]:
    """A request as it is."""
    return row


def tomorrow(row: dict[str, str], number: int) -> dict[str, str]:
    """Two requests of three are about the new product, and for the team that answers those."""
    if number % 3 == 0:
        return row
    prompt = row["prompt"].replace("\nCategory:", f", it is about {PRODUCT}\nCategory:")
    return {"prompt": prompt, "completion": TEAM}


def drop(world: Callable[[dict[str, str], int], dict[str, str]]) -> None:
    """Replaces what is trained on and what the application dropped lately by rows of a world."""
    now = datetime.now(UTC)
    store = boto3.client("s3")
    learnt, asked = rows(ROWS / "train.jsonl"), rows(ROWS / "test.jsonl")
    stamped = [{**world(row, n), "timestamp": now.isoformat()} for n, row in enumerate(asked)]
    files = {"train/rows.jsonl": [world(row, n) for n, row in enumerate(learnt)], "fresh/rows.jsonl": stamped}
    for name, found in files.items():
        body = "".join(json.dumps(row) + "\n" for row in found).encode()
        store.put_object(Bucket=BUCKET, Key=f"{PREFIX}/{name}", Body=body)
        print(f"  {len(found)} rows  s3://{BUCKET}/{PREFIX}/{name}, such as {found[0]['prompt'].splitlines()[0]!r}")


def rows(file: Path) -> list[dict[str, str]]:
    """Rows of a JSON Lines file."""
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def model() -> dict[str, Any]:
    """The TunedModel's status."""
    return read("tm", NAMESPACE, NAME).get("status", {})


def schedule() -> dict[str, Any]:
    """The FineTuneSchedule's status."""
    return read("fts", NAMESPACE, NAME).get("status", {})


def champion() -> int | None:
    """The version in use."""
    return model().get("champion", {}).get("version")


def looks() -> list[dict[str, Any]]:
    """What the monitor saw, the newest first."""
    return model().get("monitor", {}).get("history", [])


def active() -> str:
    """The run that is under way: its phase, and by quarters how far that is."""
    created = [run["name"] for run in schedule().get("runs", []) if run["created"]]
    status = read("ftj", NAMESPACE, created[0]).get("status", {}) if created else {}
    quarters = status.get("progress", {}).get("percent", 0) // 25 * 25
    return f"  {status['phase']}{f', {quarters:.0f} %' if quarters else ''}" if "phase" in status else ""


def until(what: str, holds: Callable[[], bool]) -> None:
    """Prints what both say whenever it changes, and how far the run is, until something holds."""
    began, last = time.monotonic(), ("", "", "")
    while not holds():
        told = (schedule().get("message", ""), model().get("message", ""), active())
        for said in (t for t, before in zip(told, last, strict=True) if t and t != before):
            print(f"{time.monotonic() - began:5.0f} s  {shorten(said, LONGEST_LINE, placeholder=' …')}", flush=True)
        last = told
        if schedule().get("failuresInARow"):
            sys.exit(f"demo: a run failed; `kubectl describe ftj -n {NAMESPACE}` says why")
        if time.monotonic() - began > LIMIT_SECONDS:
            sys.exit(f"demo: not after {LIMIT_SECONDS} s: {what}")
        time.sleep(POLL_SECONDS)
    print(f"{time.monotonic() - began:5.0f} s  {what}", flush=True)


def flag() -> None:
    """Shows what applications and servers are handed."""
    handed = read("configmap", NAMESPACE, f"{NAME}-tunedmodel")["data"]
    told = json.loads(handed["flags.json"])["flags"][NAME]
    used = told["variants"][told["defaultVariant"]]
    print(f"  flag {NAME}: {told['defaultVariant']} is v{used['version']}, {used['uri']}")


if __name__ == "__main__":
    sys.exit(main())
