// A latch: waiters go on when it was counted down to zero.
import { Client, Latch } from '@conclave/client';

await using client = Client.fromEnv();
await client.delete('example/latch');
const latch = new Latch(client, 'example/latch');
await latch.create(2);
const waiting = latch.wait().then(() => console.log('open'));
console.log(`left: ${await latch.countDown()}`);
console.log(`left: ${await latch.countDown()}`);
await waiting;
