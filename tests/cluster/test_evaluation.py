"""Verdicts on a real cluster: what is good is published, and what is not is not, with a sentence that says why."""

import json
import random
import time
from typing import Any

import pytest

from clusters import STORE, Team, conditions, rows

pytestmark = [pytest.mark.cluster, pytest.mark.slow]
JSON = dict[str, Any]
LEARNS = {"maxSteps": 40, "batchSize": 16, "learningRate": 0.01}
LEARNS_NOTHING = {"maxSteps": 1, "batchSize": 16, "learningRate": 1e-9}


def accuracy(**bar: Any) -> JSON:
    """An evaluation with one requirement on Accuracy."""
    return {
        "metrics": [{"name": "Accuracy"}, {"name": "ExactMatch"}],
        "gate": {"require": [{"metric": "Accuracy", **bar}]},
    }


def ended(team: Team, name: str = "job") -> tuple[JSON, str, str]:
    """Waits for the end of a run; its status, verdict and the sentence of GatePassed."""
    job = team.wait(name, "Finished", timeout=420)
    status = job["status"]
    assert conditions(job)["Succeeded"]["status"] == "True", status["message"]
    return job, status["evaluation"]["verdict"], conditions(job)["GatePassed"]["message"]


def keys(team: Team, job: JSON) -> set[str]:
    prefix = f"{team.namespace}/out/runs/{job['metadata']['uid']}/"
    pages = team.cluster.s3.get_paginator("list_objects_v2").paginate(Bucket=team.bucket, Prefix=prefix)
    return {o["Key"].removeprefix(prefix) for page in pages for o in page.get("Contents", [])}


def not_published(team: Team, job: JSON) -> None:
    found = keys(team, job)
    assert "reports/evaluation.html" in found, "its files are kept"
    assert not [key for key in found if key.startswith("model/")]
    assert conditions(job)["GatePassed"]["status"] == "False"
    assert conditions(job)["Published"]["status"] == "False"
    assert "Publish" not in {a["stage"] for a in job["status"]["attempts"]}


def test_a_run_that_is_good_enough_is_published(team: Team) -> None:
    team.submit(
        data=team.upload("train.jsonl", rows(400)),
        tuning={"type": "Full"},
        training=LEARNS,
        evaluation=accuracy(minimum=0.85, minImprovement=0.05, over="base"),
    )
    job, verdict, sentence = ended(team)
    assert verdict == "Passed", sentence
    assert "over base" in sentence
    assert "95 % interval" in sentence
    found = keys(team, job)
    assert {"model/model.safetensors", "manifest.json", "reports/evaluation.html", "reports/predictions.jsonl"} <= found


def test_a_run_that_learns_nothing_is_not_published(team: Team) -> None:
    draw = random.Random(17)  # noqa: S311 - data for a test
    shuffled = [row | {"completion": draw.choice((" warm", " cold"))} for row in rows(400)]
    team.submit(
        data=team.upload("train.jsonl", shuffled),
        tuning={"type": "Full"},
        training=LEARNS,
        evaluation=accuracy(minImprovement=0.2, over="base"),
    )
    job, verdict, sentence = ended(team)
    assert verdict in {"Failed", "Inconclusive"}, sentence
    not_published(team, job)


def test_where_prompting_does_as_well_the_gate_says_so(team: Team) -> None:
    """The base is a model that a run before has taught the task already: a prompt is all that it needs."""
    data = team.upload("train.jsonl", rows(800))
    team.submit("teacher", data=data, tuning={"type": "Full"}, training=LEARNS, evaluation=accuracy(minimum=0.85))
    teacher, verdict, sentence = ended(team, "teacher")
    assert verdict == "Passed", sentence

    baselines = [{"name": "base"}, {"name": "prompted", "fewShot": 2}]
    team.submit(
        data=data,
        model={"source": teacher["status"]["output"]["modelURI"], "credentialsSecret": STORE},
        training=LEARNS_NOTHING,
        evaluation=accuracy(minImprovement=0.2, over="prompted") | {"baselines": baselines},
    )
    job, verdict, sentence = ended(team)
    assert verdict == "Failed", sentence
    assert "prompting the base does" in sentence
    assert {r["baseline"] for r in job["status"]["evaluation"]["results"]} == {"base", "prompted"}
    not_published(team, job)


def test_a_model_that_forgets_is_not_published(team: Team) -> None:
    """All weights of the examples' base, which has learnt English, are turned at a rate that leaves nothing of it."""
    general = [{"text": f"The function returns the value of item {n} in the list of options."} for n in range(60)]
    forgetting = {"dataset": [team.upload("general.jsonl", general)], "maxPerplexityIncrease": 0.1}
    team.submit(
        data=team.upload("train.jsonl", rows(200)),
        model={"source": "s3://models/support-router-base", "credentialsSecret": STORE},
        tuning={"type": "Full"},
        training={"maxSteps": 40, "batchSize": 16, "learningRate": 0.01},
        evaluation={"metrics": [{"name": "Perplexity"}], "forgetting": forgetting},
    )
    job, verdict, sentence = ended(team)
    assert verdict == "Failed", sentence
    assert "erplexity" in sentence
    not_published(team, job)


def test_an_evaluation_that_is_killed_comes_to_the_same_verdict(team: Team) -> None:
    team.submit(
        data=team.upload("train.jsonl", rows(400)),
        tuning={"type": "Full"},
        training=LEARNS,
        evaluation=accuracy(minImprovement=0.05, over="base"),
    )
    team.until(
        "job", lambda _: any(p["status"]["phase"] == "Running" for p in team.pods("evaluate")), 300, "evaluating"
    )
    (pod,) = team.pods("evaluate")
    team.cluster.kubectl("delete", "pod", pod["metadata"]["name"], "-n", team.namespace, "--grace-period=0", "--force")
    job, verdict, sentence = ended(team)
    assert verdict == "Passed", sentence
    assert [a["number"] for a in job["status"]["attempts"] if a["stage"] == "Evaluate"] == [1, 2]
    prefix = f"{team.namespace}/out/runs/{job['metadata']['uid']}/reports/predictions.jsonl"
    lines = team.cluster.s3.get_object(Bucket=team.bucket, Key=prefix)["Body"].read().decode().splitlines()
    ids = [json.loads(line)["rowID"] for line in lines]
    assert len(ids) == len(set(ids)) == job["status"]["validation"]["testRows"]


def test_ten_thousand_rows_fit_into_memory_and_their_progress_is_seen(team: Team) -> None:
    """2 GiB, of which torch takes most: outputs that were kept in memory would not fit beside it."""
    many = rows(10_400)
    names = ("Accuracy", "ExactMatch", "TokenF1", "ROUGE-L", "BLEU", "chrF", "Perplexity")
    team.submit(
        dataset={
            "train": [team.upload("train.jsonl", many[:400])],
            "test": [team.upload("test.jsonl", many[400:])],
            "split": None,
        },
        tuning={"type": "Full"},
        training=LEARNS | {"sequenceLength": 256},
        evaluation=accuracy(minImprovement=0.05, over="base")
        | {
            "metrics": [{"name": name} for name in names],
            "baselines": [{"name": "base"}, {"name": "prompted", "fewShot": 6}],
        },
    )
    team.until("job", lambda job: job["status"].get("phase") == "Evaluating", 420, "evaluating")
    seen: set[tuple[str, str]] = set()
    while (job := team.read())["status"]["phase"] == "Evaluating":
        table = team.cluster.kubectl("get", "ftj", "job", "-n", team.namespace).stdout.splitlines()
        columns = {name: table[0].index(name) for name in ("PROGRESS", "ETA", "LOSS")}
        told = [table[1][columns[a] : columns[b]].strip() for a, b in (("PROGRESS", "ETA"), ("ETA", "LOSS"))]
        seen.add((told[0], told[1]))
        time.sleep(0.5)
    job, verdict, sentence = ended(team)
    assert verdict == "Passed", sentence
    assert job["status"]["validation"]["testRows"] == 10_000
    shown = {percent for percent, eta in seen if eta and percent not in {"", "0%", "100%"}}
    assert len(shown) > 1, f"percent and ETA while it evaluates: {sorted(seen)}"
    prefix = f"{team.namespace}/out/runs/{job['metadata']['uid']}/reports/predictions.jsonl"
    body = team.cluster.s3.get_object(Bucket=team.bucket, Key=prefix)["Body"]
    assert sum(1 for _ in body.iter_lines()) == 10_000
