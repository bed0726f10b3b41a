// Once: one of those who ask runs the job, and all get its result.
import { Client, once } from '@conclave/client';

await using client = Client.fromEnv();
await using session = await client.session();
const { value, ran } = await once(session, 'example/once', () => `made at ${new Date().toISOString()}`);
console.log(`${value}, ${ran ? 'by this process' : 'by another one'}`);
