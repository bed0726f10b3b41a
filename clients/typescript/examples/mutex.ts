// A mutex with a fencing token: the guarded write takes effect only while the lock is held.
import { Client, Mutex, putOp } from '@conclave/client';

await using client = Client.fromEnv();
await using session = await client.session();
await using lock = await new Mutex(session, 'example/mutex').lock({ timeoutMs: 30_000 });
lock.onRevoke(() => console.log('someone asks for the lock'));
const { succeeded } = await client.txn({ if: [lock.owner], then: [putOp('example/account', '7')] });
console.log(`token ${lock.token}, written: ${succeeded}`);
