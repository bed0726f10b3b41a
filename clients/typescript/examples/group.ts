// A group: members are there while their sessions live.
import { Client, Group } from '@conclave/client';

await using client = Client.fromEnv();
await using session = await client.session();
const group = new Group(client, 'example/group');
await using _ = await group.join(session, 'node-1', '10.0.0.1');
for await (const members of group.listen()) {
  console.log(`members: ${[...members.keys()]}`);
  break;
}
