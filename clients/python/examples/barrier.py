"""A barrier: all wait until it is released."""

import threading

from conclave_client import Client

with Client.from_env() as client:
    barrier = client.barrier("examples/barrier")
    barrier.hold()
    waiter = threading.Thread(target=barrier.wait)
    waiter.start()
    barrier.release()
    waiter.join()
    print("released")
