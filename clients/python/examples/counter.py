"""A counter that many change."""

from conclave_client import Client

with Client.from_env() as client:
    counter = client.counter("examples/counter")
    before = counter.get()
    print(before, "becomes", counter.add(2))
    print("set to 0:", counter.compare_and_set(before + 2, 0))
