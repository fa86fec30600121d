"""What is read from and asked of the machine: processes, mounts, firewall, packages."""

from __future__ import annotations

import io
import json
import os
import tarfile
from pathlib import Path

import pytest

from attune_devcluster import files, leftovers, network, packages, pause, processes
from attune_devcluster.console import duration
from attune_devcluster.errors import ClusterError
from attune_devcluster.paths import Layout

STAT = "42 ({name}) S 1 42 42 0 -1 4194560 1 0 0 0 5 6 0 0 20 0 9 0 {started} 1000 200"


@pytest.mark.parametrize("name", ["etcd", "tmux: server", "a) S 1 (b"], ids=["plain", "space", "parentheses"])
def test_start_time_is_found_behind_any_name(name: str) -> None:
    assert processes.parse_stat(STAT.format(name=name, started=777)) == ("S", 777)


def test_this_process_runs_and_a_pid_beyond_all_does_not() -> None:
    assert processes.start_time(os.getpid()) is not None
    assert processes.start_time(2**22 + 1) is None


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty file"),
        pytest.param("{half", id="half-written file"),
        pytest.param(json.dumps({"pid": 1}), id="fields missing"),
        pytest.param(
            json.dumps({"pid": os.getpid(), "started": 1, "boot": "x", "fingerprint": ""}), id="pid of somebody else"
        ),
    ],
)
def test_a_record_that_does_not_hold_is_no_record(text: str, tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    files.write(layout.run / "etcd.json", text)
    assert processes.load(layout, "etcd") is None


def test_a_process_is_found_again_and_stopped(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    processes.start(layout, "sleeper", ["sleep", "60"], env={}, fingerprint="abc")
    record = processes.load(layout, "sleeper")
    assert record is not None
    assert record.fingerprint == "abc"
    _end(record)
    assert processes.load(layout, "sleeper") is None


def _end(record: processes.Record) -> None:
    os.kill(record.pid, 9)
    os.waitpid(record.pid, 0)


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "http_proxy", "ALL_PROXY"])
def test_the_programs_of_the_cluster_use_no_proxy(name: str) -> None:
    assert processes.without_proxies({name: "http://proxy:3128", "HOME": "/root"}) == {"HOME": "/root"}


MOUNTS = """\
25 1 254:0 / / rw - ext4 /dev/vda rw
30 25 0:30 / /c/cluster/kubelet/pods/1/volumes/a rw - tmpfs tmpfs rw
31 25 0:31 / /c/cluster-of-another rw - tmpfs tmpfs rw
32 25 0:32 / /run/x/with\\040space rw - tmpfs tmpfs rw
33 25 0:33 / /run/x rw - tmpfs tmpfs rw
"""


def test_only_mounts_below_our_folders_are_ours() -> None:
    found = leftovers.mount_points(MOUNTS, ["/c/cluster", "/run/x"])
    assert found == ["/c/cluster/kubelet/pods/1/volumes/a", "/run/x/with space", "/run/x"]


@pytest.mark.parametrize(
    ("cgroups", "expected"),
    [
        pytest.param("0::/kubepods/besteffort/pod1/abc\n", True, id="version 2"),
        pytest.param("9:memory:/kubepods/pod1/abc\n1:name=systemd:/\n", True, id="version 1"),
        pytest.param("0::/kubepods/besteffort/pod1/abcd\n", False, id="another id that begins alike"),
        pytest.param("", False, id="ended meanwhile"),
    ],
)
def test_processes_of_our_containers(cgroups: str, expected: bool) -> None:
    assert leftovers.belongs(cgroups, {"abc"}) is expected


def test_all_rules_are_missing_on_a_fresh_machine() -> None:
    rules = network.missing_rules("-P FORWARD ACCEPT\n")
    assert [rule[:2] for rule in rules] == [
        ["-N", network.CHAIN],
        ["-A", network.CHAIN],
        ["-A", network.CHAIN],
        ["-I", "FORWARD"],
    ]


def test_no_rule_is_made_twice() -> None:
    existing = [" ".join(rule).replace("-I", "-A") for rule in network.missing_rules("")]
    assert network.missing_rules("\n".join(existing)) == []


def test_packages_are_named_once_and_only_when_something_of_them_is_missing() -> None:
    wanted = {"runc": "runc", "ip": "iproute2", "ss": "iproute2", "/x/bridge": "plugins"}
    assert packages.missing(wanted, lambda evidence: evidence == "runc") == ["iproute2", "plugins"]


def test_without_apt_get_the_missing_packages_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "on_this_machine", lambda _: False)
    with pytest.raises(ClusterError, match="missing on this machine: runc"):
        packages.ensure(Layout(tmp_path), {"runc": "runc"})


def test_pause_archive_holds_one_program_run_as_nobody() -> None:
    with tarfile.open(fileobj=io.BytesIO(pause.archive(b"program", "arm64"))) as archive:
        contents = {member.name: archive.extractfile(member) for member in archive.getmembers()}
        manifest = json.load(contents["manifest.json"] or io.BytesIO())
        configuration = json.load(contents["config.json"] or io.BytesIO())
    assert manifest[0]["RepoTags"] == [pause.PAUSE_IMAGE]
    assert configuration["config"] == {"Entrypoint": ["/pause"], "User": pause.NOBODY}
    assert configuration["architecture"] == "arm64"


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0 s"), (59.4, "59 s"), (59.6, "1 min 00 s"), (125, "2 min 05 s")])
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b"
    files.write(path, "one")
    files.write(path, "two", mode=0o600)
    assert path.read_text() == "two"
    assert [entry.name for entry in path.parent.iterdir()] == ["b"]
    assert oct(path.stat().st_mode & 0o777) == "0o600"


def test_an_error_ends_with_what_to_do_and_shows_the_end_of_the_log(tmp_path: Path) -> None:
    log = tmp_path / "build.log"
    log.write_text("\n".join(f"line {number}" for number in range(100)))
    text = ClusterError("building failed", hint="mend it", log=log).render()
    assert text.splitlines()[-2:] == ["error: building failed", "  what to do: mend it"]
    assert "line 99" in text
    assert "line 10\n" not in text
