"""An example that is started without the brokers says what it wants."""

from __future__ import annotations

import subprocess

import pytest

from tests.interop.programs import EXAMPLES, python


@pytest.mark.parametrize("name", ["plain.py", "sdk.py", "typed.py"])
def test_python_says_what_it_wants(name: str) -> None:
    done = subprocess.run(python(name), capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"{name} BOOTSTRAP [TOPIC" in done.stderr
    assert "Traceback" not in done.stderr


def test_kcat_says_what_it_wants() -> None:
    done = subprocess.run(["sh", EXAMPLES / "kcat" / "follow.sh"], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "give the brokers: BOOTSTRAP" in done.stderr
