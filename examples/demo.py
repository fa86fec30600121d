"""`make demo`: a cluster, the operator, and one real FineTuneJob from its data to its verdict.

It only runs commands that a person would type, and shows each; what it prints between them is the FineTuneJob's own
status.
"""

import sys
import time

from show import ROOT, call, enter_cluster, read, step

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
    return verdict(read("finetunejob", NAMESPACE, NAME))


def follow() -> None:
    """Prints phase and message of the FineTuneJob whenever they change, until it is finished."""
    print("(the same to watch by hand: kubectl get finetunejobs -n support --watch)", flush=True)
    began, last = time.monotonic(), None
    while time.monotonic() - began < LIMIT_SECONDS:
        status = read("finetunejob", NAMESPACE, NAME).get("status", {})
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
