import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { Metadata, Client as GrpcClient, Server, ServerCredentials, credentials } from '@grpc/grpc-js';
import { Discovery } from '../src/index.js';
import { registerConclaveResolver } from '../src/grpc.js';
import { HealthCheckResponse_ServingStatus, HealthService } from '../src/gen/grpc/health/v1/health.js';
import { eventually } from './cluster.js';
import { Fixture } from './recipes.js';

/** A gRPC server that counts its calls. */
async function serve(): Promise<{ address: string; calls: () => number; server: Server }> {
  const server = new Server();
  let calls = 0;
  server.addService(HealthService, {
    check: (_: unknown, callback: (error: null, value: { status: HealthCheckResponse_ServingStatus }) => void) => {
      calls += 1;
      callback(null, { status: HealthCheckResponse_ServingStatus.SERVING });
    },
  });
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) => (error ? reject(error) : resolve(bound))),
  );
  return { address: `127.0.0.1:${port}`, calls: () => calls, server };
}

suite('discovery (K14)', () => {
  const fixture = new Fixture();

  test('addresses are there while their sessions live, in the format of etcd\'s naming', async () => {
    const discovery = new Discovery(fixture.client);
    const [one, two] = [await fixture.session(), await fixture.session()];
    await discovery.register(one, 'shop', '10.0.0.2:80', { metadata: { zone: 'a' } });
    const second = await discovery.register(two, 'shop', '10.0.0.1:80');
    const { kv } = await fixture.client.get('shop/10.0.0.2:80');
    assert.deepEqual(JSON.parse(kv?.value.toString() ?? ''), { Op: 0, Addr: '10.0.0.2:80', Metadata: { zone: 'a' } });
    await fixture.client.put('shop/other', 'no JSON');
    assert.deepEqual(await discovery.list('shop'), [
      { address: '10.0.0.1:80', metadata: null },
      { address: '10.0.0.2:80', metadata: { zone: 'a' } },
    ]);
    await second.leave();
    await one.close();
    assert.deepEqual(await discovery.list('shop'), []);
  });

  test('grpc-js resolves a service and follows its addresses', async () => {
    registerConclaveResolver(fixture.client);
    const discovery = new Discovery(fixture.client);
    const session = await fixture.session();
    const [first, second] = [await serve(), await serve()];
    const registered = await discovery.register(session, 'greeter', first.address);
    const caller = new GrpcClient('conclave:///greeter', credentials.createInsecure());
    const call = () =>
      new Promise<void>((resolve, reject) => {
        const { path, requestSerialize, responseDeserialize } = HealthService.check;
        const deadline = Date.now() + 10_000;
        caller.makeUnaryRequest(path, requestSerialize, responseDeserialize, { service: '' }, new Metadata({ waitForReady: true }), { deadline }, (error) =>
          error === null ? resolve() : reject(error),
        );
      });
    await call();
    assert.equal(first.calls(), 1);
    await discovery.register(session, 'greeter', second.address);
    await registered.leave();
    await eventually('calls go to the other server', async () => {
      await call();
      return second.calls() > 0;
    });
    caller.close();
    for (const { server } of [first, second]) server.forceShutdown();
  });
});
