import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { Client, Queue, isConclaveError } from '../src/index.js';
import { eventually } from './cluster.js';
import { Proxy } from './proxy.js';
import { Fixture, follow, is, isMaybe, stillWaits } from './recipes.js';

suite('queue (K10)', () => {
  const fixture = new Fixture();
  const text = async (queue: Queue, session: Awaited<ReturnType<Fixture['session']>>) => {
    const item = await queue.take(session);
    return item.value.toString();
  };

  test('items come by priority and then in the order in which they were put', async () => {
    const queue = new Queue(fixture.client, 'order');
    const session = await fixture.session();
    for (const [value, priority] of [['last', 7], ['second', 5], ['third', 5], ['first', 2]] as const) await queue.put(value, { priority });
    await queue.put('zeroth');
    const keys = (await fixture.client.list({ prefix: 'order/items/' })).kvs.map((kv) => kv.key.toString());
    for (const key of keys) assert.match(key, /^order\/items\/\d{5}-0{13}-[0-9a-f]{16}$/);
    for (const value of ['zeroth', 'first', 'second', 'third', 'last']) assert.equal(await text(queue, session), value);
    await fixture.keys('order/claims/', 5);
    const claims = (await fixture.client.list({ prefix: 'order/claims/' })).kvs;
    assert.deepEqual(claims.map((kv) => kv.key.toString().replace('claims', 'items')), keys);
    assert.ok(claims.every((kv) => kv.lease === session.lease));
  });

  test('an item is deleted by ack, and given back by release', async () => {
    const queue = new Queue(fixture.client, 'ack');
    const session = await fixture.session();
    await queue.put('x');
    const first = await queue.take(session);
    assert.equal(await first.release(), true);
    assert.equal(await first.ack(), false);
    const again = await queue.take(session);
    assert.equal(await again.ack(), true);
    assert.equal(await again.ack(), false);
    await fixture.keys('ack/', 0);
  });

  test('an item is not given out before its time, and others pass it', async () => {
    const queue = new Queue(fixture.client, 'delay');
    const session = await fixture.session();
    const put = Date.now();
    await queue.put('later', { delayMs: 700 });
    await queue.put('now');
    assert.equal(await text(queue, session), 'now');
    assert.equal(await text(queue, session), 'later');
    assert.ok(Date.now() - put >= 700);
  });

  test('taking waits for the next item, and is given up without a claim', async () => {
    const queue = new Queue(fixture.client, 'wait');
    const session = await fixture.session();
    await assert.rejects(queue.take(session, { timeoutMs: 50 }), is('deadline'));
    const controller = new AbortController();
    const cancelled = assert.rejects(queue.take(session, { signal: controller.signal }), is('cancelled'));
    const taking = follow(queue.take(session));
    await stillWaits(fixture, taking);
    controller.abort();
    await cancelled;
    await queue.put('x');
    assert.equal((await taking.promise).value.toString(), 'x');
    await fixture.keys('wait/claims/', 1);
  });

  test('an item of a lost session goes to another taker, and the first cannot acknowledge it', async () => {
    await using proxy = await Proxy.to(fixture.cluster.endpoints[0] as string);
    await using behind = new Client({ endpoints: [proxy.url] });
    const losing = await behind.session({ ttlSeconds: 2 });
    const queue = new Queue(fixture.client, 'lost');
    await queue.put('x');
    const first = await new Queue(behind, 'lost').take(losing);
    const second = queue.take(await fixture.session());
    proxy.silence();
    // The item has no lease.
    const acking = assert.rejects(first.ack(), isMaybe('session_lost'));
    const item = await second;
    await acking;
    assert.equal(item.value.toString(), 'x');
    proxy.heal();
    await assert.rejects(first.ack(), is('session_lost'));
    assert.equal(await item.ack(), true);
  });

  test('a claim whose answer is lost is found again', async () => {
    await using proxy = await Proxy.to(fixture.cluster.endpoints[0] as string);
    await using behind = new Client({ endpoints: [proxy.url] });
    const session = await behind.session();
    const queue = new Queue(behind, 'answer');
    const taking = follow(queue.take(session));
    await stillWaits(fixture, taking);
    // The event comes through; then the answer to the claim is lost.
    await new Queue(fixture.client, 'answer').put('x');
    await taking.promise;
    await queue.put('y');
    proxy.loseAnswers();
    const next = queue.take(session);
    next.catch(() => undefined);
    await fixture.client.get('x');
    proxy.heal();
    assert.equal((await next).value.toString(), 'y');
    await fixture.keys('answer/claims/', 2);
  });

  test('many takers get every item once', async () => {
    const queue = new Queue(fixture.client, 'many');
    const seen: string[] = [];
    const take = async () => {
      const session = await fixture.session();
      for (;;) {
        const item = await queue.take(session, { timeoutMs: 1000 }).catch((error: unknown) => {
          if (isConclaveError(error, 'deadline')) return undefined;
          throw error;
        });
        if (item === undefined) return;
        seen.push(item.value.toString());
        assert.equal(await item.ack(), true);
      }
    };
    const takers = [take(), take(), take()];
    for (let n = 0; n < 30; n += 1) await queue.put(String(n));
    await Promise.all(takers);
    assert.deepEqual(seen.map(Number).sort((a, b) => a - b), Array.from({ length: 30 }, (_, n) => n));
    await eventually('the queue is empty', async () => (await fixture.client.list({ prefix: 'many/' })).kvs.length === 0);
  });

  test('bad arguments are refused', async () => {
    const queue = new Queue(fixture.client, 'bad');
    for (const priority of [-1, 100_000, 1.5]) await assert.rejects(queue.put('x', { priority }), is('invalid'));
    for (const delayMs of [-1, NaN]) await assert.rejects(queue.put('x', { delayMs }), is('invalid'));
    assert.throws(() => new Queue(fixture.client, ''), is('invalid'));
  });
});
