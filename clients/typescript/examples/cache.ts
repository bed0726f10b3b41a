// A cache: a local copy of a prefix that follows without a gap.
import { Cache, Client } from '@conclave/client';

await using client = Client.fromEnv();
await using cache = await Cache.open(client, { prefix: 'example/cache/' });
cache.listen(({ type, key }) => console.log(`${type} ${key}`));
const revision = await client.put('example/cache/a', '1');
const kv = await cache.get('example/cache/a', { atLeast: revision });
console.log(`a is ${kv?.value}`);
