// A shared value: set it only if nobody else has changed it.
import { Client, Value } from '@conclave/client';

await using client = Client.fromEnv();
const value = new Value(client, 'example/value');
const present = await value.get();
const revision = await value.compareAndSet(present?.revision ?? 0n, 'mine');
console.log(revision === undefined ? 'someone else was faster' : `set at revision ${revision}`);
