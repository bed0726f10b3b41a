// An election: campaign, proclaim, observe, and run something only while leading.
import { Client, Election } from '@conclave/client';

await using client = Client.fromEnv();
await using session = await client.session();
const election = new Election(session, 'example/election');
await election.whileLeader('node-1', async (signal, leadership) => {
  console.log(`leads with token ${leadership.token}`);
  await leadership.proclaim('node-1 is ready');
  for await (const { value } of Election.observe(client, 'example/election', { signal })) {
    console.log(`the leader says: ${value}`);
    break;
  }
});
