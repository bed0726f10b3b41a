// A session: a lease that is kept alive, with a state.
import { Client } from '@conclave/client';

await using client = Client.fromEnv();
await using session = await client.session({ ttlSeconds: 10 });
session.onState((state) => console.log(`session ${state}`));
await client.put('example/session', 'here', { lease: session.lease });
console.log(`lease ${session.leaseHex} lives for ${session.ttlMs / 1000} s after its last keep-alive`);
