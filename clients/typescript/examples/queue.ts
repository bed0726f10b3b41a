// A queue: items with priorities and delays, each given out until it is acknowledged.
import { Client, Queue } from '@conclave/client';

await using client = Client.fromEnv();
await using session = await client.session();
const queue = new Queue(client, 'example/queue');
await queue.put('can wait', { priority: 9 });
await queue.put('urgent', { priority: 1 });
for (let n = 0; n < 2; n += 1) {
  const item = await queue.take(session);
  console.log(`takes: ${item.value}`);
  await item.ack();
}
