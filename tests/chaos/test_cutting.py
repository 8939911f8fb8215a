"""A connection is cut, or we know that it cannot be."""

from __future__ import annotations

import os
import shutil

import pytest

from tests.real.cutting import can_cut


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("ss") is None, reason="`ss -K` needs root")
def test_the_kernel_cuts_a_connection_for_root() -> None:
    assert can_cut()
