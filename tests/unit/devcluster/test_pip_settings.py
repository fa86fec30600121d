from __future__ import annotations

import configparser
from pathlib import Path

import pytest

from attune_devcluster.pip_settings import MOUNTED_AT, gather


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    path.write_text("certificate")
    return path


@pytest.mark.parametrize(
    ("environment", "configuration", "expected"),
    [
        pytest.param({}, {}, {}, id="nothing"),
        pytest.param({"PIP_INDEX_URL": "https://a/simple"}, {}, {"index-url": "https://a/simple"}, id="variable"),
        pytest.param({}, {"index-url": "https://b/simple"}, {"index-url": "https://b/simple"}, id="file"),
        pytest.param({"PIP_TIMEOUT": "9"}, {"timeout": "5"}, {"timeout": "9"}, id="variables win"),
        pytest.param(
            {"PIP_TARGET": "/x", "PIP_INDEX_URL": ""}, {"user": "yes"}, {}, id="what is not about the network stays"
        ),
    ],
)
def test_options_handed_on(
    environment: dict[str, str], configuration: dict[str, str], expected: dict[str, str]
) -> None:
    assert gather(environment, configuration).options == expected


def test_certificates_are_mounted_beside_the_configuration(bundle: Path, tmp_path: Path) -> None:
    settings = gather({"PIP_CERT": str(bundle)}, {})
    mounts = settings.mounts(tmp_path / "pip")
    parser = configparser.RawConfigParser()
    parser.read_string((tmp_path / "pip/pip.conf").read_text())
    assert mounts == [f"{tmp_path / 'pip'}:{MOUNTED_AT}:ro"]
    assert parser["global"]["cert"] == f"{MOUNTED_AT}/ca.crt"
    assert (tmp_path / "pip/ca.crt").read_text() == "certificate"


@pytest.mark.parametrize("variable", ["PIP_CERT", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "CURL_CA_BUNDLE"])
def test_any_usual_variable_names_the_certificates(variable: str, bundle: Path) -> None:
    assert gather({variable: str(bundle)}, {}).certificates == bundle


def test_certificates_of_pip_come_first(bundle: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.pem"
    other.write_text("x")
    assert gather({"PIP_CERT": str(bundle), "SSL_CERT_FILE": str(other)}, {"cert": str(other)}).certificates == bundle


def test_local_folders_of_wheels_are_mounted_where_they_are(tmp_path: Path) -> None:
    settings = gather({"PIP_FIND_LINKS": f"{tmp_path} /absent https://wheels.example/"}, {})
    assert settings.folders == (tmp_path,)
    assert f"{tmp_path}:{tmp_path}:ro" in settings.mounts(tmp_path / "pip")
