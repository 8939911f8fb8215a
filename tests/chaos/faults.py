"""Makes the faults of a plan happen, and over again. Each method blocks until its fault is over."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from confluent_kafka.admin import AclOperation, ResourceType

from tests.chaos.instances import Instances
from tests.chaos.plan import Fault, off
from tests.real.cluster import IDS, Cluster, Right, proxy

FOR_EVER = 0


class Ground(Protocol):
    """What the service stands on."""

    def happen(self, fault: Fault) -> None:
        """A fault, from its begin to its end."""


def harm(instances: Instances, fault: Fault) -> None:
    """A fault of the service itself."""
    if fault.kind == "kill":
        instances.kill(2 * fault.pick)
    elif fault.kind == "pause":
        instances.suspend(fault.length)
    elif fault.kind == "second":
        instances.second()
    else:
        instances.zombie(fault.length)


@dataclass
class Brokers:
    """Faults of the cluster and of the way to it."""

    cluster: Cluster

    def happen(self, fault: Fault) -> None:
        node = int(fault.pick * len(self.cluster.brokers))
        broker = self.cluster.brokers[node]
        if fault.kind == "broker kill":
            broker.kill()
            time.sleep(fault.length)
            broker.start()
        elif fault.kind == "broker pause":
            broker.pause()
            time.sleep(fault.length)
            broker.unpause()
        elif fault.kind == "all brokers kill":
            self.cluster.kill_all()
            time.sleep(fault.length)
            self.cluster.start_all()
        elif fault.kind == "connections cut":
            until = time.monotonic() + fault.length
            while time.monotonic() < until:
                self.cluster.cut()
                time.sleep(0.3)
        elif fault.kind == "right taken":
            right = self._rights()[int(fault.pick * len(self._rights()))]
            self.cluster.deny(right)
            time.sleep(fault.length)
            self.cluster.allow(right)
        elif fault.kind == "message size lowered":
            topic = ("events", "state", "inventory")[int(fault.pick * 3)]
            self.cluster.limit(topic, 200)
            time.sleep(fault.length)
            self.cluster.limit(topic, None)
        else:
            self._poison(fault)

    def _rights(self) -> list[Right]:
        topic, ids, name = ResourceType.TOPIC, ResourceType.TRANSACTIONAL_ID, self.cluster.prefix
        return [
            (topic, f"{name}events", AclOperation.WRITE),
            (topic, f"{name}state", AclOperation.WRITE),
            (topic, f"{name}inventory", AclOperation.WRITE),
            (topic, f"{name}state", AclOperation.READ),
            (ids, IDS, AclOperation.WRITE),
        ]

    def _poison(self, fault: Fault) -> None:
        """Of the way to one broker, or, for half of them, to all."""
        kind, stream, attributes = {
            "latency": ("latency", "downstream", {"latency": int(200 + 2000 * fault.pick), "jitter": 200}),
            "black hole to brokers": ("timeout", "upstream", {"timeout": FOR_EVER}),
            "black hole from brokers": ("timeout", "downstream", {"timeout": FOR_EVER}),
            "cut after bytes": ("limit_data", "downstream", {"bytes": int(200 + 20_000 * fault.pick)}),
        }[fault.kind]
        nodes = range(3) if fault.pick < 0.5 else (int((fault.pick - 0.5) * 6),)
        for node in nodes:
            self.cluster.toxiproxy.poison(proxy(node), kind, stream, **attributes)
        time.sleep(fault.length)
        for node in nodes:
            self.cluster.toxiproxy.cure(proxy(node), kind, stream)


@dataclass
class Disk:
    """A small file system that is full at times. `mount` and `unmount` need root."""

    directory: Path
    size: str = "256m"

    def __enter__(self) -> Disk:
        self.directory.mkdir(parents=True, exist_ok=True)
        _run("mount", "-t", "tmpfs", "-o", f"size={self.size}", "none", str(self.directory))
        return self

    def __exit__(self, *_: object) -> None:
        _run("umount", "-l", str(self.directory))

    def happen(self, fault: Fault) -> None:
        filler = self.directory / "filler"
        with filler.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(1 << 16))
            except OSError:
                pass
        time.sleep(fault.length)
        filler.unlink()


@dataclass
class HostClock:
    """The wall clock of the service: its monotonic and boot-time clocks stay right."""

    file: Path

    def environment(self) -> dict[str, str]:
        """For the service's process."""
        self._set(0.0)
        return {"PYTHONPATH": str(Path(__file__).parent / "clock"), "CHAOS_CLOCK": str(self.file)}

    def happen(self, fault: Fault) -> None:
        """Ahead or behind for a while."""
        self._set(off(fault))
        time.sleep(fault.length)
        self._set(0.0)

    def _set(self, seconds: float) -> None:
        new = self.file.with_suffix(".new")
        new.write_text(f"{seconds:.3f}")
        os.replace(new, self.file)


def _run(*words: str) -> None:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise OSError(f"{' '.join(words)}: {done.stderr.strip()}")


Happen = Callable[[Fault], None]
