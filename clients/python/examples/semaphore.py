"""A semaphore: at most two at a time."""

from conclave_client import Client

with Client.from_env() as client, client.session() as session:
    semaphore = session.semaphore("examples/semaphore", permits=2)
    with semaphore.acquire(), semaphore.acquire(timeout=5):
        print("a third permit:", semaphore.try_acquire())
