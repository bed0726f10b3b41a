// A counter: additions from everywhere are all counted.
import { Client, Counter } from '@conclave/client';

await using client = Client.fromEnv();
const counter = new Counter(client, 'example/counter');
await Promise.all([counter.add(1), counter.add(1), counter.add(1)]);
console.log(`counts ${await counter.get()}`);
