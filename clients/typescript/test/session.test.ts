import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { LeaseService } from '../src/api.js';
import { Client, type Session, isConclaveError } from '../src/index.js';
import { Cluster, eventually } from './cluster.js';
import { Proxy } from './proxy.js';

/** The states of a session, in order. */
function statesOf(session: Session): string[] {
  const states: string[] = [];
  session.onState((state) => states.push(state));
  return states;
}

/** Blocks the event loop, as a long computation does. */
function block(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

suite('sessions', () => {
  let cluster: Cluster;
  let client: Client;
  let proxy: Proxy;
  let proxied: Client;
  before(async () => {
    cluster = await Cluster.start();
    client = cluster.client();
    proxy = await Proxy.to(cluster.endpoints[0] as string);
    proxied = new Client({ endpoints: [proxy.url] });
  });
  after(async () => {
    await client.close();
    await proxied.close();
    await proxy[Symbol.asyncDispose]();
    await cluster[Symbol.asyncDispose]();
  });

  test('a session lives longer than its TTL, and closing it deletes its keys (S1, S6)', async () => {
    const session = await client.session({ ttlSeconds: 2 });
    const opened = performance.now();
    const states = statesOf(session);
    await client.put('mine', 'x', { lease: session.lease });
    await eventually('more time than the TTL has passed', async () => {
      const left = await client.timeToLive(session.lease);
      assert.ok(left, 'the lease was not kept alive');
      return performance.now() > opened + 3000;
    });
    assert.deepEqual(states, ['CONNECTED']);
    await session.close();
    assert.equal((await client.get('mine')).kv, undefined);
    assert.deepEqual(states, ['CONNECTED', 'LOST']);
    assert.ok(isConclaveError(session.lifetime.reason, 'closed'));
    await session.close();
  });

  test('the default TTL is 10 s, and the granted one counts (S7)', async () => {
    await using session = await client.session();
    assert.equal(session.ttlMs, 10_000);
    await using short = await client.session({ ttlSeconds: 1 });
    assert.ok(short.ttlMs >= 1000);
    assert.equal(short.leaseHex, BigInt.asUintN(64, short.lease).toString(16));
  });

  test('a break is SUSPENDED and then RECONNECTED (S5)', async () => {
    await using session = await proxied.session({ ttlSeconds: 10 });
    const states = statesOf(session);
    await eventually('a keep-alive', () => proxy.accepted > 0);
    proxy.silence();
    proxy.cut();
    await eventually('suspended', () => states.includes('SUSPENDED'));
    assert.ok(session.isAlive);
    proxy.heal();
    await eventually('reconnected', () => states.includes('RECONNECTED'));
    assert.deepEqual(states, ['CONNECTED', 'SUSPENDED', 'RECONNECTED']);
    assert.equal(session.state, 'RECONNECTED');
    // The present state comes first for a listener that comes late.
    assert.deepEqual(statesOf(session), ['RECONNECTED']);
  });

  test('a session without answers is LOST before the server expires its lease (S2)', async () => {
    const session = await proxied.session({ ttlSeconds: 2 });
    const states = statesOf(session);
    proxy.silence();
    const aborted = new Promise((resolve) => session.lost.addEventListener('abort', resolve));
    await aborted;
    assert.ok(await client.timeToLive(session.lease), 'the lease outlives the session');
    assert.deepEqual(states.at(-1), 'LOST');
    assert.ok(isConclaveError(session.lost.reason, 'session_lost'));
    proxy.heal();
    await session.close();
  });

  test('a revoked lease is LOST at once (S4)', async () => {
    const session = await client.session({ ttlSeconds: 3 });
    const lost = new Promise((resolve) => session.lost.addEventListener('abort', resolve));
    const begin = performance.now();
    await client.call(LeaseService.leaseRevoke, { ID: session.lease }, { isWrite: true });
    await lost;
    assert.ok(performance.now() - begin < 1500, 'the next keep-alive finds it');
  });

  test('after a blocked event loop the session looks at the clock first (S3)', async () => {
    const session = await client.session({ ttlSeconds: 2 });
    const order: string[] = [];
    session.onState((state) => order.push(state));
    // Its answer waits in the socket while the loop is blocked.
    const read = client.get('a').then(() => order.push('read'));
    await new Promise((resolve) => setImmediate(resolve));
    block(2100);
    assert.equal(session.isAlive, false, 'asking looks at the clock');
    await read;
    assert.deepEqual(order.slice(0, 2), ['CONNECTED', 'LOST']);
  });

  test('after a block an arriving answer does not come before the loss (S3)', async () => {
    const session = await client.session({ ttlSeconds: 2 });
    const order: string[] = [];
    session.onState((state) => order.push(state));
    const read = client.get('a').then(() => order.push('read'));
    // In the phase of the loop that reads sockets, so that the answer is read before any timer runs.
    await new Promise<void>((resolve) => {
      setImmediate(() => {
        block(2100);
        resolve();
      });
    });
    await read;
    await eventually('lost', () => order.includes('LOST'));
    assert.deepEqual(order.filter((what) => what !== 'SUSPENDED').slice(0, 3), ['CONNECTED', 'LOST', 'read']);
  });

  test('a short block loses nothing', async () => {
    await using session = await client.session({ ttlSeconds: 4 });
    const states = statesOf(session);
    for (let round = 0; round < 3; round += 1) {
      block(1500);
      await new Promise((resolve) => setTimeout(resolve, 300));
    }
    assert.notEqual(session.state, 'LOST');
    assert.ok(!states.includes('LOST'));
  });

  test('listeners that throw or block disturb neither each other nor the session (R6)', async () => {
    const log: unknown[] = [];
    await using logged = new Client({ endpoints: cluster.endpoints, log: (entry) => log.push(entry.error) });
    const session = await logged.session({ ttlSeconds: 5 });
    session.onState(() => {
      throw new Error('thrown');
    });
    session.onState(() => Promise.reject(new Error('rejected')));
    const states = statesOf(session);
    await session.close();
    assert.deepEqual(states, ['CONNECTED', 'LOST']);
    await eventually('the log', () => log.length === 4);
    assert.deepEqual(log.map((error) => (error as Error).message).sort(), ['rejected', 'rejected', 'thrown', 'thrown']);
  });

  test('a change that a listener causes comes after the present one has reached all', async () => {
    const session = await client.session();
    const seen: string[] = [];
    session.onState((state) => {
      seen.push(`a ${state}`);
      if (state === 'CONNECTED') void session.close();
    });
    session.onState((state) => seen.push(`b ${state}`));
    assert.deepEqual(seen, ['a CONNECTED', 'a LOST', 'b LOST']);
  });
});

test('a session moves to another member within its TTL (S1)', async () => {
  await using cluster = await Cluster.start(3);
  await using client = cluster.client();
  await using session = await client.session({ ttlSeconds: 6 });
  const states = statesOf(session);
  const seconds = 7;
  const end = performance.now() + seconds * 1000;
  const [a] = cluster.members;
  a?.pause();
  await eventually('more than a TTL', () => performance.now() > end, 2 * seconds * 1000);
  a?.resume();
  assert.ok(!states.includes('LOST'), states.join());
});
