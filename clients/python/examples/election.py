"""An election: run a function while leader, and see who leads."""

import time

from conclave_client import Client, Election


def lead(election: Election) -> str:
    # A real program would work until `election.held` is false.
    leader = client.leader("examples/election")
    return f"leading since revision {election.token} as {leader.value.decode() if leader else ''}"


with Client.from_env() as client, client.session() as session:
    with client.observe("examples/election") as observer:
        print(session.election("examples/election").run(f"host-{time.time_ns()}", lead))
        print("seen:", next(observer).value.decode())
