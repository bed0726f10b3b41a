// Discovery: services register their addresses. `@conclave/client/grpc` lets grpc-js resolve conclave:///service.
import { Client, Discovery } from '@conclave/client';

await using client = Client.fromEnv();
await using session = await client.session();
const discovery = new Discovery(client);
await using _ = await discovery.register(session, 'example/shop', '10.0.0.1:80', { metadata: { zone: 'a' } });
for (const { address, metadata } of await discovery.list('example/shop')) console.log(address, metadata);
