"""STM: move a number from one key to another, whatever others do meanwhile."""

from conclave_client import Client, Transaction


def transfer(txn: Transaction) -> int:
    amount = 5
    txn.put("examples/stm/a", str(int(txn.get("examples/stm/a") or 0) - amount))
    total = int(txn.get("examples/stm/b") or 0) + amount
    txn.put("examples/stm/b", str(total))
    return total


with Client.from_env() as client:
    print("b is", client.stm(transfer))
