"""A double barrier: three sessions begin together and end together."""

import threading

from conclave_client import Client


def work(n: int) -> None:
    with client.session() as session:
        barrier = session.double_barrier("examples/double_barrier", count=3)
        barrier.enter()
        print(n, "begins")
        barrier.leave()


with Client.from_env() as client:
    threads = [threading.Thread(target=work, args=(n,)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
