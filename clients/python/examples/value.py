"""A shared value: replace it only if no one else has."""

from conclave_client import Client

with Client.from_env() as client:
    value = client.value("examples/value")
    seen = value.get()
    with value.listen() as changes:
        swap = value.compare_and_set(seen.revision if seen else 0, "new")
        print("swapped:", swap.swapped, "at revision", swap.revision)
        print("heard:", next(changes).events[0].value.decode())
