"""Uses a member through gRPC's C core, as Python, C++, Ruby and PHP do.

Over a Unix socket the C core sends the socket's path, percent-encoded, as `:authority`, and encodes
the header's name as a literal. Messages are encoded by hand, so that no stubs are needed.
"""

import sys

import grpc


def field(number, value):
    """A field of bytes."""
    return bytes([number << 3 | 2, len(value)]) + value


def main(target):
    for compression in (grpc.Compression.NoCompression, grpc.Compression.Gzip):
        with grpc.insecure_channel(target, compression=compression) as channel:
            put = channel.unary_unary("/etcdserverpb.KV/Put")
            get = channel.unary_unary("/etcdserverpb.KV/Range")
            key, value = b"grpcio", b"value" * 20
            for _ in range(3):
                put(field(1, key) + field(2, value), timeout=20)
                got = get(field(1, key), timeout=20)
                assert field(5, value) in got, got
    print("all done")


main(sys.argv[1])
