// A watch: every change once and in order, also when connections break.
import { Client } from '@conclave/client';

await using client = Client.fromEnv();
await using watch = await client.watch({ prefix: 'example/watch/' });
await client.put('example/watch/a', '1');
await client.delete('example/watch/a');
let count = 0;
for await (const { revision, events } of watch) {
  for (const { type, key, value } of events) console.log(`${revision}: ${type} ${key} ${value}`);
  count += events.length;
  if (count === 2) break;
}
