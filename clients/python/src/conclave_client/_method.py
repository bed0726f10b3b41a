"""A method of the API: its path on the wire, and the types of its messages."""

from typing import Generic, Type, TypeVar

from google.protobuf.message import Message

Request = TypeVar("Request", bound=Message)
Response = TypeVar("Response", bound=Message)


class Method(Generic[Request, Response]):
    """A unary or streaming method."""

    def __init__(self, path: str, request: Type[Request], response: Type[Response]) -> None:
        self.path = path
        self.request = request
        self.response = response
