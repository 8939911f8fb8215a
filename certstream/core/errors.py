"""The few errors that cross the layers. The class says who retries, the text says how to mend it.

`Transient`: try again. `Throttled`: freeze the budget, then try again. `Rejected`: this input is bad, go on with the
next. `Fatal`: stop this account (or this journal) until somebody acts.
"""

from __future__ import annotations


class CertstreamError(Exception):
    """Base of everything that certstream raises on purpose. `str()` is one line for a person, free of secrets."""


class Transient(CertstreamError):
    """It may work the next time: slow, reset, 5xx, garbage."""


class Throttled(Transient):
    """The service counted too many calls. `retry_after` is in seconds, None where it did not say."""

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class StaleCredentials(Transient):
    """A security token has expired: refresh the credentials and try once more."""


class Rejected(CertstreamError):
    """One input is bad; the rest goes on."""


class Fatal(CertstreamError):
    """Nothing helps but a person (or new credentials). The message names the step that mends it."""
