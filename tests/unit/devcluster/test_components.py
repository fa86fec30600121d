"""The cluster's programs as they are started."""

from __future__ import annotations

import ipaddress
import shlex
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path

import pytest

from attune_devcluster import control_plane, description, node, services
from attune_devcluster.addresses import BRIDGE, NODE_IP, POD_CIDR, SERVICE_CIDR, Endpoints
from attune_devcluster.choose import Kind
from attune_devcluster.components import Component
from attune_devcluster.errors import ClusterError
from attune_devcluster.local import OPTIONAL, STOP_ORDER
from attune_devcluster.paths import Layout


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path)


@pytest.fixture
def components(layout: Layout) -> list[Component]:
    binaries: Mapping[str, Path] = defaultdict(lambda: Path("/bin/program"))
    makers = (
        *(control_plane.etcd, control_plane.api_server, control_plane.controller_manager, control_plane.scheduler),
        *(node.containerd, node.kubelet, node.proxy, services.dns, services.store, services.registry),
    )
    return [maker(layout, binaries) for maker in makers]


def test_everything_that_is_started_is_stopped(components: list[Component]) -> None:
    assert {component.name for component in components} == set(STOP_ORDER) - OPTIONAL


def test_nothing_listens_beyond_this_machine(components: list[Component]) -> None:
    addresses = {address.rpartition(":")[0] for component in components for address in component.listens}
    assert addresses == {"127.0.0.1", NODE_IP}


def test_no_two_programs_listen_at_the_same_address(components: list[Component]) -> None:
    addresses = [address for component in components for address in component.listens]
    assert sorted(set(addresses)) == sorted(addresses)


def test_a_control_plane_alone_listens_where_it_is_told_and_nowhere_else(layout: Layout) -> None:
    ports = (f"127.0.0.1:{port}" for port in range(41001, 41010))
    at = Endpoints(**{field.name: next(ports) for field in fields(Endpoints)})
    binaries: Mapping[str, Path] = defaultdict(lambda: Path("/bin/program"))
    makers = (control_plane.etcd, control_plane.api_server, control_plane.controller_manager, control_plane.scheduler)
    started = [maker(layout, binaries, at) for maker in makers]
    assert {address for component in started for address in component.listens} == {
        *(at.etcd, at.etcd_peer, at.api_server, at.controller_manager, at.scheduler)
    }
    assert not [text for component in started for text in component.argv if NODE_IP in text or ":2379" in text]


def test_the_api_server_outlives_those_that_need_it_and_etcd_outlives_all() -> None:
    assert STOP_ORDER[-2:] == ("kube-apiserver", "etcd")


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"argv": ("/bin/other",)}, id="another binary"),
        pytest.param({"env": {"A": "2"}}, id="another environment"),
        pytest.param({"configuration": {Path("/f"): "2"}}, id="another configuration"),
    ],
)
def test_a_process_is_replaced_when_its_input_changes(change: dict[str, object]) -> None:
    component = Component("x", ("/bin/x",), lambda: True, env={"A": "1"}, configuration={Path("/f"): "1"})
    changed: Component = replace(component, **change)  # type: ignore[arg-type]  # the table holds values of several types
    assert changed.fingerprint() != component.fingerprint()


def test_the_kubelet_lets_nobody_in_without_a_certificate(layout: Layout) -> None:
    authentication = node.kubelet_configuration(layout)["authentication"]
    assert isinstance(authentication, dict)
    assert authentication["anonymous"] == {"enabled": False}


def test_pods_get_no_way_beyond_this_machine(layout: Layout) -> None:
    plugins = node.pod_network(layout)["plugins"]
    assert isinstance(plugins, list)
    assert (plugins[0]["bridge"], plugins[0]["ipMasq"]) == (BRIDGE, False)


def test_services_and_pods_have_ranges_of_their_own() -> None:
    assert not ipaddress.ip_network(POD_CIDR).overlaps(ipaddress.ip_network(SERVICE_CIDR))
    assert ipaddress.ip_address(NODE_IP) in ipaddress.ip_network(POD_CIDR)


STORE = description.Store("http://10.78.0.1:7070", "us-east-1", "key", "it's secret")
DESCRIPTION = description.Description(Kind.DEVCLUSTER, "attune-local", "/s/kubeconfig", "10.78.0.1:5000", STORE)


def test_a_description_is_read_as_it_was_written(layout: Layout) -> None:
    description.save(layout, DESCRIPTION)
    assert description.load(layout) == DESCRIPTION


@pytest.mark.parametrize(
    "text", [None, "", "{}", '{"kind": "else"}'], ids=["absent", "empty", "fields missing", "unknown kind"]
)
def test_without_a_description_the_error_says_how_to_get_a_cluster(layout: Layout, text: str | None) -> None:
    if text is not None:
        layout.state.mkdir(parents=True)
        layout.description.write_text(text)
    with pytest.raises(ClusterError) as caught:
        description.load(layout)
    assert "make cluster-up" in caught.value.render()


def test_exports_survive_a_shell(layout: Layout) -> None:
    lines = description.exports(description.environment(layout, DESCRIPTION, "/usr/bin")).splitlines()
    values = dict(shlex.split(line)[1].split("=", 1) for line in lines)
    assert values["ATTUNE_S3_SECRET_ACCESS_KEY"] == STORE.secret_access_key
    assert values["PATH"] == f"{layout.tools}:/usr/bin"


def test_path_does_not_grow_when_exported_twice(layout: Layout) -> None:
    once = description.environment(layout, DESCRIPTION, "/usr/bin")["PATH"]
    assert description.environment(layout, DESCRIPTION, once)["PATH"] == once


def test_a_running_program_is_not_replaced_because_of_the_shell_that_asks(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    binaries: Mapping[str, Path] = defaultdict(lambda: Path("/bin/program"))
    before = node.containerd(layout, binaries).fingerprint()
    monkeypatch.setenv("PATH", "/elsewhere")
    assert node.containerd(layout, binaries).fingerprint() == before
