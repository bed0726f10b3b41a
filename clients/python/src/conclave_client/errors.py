"""Errors of the client (R4). Each has a kind, which is the same in every language's client."""

from __future__ import annotations

from typing import Any, ClassVar

import grpc

from ._errors_table import BY_TEXT, TableRow


class ConclaveError(Exception):
    """Base of all errors of this package.

    `kind` is one of the kinds in the contract. `name` is the name in the API's table of errors, or
    empty. `retry` says whether another attempt may succeed, and `maybe` whether the call may have
    been executed in spite of the error.
    """

    kind: ClassVar[str] = ""

    def __init__(
        self, text: str, *, name: str = "", retry: bool = False, maybe: bool = False
    ) -> None:
        super().__init__(text)
        self.name = name
        self.retry = retry
        self.maybe = maybe


class ApiError(ConclaveError):
    """The server answered with an error."""

    kind = "api"


class UnavailableError(ConclaveError):
    """No endpoint could be reached, or none was ready. The call was not executed."""

    kind = "unavailable"

    def __init__(self, text: str) -> None:
        super().__init__(text, retry=True)


class MaybeHappenedError(ConclaveError):
    """A write was sent and its answer was lost. It may have been executed; read to find out."""

    kind = "maybe"

    def __init__(self, text: str) -> None:
        super().__init__(text, retry=True, maybe=True)


class DeadlineError(ConclaveError, TimeoutError):
    """The time was up: for a read, or for waiting in a recipe."""

    kind = "deadline"

    def __init__(self, text: str) -> None:
        super().__init__(text, retry=True)


class CancelledError(ConclaveError):
    """The caller cancelled a call of the synchronous client.

    Calls of the asyncio client raise `asyncio.CancelledError` instead.
    """

    kind = "cancelled"


class ClosedError(ConclaveError):
    """The client, session or handle is closed."""

    kind = "closed"


class SessionLostError(ConclaveError):
    """The session of the recipe is lost (S3). Open another session and begin again."""

    kind = "session_lost"


class CompactedError(ConclaveError):
    """The watch's next revision is compacted. `revision` is the first that can be watched."""

    kind = "compacted"

    def __init__(self, text: str, revision: int) -> None:
        super().__init__(text)
        self.revision = revision

    def __reduce__(self) -> Any:
        return (CompactedError, (str(self), self.revision))


class InvalidError(ConclaveError, ValueError):
    """The arguments are wrong. The call was not sent."""

    kind = "invalid"


class LoginError(ConclaveError):
    """The user or the password was refused."""

    kind = "login"


# Texts of refused tokens, after which a new login may help (C6).
REFUSED_TOKEN = frozenset(
    (
        "etcdserver: invalid auth token",
        "etcdserver: revision of auth store is old",
        "etcdserver: user name is empty",
    )
)


def bare_text(details: str) -> str:
    """Returns the API's text in a text of Go's gRPC, as in the reasons of cancelled watches."""
    marker = " desc = "
    if details.startswith("rpc error:") and marker in details:
        return details.split(marker, 1)[1]
    return details


def table_row(details: str) -> TableRow | None:
    """Looks an error of the API up by its text."""
    return BY_TEXT.get(bare_text(details))


# Codes of statuses outside the table that do not say whether the call was executed.
NO_ANSWER = frozenset(
    (
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.DATA_LOSS,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.CANCELLED,
    )
)


def from_status(code: grpc.StatusCode, details: str, *, write: bool) -> ConclaveError:
    """Makes the error of a call that is not tried again."""
    details = bare_text(details)
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return time_was_up(write=write)
    row = BY_TEXT.get(details)
    if row is not None:
        return ApiError(details, name=row.name, retry=row.retry, maybe=row.maybe)
    text = f"{code.name}: {details}"
    if code not in NO_ANSWER:
        return ApiError(text)
    if write:
        return MaybeHappenedError(f"the answer was lost, so the write may have happened: {text}")
    if code is grpc.StatusCode.CANCELLED:
        return DeadlineError(f"the server's time limit was up: {text}")
    return UnavailableError(f"no answer from the server: {text}")


def after(error: ConclaveError, *, maybe: bool) -> ConclaveError:
    """Returns the error of a call; if `maybe`, an earlier attempt may have been executed."""
    if not maybe or error.maybe:
        return error
    if isinstance(error, (UnavailableError, DeadlineError)):
        return MaybeHappenedError(
            f"an attempt was not answered and may have happened; then: {error}"
        )
    error.maybe = True
    return error


def time_was_up(*, write: bool) -> ConclaveError:
    """Makes the error of a call that was sent and is unanswered at its deadline."""
    if write:
        return MaybeHappenedError(
            "the write was not answered before the deadline and may have happened; read to find out"
        )
    return DeadlineError("no answer before the deadline; allow more time, or look at the servers")
