"""A latch: wait for the end of a number of jobs."""

from conclave_client import Client

with Client.from_env() as client:
    # A latch is used once, so it has a name of its own.
    latch = client.latch(f"examples/latch/{id(client)}")
    latch.create(3)
    for _ in range(3):
        print("left:", latch.count_down())
    latch.wait(timeout=5)
    print("all done")
