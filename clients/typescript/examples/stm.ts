// STM: moves an amount from one key to another. It runs again if someone else changed what it read.
import { Client, stm } from '@conclave/client';

await using client = Client.fromEnv();
await client.put('example/left', '100');
await client.put('example/right', '0');
await stm(client, async (view) => {
  const amount = 30;
  view.put('example/left', String(Number(await view.get('example/left')) - amount));
  view.put('example/right', String(Number(await view.get('example/right')) + amount));
});
console.log(`right: ${(await client.get('example/right')).kv?.value}`);
