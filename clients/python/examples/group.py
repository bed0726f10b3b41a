"""A group: who is there."""

from conclave_client import Client

with Client.from_env() as client, client.session() as session:
    group = client.group("examples/group")
    with group.listen() as cache, group.join(session, "host-1", "10.0.0.1"):
        print("members:", group.members())
        cache.at_least(client.put("examples/group-is-seen", "").revision)
        print("in the cache:", [key.decode() for key in cache.list()])
