"""The API's own messages, for `Client.call`, and its table of methods."""

from ._proto import auth_pb2 as auth
from ._proto import election_pb2 as election
from ._proto import kv_pb2 as kv
from ._proto import lock_pb2 as lock
from ._proto import methods
from ._proto import rpc_pb2 as rpc

__all__ = ["auth", "election", "kv", "lock", "methods", "rpc"]
