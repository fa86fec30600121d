"""The command line of the bench: what to measure, where, and the report at the end."""

import argparse
import asyncio
import os
import secrets
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks import burst, idle, observed, report, scale
from benchmarks.apiserver import APIServer, BenchError, connect
from benchmarks.manifests import NAME
from benchmarks.playground import playground
from benchmarks.samples import keep, say
from benchmarks.scene import named, set_up

from attune_devcluster import description, files
from attune_devcluster.errors import ClusterError
from attune_devcluster.paths import Layout

JSON = dict[str, Any]
EXPLAINED = """\
Measures the operator on the cluster that is up, and prints what it found beside what we aim at. Falling short is
shown, and is no failure: the exit code is 0 whenever everything could be measured.

  one by one   a FineTuneJob, then a plain Job with the same pod template, and so on: how long until Job and Pod are
               there (from the answer to the POST until a watch tells of them), and how often the operator writes
  burst        many FineTuneJobs at once: Jobs per second from the first POST to the last Job, then memory

  --scale      instead of these, on a control plane of its own that is removed in the end: many FineTuneJobs from
               preflight to Succeeded, and an operator that is killed and comes back

Pods run on fake nodes (kwok). Nothing else should use the cluster meanwhile. Everything is removed in the end.
"""


def main(argv: list[str] | None = None) -> int:
    """Runs the bench. Returns the exit code: 1 where something could not be measured, 130 when interrupted."""
    options = _parser().parse_args(argv)
    layout = Layout.from_environment(os.environ)
    try:
        # One at a time: two would measure each other, and each would remove what the other made.
        with files.lock(layout.cache / "bench.lock", "measuring the operator"):
            if options.scale:
                _scale(layout, options.scale, min(options.whole or options.scale, options.scale))
            else:
                asyncio.run(_bench(layout, options))
    except (BenchError, ClusterError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("bench: stopped; everything that it made is removed", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="make bench", description=EXPLAINED, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--idle", type=_count, default=60, metavar="N", help="runs one by one (default: 60)")
    parser.add_argument("--burst", type=_count, default=1000, metavar="N", help="runs at once (default: 1000)")
    parser.add_argument(
        "--namespace", default="attune-system", help="where the chart is installed (default: attune-system)"
    )
    parser.add_argument("--scale", type=_count, metavar="N", help="runs through all stages; 10000 takes about an hour")
    parser.add_argument(
        "--whole",
        type=_count,
        metavar="N",
        help="with --scale: so many of them go through all stages, the others end at preflight (default: all do)",
    )
    outside = parser.add_argument_group("an operator that runs outside of the cluster, such as one in a profiler")
    outside.add_argument("--metrics", metavar="URL", help="its metrics, such as http://localhost:8080/metrics")
    outside.add_argument("--pid", type=int, help="its process on this machine; needed with --metrics")
    return parser


def _count(text: str) -> int:
    if (value := int(text)) < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


async def _bench(layout: Layout, options: argparse.Namespace) -> None:
    found = description.load(layout)
    load = os.getloadavg()[0]
    async with connect(found.kubeconfig, found.context) as api:
        operator = await _operator(api, options)
        version = (await api.get("/version"))["gitVersion"]
        machine = f"{os.cpu_count()} cores with a load of {load:.1f} before"
        say(f"{operator.name}; Kubernetes {version}; {machine}")
        if others := await _others(api):
            say(f"note: {others} other FineTuneJobs are under way on this cluster; that makes every figure worse")
        made = named(secrets.token_hex(3))
        async with set_up(api, made, say):
            samples = await idle.measure(api, operator, made.idle, options.idle, say)
            crowd = await burst.measure(api, operator, made.burst, options.burst, say)
    figures = [*idle.figures(samples), *burst.figures(crowd)]
    print(f"\n{report.table(figures)}\n", flush=True)
    path = keep(
        layout.cache / "bench",
        "operator",
        report.dump(
            figures,
            operator=operator.name,
            kubernetes=version,
            machine=machine,
            other_runs=others,
            idle=vars(samples),
            burst=asdict(crowd),
        ),
    )
    say(f"all samples: {path}")


def _scale(layout: Layout, count: int, whole: int) -> None:
    machine = f"{os.cpu_count()} cores with a load of {os.getloadavg()[0]:.1f} before"
    say(f"{count} FineTuneJobs, {whole} of them through all stages, on a control plane of their own; {machine}")
    with tempfile.TemporaryDirectory(prefix="attune-scale-") as folder, playground(Path(folder), os.environ) as alone:
        measured = asyncio.run(scale.measure(alone, Path(folder), count, whole, say))
    figures = scale.figures(measured)
    print(f"\n{report.table(figures)}\n", flush=True)
    facts = report.dump(figures, machine=machine, scale=asdict(measured))
    say(f"all samples: {keep(layout.cache / 'bench', 'scale', facts)}")


async def _operator(api: APIServer, options: argparse.Namespace) -> observed.Operator:
    if options.metrics is None:
        return await observed.find(api, options.namespace)
    if options.pid is None:
        raise BenchError("--metrics needs --pid, or there is no knowing what the operator weighs")
    return observed.Operator(f"process {options.pid}", options.metrics, pid=options.pid)


async def _others(api: APIServer) -> int:
    """FineTuneJobs of other people that have not ended."""
    runs = (await api.get("/apis/attune.dev/v1alpha1/finetunejobs"))["items"]
    return sum(
        not run["metadata"]["namespace"].startswith(NAME) and "completionTime" not in run.get("status", {})
        for run in runs
    )
