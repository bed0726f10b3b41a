"""A cache: a copy of a prefix that follows its changes."""

from conclave_client import Client

with Client.from_env() as client, client.cache("examples/cache/") as cache:
    put = client.put("examples/cache/a", "1")
    # Reads of the cache are local; this waits until it has seen the write.
    cache.at_least(put.revision)
    kv = cache.get("examples/cache/a")
    print("a is", kv.value.decode() if kv else None)
