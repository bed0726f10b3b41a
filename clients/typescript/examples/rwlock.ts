// A read-write lock: readers share it, a writer has it alone, and may go on as a reader.
import { Client, RwLock } from '@conclave/client';

await using client = Client.fromEnv();
await using session = await client.session();
const rwlock = new RwLock(session, 'example/rwlock');
const writing = await rwlock.write();
const reading = await rwlock.read();
await writing.unlock();
await using other = await client.session();
await using shared = await new RwLock(other, 'example/rwlock').read();
console.log(`two readers: ${reading.isHeld && shared.isHeld}`);
await reading.unlock();
