"""This machine's way to packages, handed to an image build from outside and never written into an image.

A company's package index, proxy and certificate authority are facts of the machine that builds. They are mounted into
the build as /etc/xdg/pip, which pip reads by itself, and are gone afterwards.
"""

from __future__ import annotations

import configparser
import io
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from attune_devcluster import files

MOUNTED_AT = "/etc/xdg/pip"
HANDED_ON = (
    "index-url",
    "extra-index-url",
    "find-links",
    "trusted-host",
    "timeout",
    "default-timeout",
    "proxy",
    "no-index",
)
CONFIGURATION_FILES = ("/etc/xdg/pip/pip.conf", "/etc/pip.conf", "~/.pip/pip.conf", "~/.config/pip/pip.conf")
CERTIFICATE_VARIABLES = ("PIP_CERT", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "CURL_CA_BUNDLE")


@dataclass(frozen=True)
class PipSettings:
    """What a build needs to know.

    Attributes:
        options: pip's global options.
        certificates: this machine's bundle of certificate authorities.
        folders: local folders that options name; to be mounted where they are.
    """

    options: Mapping[str, str]
    certificates: Path | None
    folders: tuple[Path, ...]

    def render(self) -> str:
        """The pip.conf for the build."""
        parser = configparser.RawConfigParser()
        parser["global"] = dict(self.options)
        if self.certificates is not None:
            parser["global"]["cert"] = f"{MOUNTED_AT}/ca.crt"
        text = io.StringIO()
        parser.write(text)
        return text.getvalue()

    def mounts(self, folder: Path) -> list[str]:
        """Write pip.conf and the certificates into `folder`; returns mounts as `from:to:ro`."""
        folder.mkdir(parents=True, exist_ok=True)
        files.write(folder / "pip.conf", self.render())
        if self.certificates is not None:
            shutil.copyfile(self.certificates, folder / "ca.crt")
        return [f"{folder}:{MOUNTED_AT}:ro", *(f"{path}:{path}:ro" for path in self.folders)]


def gather(environment: Mapping[str, str], configuration: Mapping[str, str]) -> PipSettings:
    """This machine's settings.

    Args:
        environment: PIP_* variables win over files, as in pip.
        configuration: the [global] section of the machine's pip.conf files.
    """
    from_environment = {
        name.removeprefix("PIP_").lower().replace("_", "-"): value
        for name, value in environment.items()
        if name.startswith("PIP_") and value
    }
    merged = {**configuration, **from_environment}
    options = {name: merged[name] for name in HANDED_ON if name in merged}
    named = (Path(word) for word in options.get("find-links", "").split())
    folders = tuple(path for path in named if path.is_absolute() and path.is_dir())
    candidates = [configuration.get("cert"), *(environment.get(name) for name in reversed(CERTIFICATE_VARIABLES))]
    bundles = [Path(value) for value in candidates if value and Path(value).is_file()]
    return PipSettings(options, bundles[-1] if bundles else None, folders)


def read_configuration() -> dict[str, str]:
    """The [global] sections of this machine's pip.conf files, later ones over earlier ones."""
    parser = configparser.RawConfigParser()
    parser.read([Path(name).expanduser() for name in CONFIGURATION_FILES])
    return dict(parser["global"]) if parser.has_section("global") else {}
