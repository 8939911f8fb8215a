"""Python reads this first where it lies on PYTHONPATH: wall time is off by what a file says; other clocks stay right.

libfaketime does not serve: with monotonic time left alone, its `clock_nanosleep` fails, and `time.sleep` with it. So
what C code reads is not moved; certstream reads `time.time_ns` alone.
"""

import os
import time

_file = os.environ["CHAOS_CLOCK"]
_time, _time_ns = time.time, time.time_ns


def _offset() -> float:
    try:
        with open(_file) as file:
            return float(file.read())
    except (OSError, ValueError):
        return 0.0


time.time = lambda: _time() + _offset()
time.time_ns = lambda: _time_ns() + int(_offset() * 1e9)
