// A barrier: who comes waits until it is released.
import { Barrier, Client } from '@conclave/client';

await using client = Client.fromEnv();
const barrier = new Barrier(client, 'example/barrier');
await barrier.hold();
const waiting = barrier.wait({ timeoutMs: 30_000 }).then(() => console.log('goes on'));
await barrier.release();
await waiting;
