"""Pages of real records from the simulator's generator, spooled to a file: who is measured need not hold them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from certstream.simulator import DEFAULT_USER, SimulatorConfig
from certstream.simulator.actions import LIST, perform
from certstream.simulator.population import Population

SIZE = 100
"""Records of a page: what `ShowSize` allows at most."""


def generate(certificates: int, *, seed: int = 1) -> Iterator[bytes]:
    """The bodies of the answers that list an account from its first page to its last: 0.3 ms a certificate."""
    population = Population(SimulatorConfig(certificates=certificates, seed=seed, order="oldest"))
    population.settle()
    for number in range(1, -(-certificates // SIZE) + 1):
        parameters = {"CurrentPage": str(number), "ShowSize": str(SIZE)}
        yield perform(LIST, parameters, population, DEFAULT_USER).body
        for row in population.window(population.select(identifier=None, group=None), (number - 1) * SIZE, SIZE):
            row.encoded = None  # or they would pile up


def spool(path: Path, certificates: int, *, told: Callable[[int], None]) -> int:
    """Write the pages to a file; `told` hears how many certificates there are so far. Bytes of an average record."""
    size = 0
    with path.open("wb") as file:
        for number, body in enumerate(generate(certificates), 1):
            file.write(len(body).to_bytes(4, "big") + body)
            size += len(body)
            told(min(number * SIZE, certificates))
    return size // max(certificates, 1)


def pages(path: Path) -> Iterator[bytes]:
    """The pages of a spooled file, one in memory at a time."""
    with path.open("rb") as file:
        while head := file.read(4):
            yield file.read(int.from_bytes(head, "big"))
