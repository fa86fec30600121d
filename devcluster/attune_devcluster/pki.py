"""Keys of the cluster: made once, kept with the state."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from pathlib import Path

from attune_devcluster import files
from attune_devcluster.paths import Layout
from attune_devcluster.shell import run

# The API server makes its own certificate, for a year, when there is none.
API_SERVER_CERTIFICATE_SECONDS = 300 * 24 * 3600
HINT = "openssl could not make a key; see its message above"


def ensure(layout: Layout) -> None:
    """Make what is missing: the key of service account tokens, the administrator's token, and two certificates.

    `kubelet-client`: the API server shows it to the kubelet for logs and exec, so that pods cannot use the kubelet.
    `front-proxy`: the authority for aggregated API servers; components complain about its absence.
    """
    layout.pki.mkdir(parents=True, exist_ok=True, mode=0o700)
    layout.pki.chmod(0o700)
    log = layout.logs / "openssl.log"
    key = layout.pki / "service-accounts.key"
    if not key.exists():
        run(["openssl", "genrsa", "-out", _new(key), "2048"], log=log, hint=HINT)
        _new(key).replace(key)
    for name in ("kubelet-client", "front-proxy"):
        _certificate(layout.pki, name, log)
    if not (layout.pki / "tokens.csv").exists():
        files.write(layout.pki / "tokens.csv", f'{secrets.token_hex(16)},admin,admin,"system:masters"\n', mode=0o600)
    _renew_api_server(layout.pki)


def token(layout: Layout) -> str:
    """The administrator's bearer token."""
    return (layout.pki / "tokens.csv").read_text().partition(",")[0]


def server_certificate(layout: Layout, folder: Path, names: Sequence[str]) -> None:
    """Make `tls.crt` and `tls.key` in a folder, where they are missing: for a server that is its own authority.

    Args:
        layout: folders.
        folder: where they go; below `layout.pki`, which only root reads.
        names: what the server is called, as openssl writes it: `DNS:name` or `IP:address`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    log, key, certificate = layout.logs / "openssl.log", folder / "tls.key", folder / "tls.crt"
    if key.exists() and certificate.exists():
        return
    # Servers in Go that look after certificates themselves read the traditional form of a key only.
    run(["openssl", "genrsa", "-traditional", "-out", _new(key), "2048"], log=log, hint=HINT)
    names_of_it = ["-subj", f"/CN={folder.name}", "-addext", f"subjectAltName={','.join(names)}", "-days", "3650"]
    run(["openssl", "req", "-x509", "-key", _new(key), *names_of_it, "-out", _new(certificate)], log=log, hint=HINT)
    _new(key).replace(key)
    _new(certificate).replace(certificate)


def _certificate(folder: Path, name: str, log: Path) -> None:
    key, certificate = folder / f"{name}.key", folder / f"{name}.crt"
    if key.exists() and certificate.exists():
        return
    subject = ["-subj", f"/CN={name}", "-days", "3650"]
    targets = ["-keyout", str(_new(key)), "-out", str(_new(certificate))]
    run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", *subject, *targets], log=log, hint=HINT)
    _new(key).replace(key)
    _new(certificate).replace(certificate)


def _new(path: Path) -> Path:
    return path.with_name(f".{path.name}.new")


def _renew_api_server(folder: Path) -> None:
    certificate = folder / "apiserver.crt"
    if certificate.exists() and time.time() - certificate.stat().st_mtime > API_SERVER_CERTIFICATE_SECONDS:
        certificate.unlink()
        (folder / "apiserver.key").unlink(missing_ok=True)
