"""The generated messages live beside those of other clients of etcd."""

from __future__ import annotations

import subprocess
import sys

from google.protobuf import descriptor_pool

from conclave_client import api
from conclave_client._errors_table import BY_TEXT

# Another client's file: the same package and message names, other fields, another file name.
OTHER_CLIENT = """
from google.protobuf import descriptor_pb2, descriptor_pool
file = descriptor_pb2.FileDescriptorProto(name="rpc.proto", package="etcdserverpb")
file.message_type.add(name="RangeRequest").field.add(
    name="other", number=1, type=descriptor_pb2.FieldDescriptorProto.TYPE_STRING,
    label=descriptor_pb2.FieldDescriptorProto.LABEL_OPTIONAL,
)
descriptor_pool.Default().AddSerializedFile(file.SerializeToString())
"""

OURS = """
from conclave_client import api
request = api.rpc.RangeRequest(key=b"a", sort_target=api.rpc.RangeRequest.CREATE)
assert api.rpc.RangeRequest.FromString(request.SerializeToString()) == request
"""


def test_other_clients_messages_do_not_clash() -> None:
    for code in (OTHER_CLIENT + OURS, OURS + OTHER_CLIENT):
        subprocess.run([sys.executable, "-c", code], check=True)


def test_nothing_is_in_the_shared_pool() -> None:
    assert api.rpc.RangeRequest.DESCRIPTOR.full_name == "etcdserverpb.RangeRequest"
    pool = descriptor_pool.Default()
    for name in ("etcdserverpb.RangeRequest", "mvccpb.KeyValue", "v3lockpb.LockRequest"):
        try:
            pool.FindMessageTypeByName(name)
        except KeyError:
            continue
        raise AssertionError(f"{name} is in the pool that all packages share")


def test_paths_are_those_of_etcd() -> None:
    assert api.methods.KV_RANGE.path == "/etcdserverpb.KV/Range"
    assert api.methods.ELECTION_CAMPAIGN.path == "/v3electionpb.Election/Campaign"


def test_the_table_of_errors() -> None:
    row = BY_TEXT["etcdserver: leader changed"]
    assert (row.name, row.code, row.retry, row.maybe) == (
        "LeaderChanged",
        "Unavailable",
        True,
        True,
    )
    assert BY_TEXT['"leader" field must be provided'].name == "ElectionLeaderMissing"
