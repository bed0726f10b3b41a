"""A read-write lock: many readers, or one writer."""

from conclave_client import Client

with Client.from_env() as client, client.session() as session:
    lock = session.rwlock("examples/rwlock")
    with lock.write:
        print("alone")
        # A writer may read, too, and let other readers in (downgrade).
        lock.read.lock()
    print("reading:", lock.read.held, "writing:", lock.write.held)
    lock.read.unlock()
