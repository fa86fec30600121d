"""The pod bridge, the firewall's rules and the kernel settings; everything is put back by `remove`."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

from attune_devcluster import files
from attune_devcluster.addresses import BRIDGE, NODE_IP, POD_CIDR
from attune_devcluster.errors import ClusterError
from attune_devcluster.paths import Layout
from attune_devcluster.shell import output

CHAIN = "ATTUNE-DEVCLUSTER"
FORWARDING = "net.ipv4.ip_forward"
# The kubelet sets the others by itself; their old values are kept as well, to be put back.
SETTINGS = (FORWARDING, "vm.overcommit_memory", "kernel.panic", "kernel.panic_on_oops")


def ensure(layout: Layout) -> None:
    """Make the bridge, with pods that reach each other and this machine, and nothing beyond it.

    Raises:
        ClusterError: the kernel refuses a bridge or the firewall's rules.
    """
    _remember_settings(layout)
    if not _bridge_exists():
        _must("ip", "link", "add", BRIDGE, "type", "bridge")
    _must("ip", "addr", "replace", f"{NODE_IP}/{POD_CIDR.partition('/')[2]}", "dev", BRIDGE)
    _must("ip", "link", "set", BRIDGE, "up")
    _setting(FORWARDING).write_text("1")
    for rule in missing_rules(_firewall()):
        _must("iptables", "-w", *rule)


def missing_rules(existing: str) -> list[list[str]]:
    """Arguments of iptables for the rules that are not there yet.

    A packet from a pod to somewhere beyond this machine is refused at once: without that it would leave with an address
    that nobody can answer, and a program in the pod would wait for minutes.

    Args:
        existing: what `iptables -S` prints.
    """
    lines = existing.splitlines()
    wanted = [
        ["-N", CHAIN],
        ["-A", CHAIN, "-i", BRIDGE, "-o", BRIDGE, "-j", "ACCEPT"],
        ["-A", CHAIN, "-i", BRIDGE, "-j", "REJECT", "--reject-with", "icmp-net-unreachable"],
        ["-A", "FORWARD", "-j", CHAIN],
    ]
    rules = [rule for rule in wanted if " ".join(rule) not in lines]
    # First in FORWARD, because docker and firewalls end that chain with a drop.
    return [["-I", *rule[1:]] if rule[1] == "FORWARD" else rule for rule in rules]


def remove(layout: Layout, proxy: Path) -> None:
    """Take away the bridge and the rules, and put the kernel settings back.

    Args:
        layout: folders.
        proxy: kube-proxy, which knows how to remove its own rules.
    """
    if proxy.exists() and "KUBE-SERVICES" in (output(["iptables", "-w", "-t", "nat", "-S"]) or ""):
        output([proxy, "--cleanup"])
        # It leaves this chain, which it fills for kubelets of old.
        for parent in ("INPUT", "OUTPUT"):
            output(["iptables", "-w", "-D", parent, "-j", "KUBE-FIREWALL"])
        output(["iptables", "-w", "-X", "KUBE-FIREWALL"])
    if f"-N {CHAIN}" in _firewall().splitlines():
        for rule in (["-D", "FORWARD", "-j", CHAIN], ["-F", CHAIN], ["-X", CHAIN]):
            output(["iptables", "-w", *rule])
    if _bridge_exists():
        output(["ip", "link", "delete", BRIDGE])
    memory = _memory(layout)
    with contextlib.suppress(OSError, ValueError):
        for name, value in json.loads(memory.read_text()).items():
            _setting(name).write_text(value)
    memory.unlink(missing_ok=True)


def _remember_settings(layout: Layout) -> None:
    memory = _memory(layout)
    if not memory.exists():
        values = {name: _setting(name).read_text().strip() for name in SETTINGS if _setting(name).exists()}
        files.write(memory, json.dumps(values))


def _memory(layout: Layout) -> Path:
    return layout.state / "kernel-settings.json"


def _setting(name: str) -> Path:
    return Path("/proc/sys") / name.replace(".", "/")


def _bridge_exists() -> bool:
    # Not /sys/class/net, which in a network namespace shows the devices of another.
    return _setting(f"net.ipv4.conf.{BRIDGE}").exists()


def _firewall() -> str:
    return output(["iptables", "-w", "-S"]) or ""


def _must(*argv: str) -> None:
    if output(argv) is None:
        raise ClusterError(
            f"`{' '.join(argv)}` failed",
            hint="run it by hand; it needs root and a kernel with bridges and iptables (in a container: --privileged)",
        )
