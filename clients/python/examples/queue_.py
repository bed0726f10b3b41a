"""A queue: each item is worked on by one session, at least once."""

from conclave_client import Client

with Client.from_env() as client, client.session() as session:
    queue = client.queue("examples/queue")
    queue.put("later", priority=5)
    queue.put("first", priority=1)
    for _ in range(2):
        # Acknowledged at the end of the block; released to others if the block raises.
        with queue.take(session, timeout=5) as item:
            print(item.value.decode())
