// A semaphore: as many hold it as it has permits.
import { Client, Semaphore } from '@conclave/client';

await using client = Client.fromEnv();
await using session = await client.session();
const semaphore = new Semaphore(session, 'example/semaphore', 2);
await using first = await semaphore.acquire();
await using second = await semaphore.acquire();
const third = await semaphore.tryAcquire();
console.log(`two hold it: ${first.isHeld && second.isHeld}, a third one: ${third !== undefined}`);
