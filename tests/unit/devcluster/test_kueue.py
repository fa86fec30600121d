"""Kueue's objects as they are fitted to a controller outside the cluster."""

from __future__ import annotations

import base64
import json
from dataclasses import astuple
from pathlib import Path
from typing import Any

import pytest

from attune_devcluster import __main__, files, kueue, kueue_objects, local, pki
from attune_devcluster.addresses import STANDING
from attune_devcluster.choose import Kind
from attune_devcluster.errors import ClusterError
from attune_devcluster.paths import Layout
from attune_devcluster.shell import output

JSON = dict[str, Any]
ADDRESS = "127.0.0.1:1"


def hook(name: str, *groups: str) -> JSON:
    service = {"name": "kueue-webhook-service", "namespace": "kueue-system", "path": f"/{name}"}
    return {"name": name, "clientConfig": {"service": service}, "rules": [{"apiGroups": list(groups)}]}


def item(kind: str, **rest: Any) -> JSON:
    return {"kind": kind, "metadata": {"name": "x"}, **rest}


def fitted(*upstream: JSON) -> list[JSON]:
    return kueue_objects.fit(list(upstream), address=ADDRESS, certificate="CERT", key="KEY")


def text_of(encoded: str) -> str:
    return base64.b64decode(encoded).decode()


@pytest.mark.parametrize(
    ("kind", "kept"),
    [
        pytest.param("ClusterRole", True, id="rights"),
        pytest.param("Deployment", False, id="the controller is a process"),
        pytest.param("Service", False, id="so nothing leads to it"),
        pytest.param("APIService", False, id="visibility is switched off"),
        pytest.param("ConfigMap", False, id="its configuration is a file"),
    ],
)
def test_what_is_put_on_the_cluster(kind: str, kept: bool) -> None:
    assert bool(fitted(item(kind))) is kept


def test_webhooks_are_called_where_the_process_listens() -> None:
    (made,) = fitted(item("MutatingWebhookConfiguration", webhooks=[hook("mjob", "batch")]))
    (job,) = made["webhooks"]
    client = job["clientConfig"]
    assert client["url"] == f"https://{ADDRESS}/mjob"
    assert text_of(client["caBundle"]) == "CERT"
    assert "service" not in client


@pytest.mark.parametrize(
    ("group", "kept", "selected"),
    [
        pytest.param("batch", True, True, id="Jobs, when they have a queue"),
        pytest.param("kueue.x-k8s.io", True, False, id="queues and workloads, always"),
        pytest.param("", False, False, id="pods never"),
        pytest.param("ray.io", False, False, id="other kinds of work never"),
    ],
)
def test_kueue_is_asked_only_about_what_it_queues(group: str, kept: bool, selected: bool) -> None:
    (made,) = fitted(item("ValidatingWebhookConfiguration", webhooks=[hook("v", group)]))
    hooks = made["webhooks"]
    assert bool(hooks) is kept
    label = [s["key"] for h in hooks for s in h.get("objectSelector", {}).get("matchExpressions", [])]
    assert label == (["kueue.x-k8s.io/queue-name"] if selected else [])


def test_conversion_goes_there_as_well_and_a_kind_without_it_stays_as_it_is() -> None:
    webhook = {"clientConfig": hook("convert")["clientConfig"], "conversionReviewVersions": ["v1"]}
    converted, plain = fitted(
        item(
            "CustomResourceDefinition", spec={"group": "g", "conversion": {"strategy": "Webhook", "webhook": webhook}}
        ),
        item("CustomResourceDefinition", spec={"group": "g"}),
    )
    made = converted["spec"]["conversion"]["webhook"]
    assert made["clientConfig"]["url"] == f"https://{ADDRESS}/convert"
    assert made["conversionReviewVersions"] == ["v1"]
    assert converted["spec"]["group"] == "g"
    assert plain["spec"] == {"group": "g"}


def test_the_secret_holds_our_certificate_as_its_own_authority() -> None:
    (secret,) = fitted(item("Secret"))
    held = {name: text_of(value) for name, value in secret["data"].items()}
    assert held == {"ca.crt": "CERT", "ca.key": "KEY", "tls.crt": "CERT", "tls.key": "KEY"}


@pytest.mark.parametrize(
    ("text", "count"),
    [("", 0), ('{"a": 1}\n', 1), ('{"a": 1}\n{"b": 2}', 2), ('{"a": 1}\n\n{"b": 2}\n', 2)],
    ids=["none", "one", "two", "blank lines"],
)
def test_objects_one_behind_the_other(text: str, count: int) -> None:
    assert len(list(kueue_objects.parse(text))) == count


def test_the_controller_has_the_rights_of_its_own_account_and_queues_only_labelled_jobs(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    files.write(layout.pki / "tokens.csv", 'secret,admin,admin,"system:masters"\n')
    component = kueue.controller(layout, {"kueue": Path("/bin/kueue")})
    configuration, kubeconfig = (json.loads(text) for text in component.configuration.values())
    assert kubeconfig["users"][0]["user"]["as"] == "system:serviceaccount:kueue-system:kueue-controller-manager"
    assert configuration["integrations"] == {"frameworks": ["batch/job"]}
    assert configuration["manageJobsWithoutQueueName"] is False
    assert f"{configuration['webhook']['host']}:{configuration['webhook']['port']}" == STANDING.kueue_webhooks
    assert component.listens == (STANDING.kueue_webhooks, STANDING.kueue_health)


def test_no_two_programs_of_a_control_plane_share_an_address() -> None:
    addresses = astuple(STANDING)
    assert len(set(addresses)) == len(addresses)


def test_kueue_counts_as_installed_from_the_moment_its_objects_are_sent(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    assert not kueue.installed(layout)
    files.write(layout.config / "kueue-objects.json", "{}")
    assert kueue.installed(layout)


@pytest.mark.parametrize(
    ("installed", "asked", "without", "run"),
    [
        pytest.param(False, [], None, set(), id="not asked for"),
        pytest.param(False, ["kueue"], None, {"kueue"}, id="asked for"),
        pytest.param(True, ["kwok"], None, {"kueue", "kwok"}, id="there from before, and Jobs may wait for it"),
        pytest.param(True, [], "kueue", set(), id="to be taken away"),
    ],
)
def test_kueue_stays_until_it_is_taken_away(
    installed: bool, asked: list[str], without: str | None, run: set[str], tmp_path: Path
) -> None:
    layout = Layout(tmp_path)
    if installed:
        files.write(layout.config / "kueue-objects.json", "{}")
    assert local.extras_to_run(layout, asked, without) == run


@pytest.mark.parametrize("kind", [Kind.KIND, Kind.CONTEXT], ids=lambda kind: kind.value)
@pytest.mark.parametrize(("extras", "without"), [(["kueue"], None), ([], "kueue")], ids=["with", "without"])
def test_only_the_devcluster_is_given_kueue(kind: Kind, extras: list[str], without: str | None, tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match=f"kueue: only for the devcluster, and this is {kind.value}"):
        __main__._bring_up(Layout(tmp_path), kind, extras, without)


def test_nothing_is_taken_away_where_kueue_never_was(tmp_path: Path) -> None:
    assert kueue.remove(Layout(tmp_path)) is False


def test_its_certificate_is_made_once_in_the_form_that_kueue_reads(tmp_path: Path) -> None:
    layout, folder = Layout(tmp_path), tmp_path / "kueue"
    pki.server_certificate(layout, folder, kueue.CERTIFICATE_NAMES)
    key = (folder / "tls.key").read_text()
    assert key.startswith("-----BEGIN RSA PRIVATE KEY-----")
    shown = output(["openssl", "x509", "-in", folder / "tls.crt", "-noout", "-ext", "subjectAltName"])
    assert shown is not None
    assert "DNS:kueue-webhook-service.kueue-system.svc" in shown
    assert "IP Address:127.0.0.1" in shown
    pki.server_certificate(layout, folder, kueue.CERTIFICATE_NAMES)
    assert (folder / "tls.key").read_text() == key


def test_without_a_usable_kubectl_the_error_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kueue, "output", lambda _: None)
    monkeypatch.setattr(kueue, "module_folder", lambda _: tmp_path)
    monkeypatch.setattr(pki, "server_certificate", lambda *_: None)
    with pytest.raises(ClusterError, match="kubectl kustomize"):
        kueue.register(Layout(tmp_path))
