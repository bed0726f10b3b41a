"""A session: a lease that is kept alive, and the news when it is lost."""

from conclave_client import Client, SessionState

with Client.from_env() as client, client.session(ttl=10) as session:
    session.on_state(lambda state: print("state:", state.value))
    # The key goes with the session, whether it is closed or this program dies.
    client.put("examples/session/me", "here", lease=session.lease)
    assert session.state is SessionState.CONNECTED
    print("lease:", session.lease_hex, "for", session.ttl, "s")
