"""An HTTP server that speaks ListClientCertificate well enough for the official SDK, with a life script and truth logs.

What belongs here: what the server side of the API does, its certificates, and how it may misbehave. Nothing here is
shared with the client's code: it is what that code is judged by.
"""

from __future__ import annotations

from certstream.simulator.config import DEFAULT_KEY, DEFAULT_USER, SimulatorConfig, User, parse_faults, parse_offset
from certstream.simulator.server import Simulator, serve

__all__ = [
    "DEFAULT_KEY",
    "DEFAULT_USER",
    "Simulator",
    "SimulatorConfig",
    "User",
    "parse_faults",
    "parse_offset",
    "serve",
]
