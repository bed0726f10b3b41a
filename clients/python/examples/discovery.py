"""Service discovery, with the keys of etcd's `naming` package."""

from conclave_client import Client

with Client.from_env() as client, client.session() as session:
    service = client.service("examples/discovery")
    with service.register(session, "10.0.0.1:443", {"zone": "a"}):
        for address in service.list():
            print(address.address, address.metadata)
