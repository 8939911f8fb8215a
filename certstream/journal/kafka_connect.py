"""Starting and stopping aiokafka's clients within a deadline (rule 7), and saying why a start failed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine, Iterator
from typing import Any

from aiokafka.errors import KafkaError, TransactionalIdAuthorizationFailed

from certstream.core.errors import CertstreamError, Fatal
from certstream.journal.kafka_config import KafkaConfig
from certstream.journal.kafka_log import Causes, collected
from certstream.ports import JournalAway

_REFUSED = {
    "authentication": "check username and password_file",
    "SaslAuthenticationFailed": "check username and password_file",
    "UnsupportedSaslMechanism": "check sasl_mechanism",
    "sasl mechanism": "check sasl_mechanism",
    "CERTIFICATE_VERIFY_FAILED": "check ca_file, and that the brokers' names are in their certificates",
    "WRONG_VERSION_NUMBER": "the port does not speak TLS: check security_protocol",
    "record layer failure": "the port does not speak TLS: check security_protocol",
}
"""Words in aiokafka's log that only a person can mend, and how. Everything else is worth another try."""


async def started(client: Any, config: KafkaConfig) -> Causes:
    """Start a producer, consumer or admin client. The causes go on being collected while it lives.

    Raises JournalAway (nobody answers) or Fatal (it will not be let in) with the cause; the client is closed then.
    """
    with collected() as causes:
        try:
            async with asyncio.timeout(config.start_timeout):
                with only_our_cancellation():
                    await client.start()
        except BaseException as error:
            await stopped(client, config)
            if isinstance(error, Exception):
                raise _told(error, causes, config) from error
            raise
    return causes


async def stopped(client: Any, config: KafkaConfig) -> None:
    """Stop a client within `close_timeout` seconds a step; failures are of no interest any more. A producer's `stop`
    hangs while its batches cannot be delivered, and its sender outlives that: it is cancelled, and not waited for."""
    inner = getattr(client, "client", None) or getattr(client, "_client", None)
    steps = [getattr(client, "stop", None) or client.close, *([inner.close] if inner is not None else [])]
    try:
        for step in steps:
            await _bounded(step(), config.close_timeout)
    finally:
        sender = getattr(getattr(client, "_sender", None), "sender_task", None)
        if sender is not None and not sender.done():
            sender.cancel()


async def _bounded(step: Coroutine[Any, Any, None], seconds: float) -> None:
    """A task of its own: aiokafka lets cancellations of its parts out, and swallows those that are meant for it."""
    task = asyncio.create_task(step)
    task.add_done_callback(lambda done: done.cancelled() or done.exception())
    try:
        await asyncio.wait({task}, timeout=seconds)
    finally:
        task.cancel()


@contextlib.contextmanager
def only_our_cancellation() -> Iterator[None]:
    """Turns a CancelledError that nobody asked this task for, which aiokafka lets out of tasks that it cancelled
    itself (seen: a consumer stopped in an outage), into a KafkaError."""
    try:
        yield
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise KafkaError("aiokafka cancelled a part of itself") from error


def reason(error: BaseException, causes: Causes) -> str:
    """What went wrong, for a person: the error, and what aiokafka logged last."""
    text = str(error).strip() or type(error).__name__
    return f"{text} ({causes[-1]})" if causes and causes[-1] not in text else text


def _told(error: Exception, causes: Causes, config: KafkaConfig) -> CertstreamError:
    if isinstance(error, CertstreamError):
        return error
    where = f"Kafka at {config.bootstrap}"
    if isinstance(error, TransactionalIdAuthorizationFailed):
        name = config.transactional_prefix or config.prefix
        return Fatal(f"{where} does not allow transactional ids {name}-*: grant Write and Describe on that prefix")
    if isinstance(error, TimeoutError):
        return JournalAway(f"{where} did not answer within {config.start_timeout:g} s{_last(causes)}")
    for word, mend in _REFUSED.items():
        if any(word.lower() in cause.lower() for cause in causes):
            return Fatal(f"{where} does not let us in{_last(causes)}: {mend}")
    hint = "; is security_protocol right?" if causes and causes[-1].endswith((" closed", ": ")) else ""
    return JournalAway(f"{where} cannot be reached{_last(causes) or f': {reason(error, causes)}'}{hint}")


def _last(causes: Causes) -> str:
    return f": {causes[-1].rstrip(': ')}" if causes else ""
