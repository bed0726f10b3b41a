"""A mutex, and a write that takes effect only while it is held."""

from conclave_client import Client, OwnerEvent, ops

with Client.from_env() as client, client.session() as session:
    mutex = session.mutex("examples/mutex")
    with mutex:
        mutex.on_event(
            lambda event: print("asked to unlock" if event is OwnerEvent.REVOKE else "lost")
        )
        done = client.txn(
            [ops.owner(mutex.key, mutex.token)],
            then=[ops.put("examples/mutex/value", "written by the owner")],
        )
        print("held with token", mutex.token, "and written:", done.succeeded)
