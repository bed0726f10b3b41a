"""Once: one session does the work, and all get its result."""

from conclave_client import Client

with Client.from_env() as client, client.session() as session:
    result = session.once("examples/once", lambda: "expensive")
    print(result.value.decode(), "computed here" if result.ran else "computed before")
