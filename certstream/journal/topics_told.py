"""What an administrator needs where certstream may not do it: Kafka's own commands, or Terraform. Pure texts."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Mapping, Sequence

from certstream.journal.topics import Difference, Wanted

_LOGIN = (
    "# admin.properties: a file that the administrator writes, with how Kafka's tools log in: "
    "security.protocol={protocol}, and as the cluster wants it sasl.mechanism=…, sasl.jaas.config=…, "
    "ssl.truststore.location=…"
)


def commands(
    differences: Iterable[Difference],
    topics: Sequence[Wanted],
    *,
    bootstrap: str,
    prefix: str,
    replicas: int | None,
    protocol: str,
) -> list[str]:
    """Kafka's commands that mend what `topics apply` would; what it leaves alone stands there as a comment.

    `protocol`: where it is not PLAINTEXT, a file of the administrator, `admin.properties`, says how to log in.
    """
    secured = protocol != "PLAINTEXT"
    wanted = {prefix + topic.name: topic for topic in topics}
    reach = ["--bootstrap-server", bootstrap, *(["--command-config", "admin.properties"] if secured else [])]
    lines: list[str] = []
    settings: dict[str, dict[str, str]] = {}
    for one in differences:
        if one.what == "missing":
            lines.append(shlex.join(["kafka-topics.sh", *reach, *_create(one.topic, wanted[one.topic], replicas)]))
        elif one.what == "config" and one.mendable:
            settings.setdefault(one.topic, {})[str(one.key)] = one.wanted
        else:
            lines.append(f"# {one}")
    for name, config in settings.items():
        alter = ["--alter", "--entity-type", "topics", "--entity-name", name, "--add-config", _list(config)]
        lines.append(shlex.join(["kafka-configs.sh", *reach, *alter]))
    if secured and not all(line.startswith("#") for line in lines):
        lines.insert(0, _LOGIN.format(protocol=protocol))
    return lines


def _create(name: str, topic: Wanted, replicas: int | None) -> list[str]:
    words = ["--create", "--if-not-exists", "--topic", name, "--partitions", str(topic.partitions)]
    words += ["--replication-factor", str(replicas)] if replicas else []
    return words + [word for key, value in topic.config.items() for word in ("--config", f"{key}={value}")]


def _list(config: Mapping[str, str]) -> str:
    """A list as a value needs brackets, else its comma ends it."""
    return ",".join(f"{key}=[{value}]" if "," in value else f"{key}={value}" for key, value in config.items())


def terraform(topics: Sequence[Wanted], *, prefix: str, replicas: int | None) -> str:
    """All topics for the Terraform provider `Mongey/kafka`, which never shrinks what it manages to fewer partitions."""
    description = "Copies of each topic, at most one a broker. With 3 nothing is lost with a broker; 1 is for trials."
    variable = {"description": _quoted(description), "type": "number", "default": str(replicas or 3)}
    text = (
        'terraform {\n  required_providers {\n    kafka = {\n      source = "Mongey/kafka"\n    }\n  }\n}\n\n'
        f'variable "certstream_replicas" {{\n{_aligned(variable, 2)}}}\n'
    )
    for topic in topics:
        settings = {
            "name": _quoted(prefix + topic.name),
            "partitions": str(topic.partitions),
            "replication_factor": "var.certstream_replicas",
        }
        config = {_quoted(key): _quoted(value) for key, value in topic.config.items()}
        text += (
            f'\nresource "kafka_topic" "certstream_{topic.name.replace(".", "_")}" {{\n'
            f"{_aligned(settings, 2)}\n"
            f"  config = {{\n{_aligned(config, 4)}  }}\n\n"
            "  lifecycle {\n    prevent_destroy = true\n  }\n}\n"
        )
    return text


def _aligned(values: Mapping[str, str], indent: int) -> str:
    """As `terraform fmt` leaves neighbouring lines: their signs below each other."""
    width = max(map(len, values))
    return "".join(f"{' ' * indent}{key:<{width}} = {value}\n" for key, value in values.items())


def _quoted(text: str) -> str:
    """A string of HCL: JSON's escapes, and none of its templates."""
    return json.dumps(text).replace("${", "$${").replace("%{", "%%{")
