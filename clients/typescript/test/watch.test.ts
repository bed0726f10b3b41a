import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { Client, type Watch, isConclaveError, putOp } from '../src/index.js';
import { Cluster, eventually } from './cluster.js';
import { Proxy } from './proxy.js';

/** Reads events until there are as many. */
async function take(watch: Watch, count: number): Promise<string[]> {
  const seen: string[] = [];
  while (seen.length < count) {
    const batch = await watch.next();
    if (batch === undefined) throw new Error(`the watch ended after ${seen.length} of ${count} events`);
    seen.push(...batch.events.map((event) => `${event.type} ${event.key}=${event.value}`));
  }
  return seen;
}

suite('watches', () => {
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

  test('every change is delivered once and in order, those of a revision together (W1)', async () => {
    await using watch = await client.watch({ prefix: 'order/' }, { previous: true });
    await client.put('order/a', '1');
    const { revision } = await client.txn({ then: [putOp('order/a', '2'), putOp('order/b', '2'), putOp('other', 'x')] });
    await client.delete({ prefix: 'order/' });
    assert.equal((await watch.next())?.events.length, 1);
    const together = await watch.next();
    assert.equal(together?.revision, revision);
    assert.deepEqual(together.events.map((event) => `${event.key}=${event.value}`), ['order/a=2', 'order/b=2']);
    assert.equal(together.events[0]?.previous?.value.toString(), '1');
    const deleted = await watch.next();
    assert.ok(deleted);
    assert.deepEqual(deleted.events.map((event) => event.type), ['delete', 'delete']);
    assert.equal(deleted.revision, revision + 1n);
  });

  test('a watch starts in the past', async () => {
    const from = await client.put('past', '1');
    await client.put('past', '2');
    await using watch = await client.watch('past', { from });
    assert.deepEqual(await take(watch, 2), ['put past=1', 'put past=2']);
  });

  test('broken connections are not seen (W1)', async () => {
    await using proxy = await Proxy.to(cluster.endpoints[0] as string);
    await using watching = new Client({ endpoints: [proxy.url] });
    await using watch = await watching.watch({ prefix: 'broken/' });
    const expected: string[] = [];
    const seen: string[] = [];
    for (let round = 0; round < 5; round += 1) {
      for (let n = 0; n < 20; n += 1) {
        expected.push(`put broken/${n}=${round}`);
        await client.put(`broken/${n}`, String(round));
        if (n === 10) proxy.cut();
      }
      if (round % 2 === 0) seen.push(...(await take(watch, expected.length - seen.length)));
    }
    seen.push(...(await take(watch, expected.length - seen.length)));
    assert.deepEqual(seen, expected);
  });

  test('a watch ends with compacted after what came before (W2)', async () => {
    await using proxy = await Proxy.to(cluster.endpoints[0] as string);
    await using watching = new Client({ endpoints: [proxy.url] });
    await using watch = await watching.watch('compact');
    await client.put('compact', '1');
    assert.deepEqual(await take(watch, 1), ['put compact=1']);
    proxy.silence();
    await client.put('compact', '2');
    const revision = await client.put('compact', '3');
    await client.compact(revision);
    proxy.heal();
    await assert.rejects(watch.next(), (error) => isConclaveError(error, 'compacted') && error.compactRevision === revision);
    assert.equal(await watch.next(), undefined, 'it has ended');
    await assert.rejects(async () => {
      for await (const _ of await client.watch('compact', { from: 1n })) assert.fail('an event before the end');
    }, (error) => isConclaveError(error, 'compacted'));
  });

  test('a watch that its user ends just ends (W4)', async () => {
    const watch = await client.watch('ended');
    const next = watch.next();
    watch.close();
    assert.equal(await next, undefined);
    const controller = new AbortController();
    const aborted = await client.watch('ended', { signal: controller.signal });
    setTimeout(() => controller.abort(), 20);
    for await (const _ of aborted) assert.fail('no event');
    const left = await client.watch('ended', { from: 1n + (await client.put('ended', 'x')) - 1n });
    for await (const { events } of left) if (events.length > 0) break;
    assert.equal(await left.next(), undefined);
  });

  test('a watch can be given a time to open', async () => {
    await using proxy = await Proxy.to(cluster.endpoints[0] as string);
    proxy.silence();
    await using watching = new Client({ endpoints: [proxy.url] });
    await assert.rejects(watching.watch('a', { timeoutMs: 200 }), (error) => isConclaveError(error, 'deadline'));
  });

  test('the end of the client ends a watch with closed (R7)', async () => {
    const closing = cluster.client();
    const watch = await closing.watch('a');
    const next = assert.rejects(watch.next(), (error) => isConclaveError(error, 'closed'));
    await closing.close();
    await next;
  });

  test('a slow consumer delays no other watch and no call (W5)', async () => {
    const slow = await client.watch({ prefix: 'slow/' });
    const fast = await client.watch({ prefix: 'slow/' });
    const value = 'x'.repeat(100_000);
    // More than a window of HTTP/2 and the buffers of the socket hold.
    for (let n = 0; n < 100; n += 1) await client.put(`slow/${n}`, value);
    for (let count = 0; count < 100; ) count += (await fast.next())?.events.length ?? assert.fail();
    assert.equal((await client.get('slow/99')).kv?.value.length, value.length);
    for (let count = 0; count < 100; ) count += (await slow.next())?.events.length ?? assert.fail();
    slow.close();
    fast.close();
  });
});

suite('watches in a cluster', () => {
  test('a watch goes on elsewhere when its member is killed or stopped (W1, W3)', async () => {
    await using cluster = await Cluster.start(3);
    const proxies = await Promise.all(cluster.endpoints.map((url) => Proxy.to(url)));
    await using client = cluster.client();
    await using watching = new Client({ endpoints: proxies.map((proxy) => proxy.url) });
    await using watch = await watching.watch('moved');
    await client.put('moved', '1');
    assert.deepEqual(await take(watch, 1), ['put moved=1']);
    const [used] = proxies.filter((proxy) => proxy.accepted > 0);
    const victim = cluster.members[proxies.indexOf(used as Proxy)];
    await victim?.kill();
    await eventually('a write', () => client.put('moved', '2').catch(() => undefined));
    // A write whose answer was lost may have been executed twice by the loop above.
    assert.equal((await take(watch, 1))[0], 'put moved=2');
    for (const proxy of proxies) await proxy[Symbol.asyncDispose]();
  });

  test('a member without a majority ends a watch, which is opened again when there is one (W3)', async () => {
    await using cluster = await Cluster.start(3);
    await using client = cluster.client();
    await using watch = await client.watch('majority');
    cluster.members[0]?.pause();
    cluster.members[1]?.pause();
    await assert.rejects(client.put('majority', 'x', { timeoutMs: 500 }));
    cluster.members[0]?.resume();
    cluster.members[1]?.resume();
    await eventually('a write', () => client.put('majority', 'y').catch(() => undefined), 20_000);
    let last = '';
    while (last !== 'put majority=y') [last = ''] = await take(watch, 1);
  });
});
