// A double barrier: all begin together and end together.
import { Client, DoubleBarrier } from '@conclave/client';

await using client = Client.fromEnv();

async function participate(name: string): Promise<void> {
  await using session = await client.session();
  const barrier = new DoubleBarrier(session, 'example/double_barrier', 2);
  await barrier.enter();
  console.log(`${name} works`);
  await barrier.leave();
}

await Promise.all([participate('one'), participate('two')]);
