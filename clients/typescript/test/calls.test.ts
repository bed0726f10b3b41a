import assert from 'node:assert/strict';
import { type Socket, createServer } from 'node:net';
import { after, before, suite, test } from 'node:test';
import { Client, compare, deleteOp, getOp, isConclaveError, leftovers, putOp } from '../src/index.js';
import { Cluster, eventually, freePorts } from './cluster.js';
import { Proxy } from './proxy.js';

const fails = (kind: string, maybe = false) => (error: unknown) => {
  assert.ok(isConclaveError(error), String(error));
  assert.deepEqual([error.kind, error.maybe], [kind, maybe], error.message);
  return true;
};

suite('calls to one member', () => {
  let cluster: Cluster;
  let client: Client;
  before(async () => {
    cluster = await Cluster.start();
    client = cluster.client();
  });
  after(async () => {
    await client.close();
    await cluster[Symbol.asyncDispose]();
  });

  test('keys are written, read, listed and deleted', async () => {
    const revision = await client.put('kv/a', 'one');
    await client.put('kv/b', new Uint8Array([0, 255]));
    const { kv } = await client.get('kv/a');
    assert.deepEqual([kv?.value.toString(), kv?.modRevision, kv?.version], ['one', revision, 1n]);
    assert.deepEqual([...((await client.get('kv/b')).kv?.value ?? [])], [0, 255]);
    await client.put('kv/a', 'two');
    assert.equal((await client.get('kv/a', { revision })).kv?.value.toString(), 'one');
    assert.equal((await client.get('none')).kv, undefined);
    const list = await client.list({ prefix: 'kv/' }, { sortBy: 'createRevision', descending: true, limit: 1, keysOnly: true });
    assert.deepEqual([list.kvs[0]?.key.toString(), list.kvs[0]?.value.length, list.count, list.more], ['kv/b', 0, 2n, true]);
    assert.equal((await client.list({ from: 'kv/b', to: 'kv/c' })).count, 1n);
    assert.equal((await client.delete({ prefix: 'kv/' })).deleted, 2n);
  });

  test('transactions choose a branch', async () => {
    const txn = {
      if: [compare('t', 'version', '=', 0n)],
      then: [putOp('t', '1'), getOp('t')],
      else: [deleteOp('t')],
    };
    const first = await client.txn(txn);
    assert.deepEqual([first.succeeded, first.responses[1]?.kvs[0]?.value.toString()], [true, '1']);
    const second = await client.txn({ ...txn, if: [...txn.if, compare('t', 'value', '!=', '2')] });
    assert.deepEqual([second.succeeded, second.responses[0]?.deleted], [false, 1n]);
  });

  test('bad arguments are refused before anything is sent', async () => {
    await assert.rejects(client.get(''), fails('invalid'));
    await assert.rejects(client.put('', 'x'), fails('invalid'));
    await assert.rejects(client.put('a', 7 as unknown as string), fails('invalid'));
    await assert.rejects(client.get('a', { revision: -1n }), fails('invalid'));
    await assert.rejects(client.list({ prefix: 'a' }, { limit: -1 }), fails('invalid'));
    for (const ttlSeconds of [0, 0.5, NaN, -1, 9_000_000_001, '5' as unknown as number]) {
      await assert.rejects(client.session({ ttlSeconds }), fails('invalid'), String(ttlSeconds));
    }
    for (const timeoutMs of [0, NaN]) {
      await assert.rejects(client.get('a', { timeoutMs }), fails('invalid'));
      await assert.rejects(client.watch('a', { timeoutMs }), fails('invalid'));
    }
    await assert.rejects(client.session({ ttlSeconds: -5 }), fails('invalid'));
    assert.throws(() => new Client({ endpoints: ['a:1'], timeoutMs: -1 }), fails('invalid'));
  });

  test('the server\'s errors have the table\'s names', async () => {
    await assert.rejects(client.get('a', { revision: 1_000_000n }), (error) => isConclaveError(error, 'api') && error.apiName === 'FutureRev');
    await assert.rejects(client.put('a', 'x', { lease: 4711n }), (error) => isConclaveError(error, 'api') && error.apiName === 'LeaseNotFound');
  });

  test('a cancelled call fails at once (R5)', async () => {
    await assert.rejects(client.get('a', { signal: AbortSignal.abort() }), fails('cancelled'));
    await using proxy = await Proxy.to(cluster.endpoints[0] as string);
    await using slow = new Client({ endpoints: [proxy.url] });
    await slow.get('a');
    proxy.loseAnswers();
    for (const [call, maybe] of [
      [(signal: AbortSignal) => slow.get('a', { signal }), false],
      [(signal: AbortSignal) => slow.put('a', 'b', { signal }), true],
    ] as const) {
      const controller = new AbortController();
      const failing = assert.rejects(call(controller.signal), fails('cancelled', maybe));
      setTimeout(() => controller.abort(), 50);
      await failing;
    }
  });

  test('a read has the deadline of its call, a write that was sent may have happened (R1, R3)', async () => {
    await using proxy = await Proxy.to(cluster.endpoints[0] as string);
    await using slow = new Client({ endpoints: [proxy.url] });
    await slow.get('a');
    proxy.loseAnswers();
    const start = performance.now();
    await assert.rejects(slow.put('lost', '1', { timeoutMs: 1000 }), fails('maybe', true));
    assert.ok(performance.now() - start < 3000);
    await assert.rejects(slow.get('a', { timeoutMs: 1000 }), fails('deadline'));
    assert.equal((await client.get('lost')).kv?.value.toString(), '1');
  });

  test('a write on a broken connection may have happened, and the next call works', async () => {
    await using proxy = await Proxy.to(cluster.endpoints[0] as string);
    await using broken = new Client({ endpoints: [proxy.url] });
    await broken.get('a');
    proxy.loseAnswers();
    const failing = assert.rejects(broken.put('broken', '1'), fails('maybe', true));
    await eventually('the write', async () => (await client.get('broken')).kv);
    proxy.heal();
    await failing;
    assert.equal((await broken.get('broken')).kv?.value.toString(), '1');
  });

  test('a server that is not there is unavailable, and nothing was written', async () => {
    const [port] = await freePorts(1);
    await using nobody = new Client({ endpoints: [`http://127.0.0.1:${port}`], timeoutMs: 300 });
    await assert.rejects(nobody.put('a', 'b'), fails('unavailable'));
    await assert.rejects(nobody.get('a'), (error) => fails('unavailable')(error) && /\(http:.*: connect ECONNREFUSED 127.0.0.1:\d+\);/.test(String(error)));
  });

  test('closing fails what waits and what comes, and leaves nothing (R7)', async () => {
    const resources = process.getActiveResourcesInfo().length;
    const open = leftovers();
    await using proxy = await Proxy.to(cluster.endpoints[0] as string);
    const closing = new Client({ endpoints: [proxy.url] });
    await closing.session();
    await closing.watch('a');
    proxy.loseAnswers();
    const waiting = assert.rejects(closing.get('a'), fails('closed'));
    await closing.close();
    await closing.close();
    await waiting;
    await assert.rejects(closing.get('a'), fails('closed'));
    await assert.rejects(closing.watch('a'), fails('closed'));
    await assert.rejects(closing.session(), fails('closed'));
    await proxy[Symbol.asyncDispose]();
    await eventually('no more resources', () => process.getActiveResourcesInfo().length <= resources);
    assert.deepEqual(leftovers(), open);
  });
});

test('servers that accept connections and are no servers leave nothing behind', async () => {
  const open = leftovers();
  const accepted = new Set<Socket>();
  const server = createServer((socket) => {
    accepted.add(socket.on('error', () => undefined));
    // One of three hangs, one closes at once, one breaks.
    if (accepted.size % 3 === 1) socket.end();
    if (accepted.size % 3 === 2) socket.resetAndDestroy();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  const client = new Client({ endpoints: [`http://127.0.0.1:${port}`] });
  await assert.rejects(client.get('a', { timeoutMs: 2500 }));
  // It cannot have been sent.
  await assert.rejects(client.put('a', 'b', { timeoutMs: 300 }), fails('unavailable'));
  const before = accepted.size;
  await client.close();
  await eventually('no connection', () => leftovers().connections === open.connections);
  for (const socket of accepted) socket.destroy();
  await new Promise((resolve) => server.close(resolve));
  assert.ok(accepted.size <= before + 1, 'nothing is connected after the end');
});

suite('calls to three members', () => {
  let cluster: Cluster;
  before(async () => {
    cluster = await Cluster.start(3);
  });
  after(() => cluster[Symbol.asyncDispose]());

  test('calls are spread over all members (C2)', async () => {
    await using client = cluster.client();
    const members = new Set<bigint>();
    for (let call = 0; call < 6; call += 1) members.add((await client.status()).header?.memberId ?? 0n);
    assert.equal(members.size, 3);
  });

  test('a silent member costs a read 2 s at most once, and comes back (C2, R2)', async () => {
    const proxies = await Promise.all(cluster.endpoints.map((url) => Proxy.to(url)));
    const log: string[] = [];
    await using client = new Client({ endpoints: proxies.map((proxy) => proxy.url), log: (entry) => log.push(entry.message) });
    for (let call = 0; call < 3; call += 1) await client.get('a');
    proxies[0]?.silence();
    const times: number[] = [];
    for (let call = 0; call < 9; call += 1) {
      const start = performance.now();
      await client.get('a');
      times.push(performance.now() - start);
    }
    assert.equal(times.filter((time) => time > 1500).length, 1, String(times));
    assert.ok(Math.max(...times) < 3000, String(times));
    proxies[0]?.heal();
    await eventually('the member is back', () => log.some((line) => line.includes(`${proxies[0]?.url} is back`)));
    for (const proxy of proxies) await proxy[Symbol.asyncDispose]();
  });

  test('reads and writes go on when a member is killed', async () => {
    await using client = cluster.client();
    const [victim] = cluster.members;
    for (let call = 0; call < 3; call += 1) await client.get('a');
    await victim?.kill();
    // The killed member may have led, and until there is another leader writes wait.
    await eventually('a write', () => client.put('a', 'x').catch(() => undefined));
    for (let call = 0; call < 6; call += 1) assert.equal((await client.get('a')).kv?.value.toString(), 'x');
    victim?.start();
    await cluster.ready();
  });

  test('a call to a member that is stopped before it connects is sent elsewhere', async () => {
    const [victim] = cluster.members;
    await using client = cluster.client({ timeoutMs: 20_000 });
    victim?.pause();
    try {
      // The kernel accepts connections for the stopped process, but HTTP/2 is not set up, so no write is sent on them.
      for (let call = 0; call < 3; call += 1) await client.put('paused', String(call));
    } finally {
      victim?.resume();
    }
  });
});
