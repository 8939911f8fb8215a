"""Three real Kafka brokers with replication 3 and two in-sync replicas demanded, rights, and a proxy before each.

The service reaches them by SASL_SSL through Toxiproxy, as a user with exactly the rights that it needs; the driver and
the judge reach them directly, as a user who may everything.
"""

from __future__ import annotations

import secrets
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from confluent_kafka import KafkaException
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourcePatternType,
    ResourceType,
)

from tests.real.cutting import cut
from tests.real.kafka import Broker, new_cluster
from tests.real.ports import free_port
from tests.real.toxiproxy import Toxiproxy

NODES = 3
SESSION_MS = 6000
"""After this long without a heartbeat a broker is held for dead (Kafka's default is 9 s)."""
_REPLICATED = {
    "default.replication.factor": "3",
    "min.insync.replicas": "2",
    "offsets.topic.replication.factor": "3",
    "transaction.state.log.replication.factor": "3",
    "transaction.state.log.min.isr": "2",
    "share.coordinator.state.topic.replication.factor": "3",
    "share.coordinator.state.topic.min.isr": "2",
    "broker.session.timeout.ms": str(SESSION_MS),
    "broker.heartbeat.interval.ms": "1000",
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "super.users": "User:ANONYMOUS",
}
IDS = "certstream-"
"""What the service's transactional ids begin with."""
Right = tuple[ResourceType, str, AclOperation]


class Cluster:
    """See the module. `brokers[n]` stands behind the proxy `proxy(n)`."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.toxiproxy = Toxiproxy()
        self.ports = [free_port() for _ in range(NODES)]
        """of the proxies"""
        controllers = [free_port() for _ in range(NODES)]
        voters = ",".join(f"{node + 1}@127.0.0.1:{port}" for node, port in enumerate(controllers))
        cluster, password = new_cluster(), secrets.token_urlsafe(16)
        self.brokers = [
            Broker(
                sasl=True,
                advertised=f"127.0.0.1:{self.ports[node]}",
                cluster=cluster,
                controller=controllers[node],
                password=password,
                properties={**_REPLICATED, "node.id": str(node + 1), "controller.quorum.voters": voters},
            )
            for node in range(NODES)
        ]
        self._stack = ExitStack()
        self._directory = Path(tempfile.mkdtemp(prefix="certstream-cluster-"))

    @property
    def bootstrap(self) -> str:
        """What the service is given: the three proxies."""
        return ",".join(f"127.0.0.1:{port}" for port in self.ports)

    @property
    def plain(self) -> str:
        """host:port of every broker, without proxy, encryption or login."""
        return ",".join(broker.plain for broker in self.brokers)

    @property
    def kafka(self) -> dict[str, str]:
        """The service's `[kafka]` settings."""
        ca = self._directory / "ca.pem"
        return {
            "security_protocol": "SASL_SSL",
            "sasl_mechanism": "SCRAM-SHA-512",
            "username": Broker.username,
            "password_file": str(self.brokers[0].password_file),
            "ca_file": str(ca),
        }

    def __enter__(self) -> Self:
        with self._stack:
            self._stack.enter_context(self.toxiproxy)
            self._stack.callback(self._close)
            self.start_all()
            (self._directory / "ca.pem").write_bytes(b"".join(one.ca_file.read_bytes() for one in self.brokers))
            for node, port in enumerate(self.ports):
                self.toxiproxy.add(proxy(node), port, self.brokers[node].bootstrap)
            self._grant()
            self._stack = self._stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def start_all(self) -> None:
        """Start whichever of them does not run; together, or there is no quorum."""
        with ThreadPoolExecutor(NODES) as pool:
            list(pool.map(Broker.start, self.brokers))

    def kill_all(self) -> None:
        """`kill -9` of all three."""
        for broker in self.brokers:
            broker.kill()

    def cut(self) -> None:
        """Reset every connection between the service and the brokers."""
        for port in self.ports:
            cut(port)

    def deny(self, right: Right) -> None:
        """Take a right from the service."""
        self._ask(lambda admin: admin.create_acls([_acl(right, AclPermissionType.DENY)], request_timeout=20))

    def allow(self, right: Right) -> None:
        """Give it back."""
        kind, name, operation = right
        user, prefixed, deny = f"User:{Broker.username}", ResourcePatternType.PREFIXED, AclPermissionType.DENY
        denied = AclBindingFilter(kind, name, prefixed, user, "*", operation, deny)
        self._ask(lambda admin: admin.delete_acls([denied], request_timeout=20))

    def limit(self, topic: str, size: int | None) -> None:
        """Set `max.message.bytes` of a topic; None: the default again."""
        operation = AlterConfigOpType.DELETE if size is None else AlterConfigOpType.SET
        entry = ConfigEntry("max.message.bytes", str(size or 0), incremental_operation=operation)
        resource = ConfigResource(ConfigResource.Type.TOPIC, f"{self.prefix}{topic}", incremental_configs=[entry])
        self._ask(lambda admin: admin.incremental_alter_configs([resource], request_timeout=20))

    def _grant(self) -> None:
        """Exactly what docs/operating.md tells an administrator to grant; and to create the topics, once."""
        topics, ids = ResourceType.TOPIC, ResourceType.TRANSACTIONAL_ID
        operations = AclOperation
        rights: list[Right] = [
            *((topics, self.prefix, one) for one in (operations.READ, operations.WRITE, operations.DESCRIBE)),
            *((topics, self.prefix, one) for one in (operations.CREATE, operations.DESCRIBE_CONFIGS)),
            *((ids, IDS, one) for one in (operations.WRITE, operations.DESCRIBE)),
        ]
        bindings = [_acl(right, AclPermissionType.ALLOW) for right in rights]
        self._ask(lambda admin: admin.create_acls(bindings, request_timeout=20))

    def _ask(self, request: Callable[[AdminClient], Mapping[Any, Future[Any]]]) -> None:
        """Several times: brokers may be away."""
        for left in (3, 2, 1, 0):
            admin = AdminClient({"bootstrap.servers": self.plain, "log_level": 0})
            try:
                for future in request(admin).values():
                    future.result(30)
            except KafkaException:
                if left == 0:
                    raise
                time.sleep(1)
            else:
                return

    def _close(self) -> None:
        for broker in self.brokers:
            broker.close()
        for file in self._directory.iterdir():
            file.unlink()
        self._directory.rmdir()


def proxy(node: int) -> str:
    """Name of the proxy before a broker."""
    return f"broker{node + 1}"


def _acl(right: Right, permission: AclPermissionType) -> AclBinding:
    kind, name, operation = right
    return AclBinding(kind, name, ResourcePatternType.PREFIXED, f"User:{Broker.username}", "*", operation, permission)
