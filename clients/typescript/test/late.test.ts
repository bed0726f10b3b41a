import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import {
  Client,
  Discovery,
  DoubleBarrier,
  Election,
  Group,
  Mutex,
  Queue,
  RwLock,
  Semaphore,
  leftovers,
} from '../src/index.js';
import { eventually } from './cluster.js';
import { Proxy } from './proxy.js';
import { Fixture, follow, stillWaits } from './recipes.js';

suite('copies of a write that are executed late (R8)', () => {
  const fixture = new Fixture();
  /** A client behind a proxy, with a connection that can be held. */
  const behind = async () => {
    const proxy = await Proxy.to(fixture.cluster.endpoints[0] as string);
    const client = new Client({ endpoints: [proxy.url] });
    const close = async () => {
      await client.close();
      await proxy[Symbol.asyncDispose]();
    };
    return { proxy, client, session: await client.session({ ttlSeconds: 60 }), [Symbol.asyncDispose]: close };
  };
  /** Waits until copies were executed and deleted, and the range is empty. */
  const deleted = async (prefix: string, revision: bigint, copies: number) => {
    await eventually(`${copies} copies`, async () => (await fixture.client.get('x')).revision >= revision + BigInt(2 * copies));
    await fixture.keys(prefix, 0);
  };

  test('the put of a key that was deleted is deleted again, until the session ends', async () => {
    await fixture.client.get('x');
    const open = leftovers();
    await using held = await behind();
    const { proxy, client, session } = held;
    const group = new Group(client, 'puts/group');
    const barrier = new DoubleBarrier(session, 'puts/barrier', 1);
    proxy.hold();
    const locks = await Promise.all([
      new Mutex(session, 'puts/mutex').lock(),
      new RwLock(session, 'puts/read').read(),
      new RwLock(session, 'puts/write').write(),
      new Semaphore(session, 'puts/semaphore', 2).acquire(),
      new Election(session, 'puts/election').campaign('a'),
      group.join(session, 'member', 'a'),
      new Discovery(client).register(session, 'puts/service', 'a:1'),
      barrier.enter(),
    ]);
    for (const lock of locks) await lock?.[Symbol.asyncDispose]();
    await barrier.leave();
    await fixture.keys('puts/', 0);
    const { revision } = await fixture.client.get('x');
    await proxy.deliver();
    await deleted('puts/', revision, locks.length);
    // The session can enter again, and what it holds then is not taken for a copy.
    const again = await new Mutex(session, 'puts/mutex').lock();
    await stillWaits(fixture, { isDone: false });
    assert.equal((await fixture.client.get(again.key)).kv?.createRevision, again.token);
    await session.close();
    await eventually('nothing is watched', () => leftovers().streams === open.streams);
    await held[Symbol.asyncDispose]();
    await eventually('nothing is left', () => leftovers().connections === open.connections);
  });

  test('the put of a contender that has given up is deleted', async () => {
    await using held = await behind();
    const { proxy, session } = held;
    const { revision } = await fixture.client.get('x');
    proxy.hold();
    const giveUp = new AbortController();
    const locking = assert.rejects(new Mutex(session, 'given up').lock({ signal: giveUp.signal }));
    await new Promise((resolve) => setTimeout(resolve, 500));
    giveUp.abort();
    await locking;
    // The attempt that is made elsewhere.
    await deleted('given up/', revision, 1);
    await proxy.deliver();
    await deleted('given up/', revision, 2);
  });

  test('a value that was replaced does not come back', async () => {
    await using held = await behind();
    const { proxy, client, session } = held;
    const leadership = await new Election(session, 'values').campaign('a');
    const group = new Group(client, 'values');
    const member = await group.join(session, 'member', 'a');
    proxy.hold();
    const [joined] = await Promise.all([group.join(session, 'joined', 'b'), leadership.proclaim('b'), member.update('b')]);
    await Promise.all([joined.update('c'), leadership.proclaim('c'), member.update('c')]);
    await proxy.deliver();
    for (const { key } of [joined, leadership, member]) assert.equal((await fixture.client.get(key)).kv?.value.toString(), 'c');
  });

  test('a deletion does not hit a later key', async () => {
    await using held = await behind();
    const { proxy, client, session } = held;
    const group = new Group(client, 'deletions/group');
    const barrier = new DoubleBarrier(session, 'deletions/barrier', 1);
    const mutex = new Mutex(session, 'deletions/mutex');
    const enter = () => Promise.all([group.join(session, 'member'), mutex.lock(), barrier.enter()]);
    const [member, lock] = await enter();
    proxy.hold();
    await Promise.all([member.leave(), lock.unlock(), barrier.leave()]);
    await fixture.keys('deletions/', 0);
    await enter();
    await proxy.deliver();
    const { kvs } = await fixture.client.list({ prefix: 'deletions/' });
    const hex = session.leaseHex;
    const keys = ['barrier/ready', `barrier/waiters/${hex}`, 'group/member', `mutex/${hex}`];
    assert.deepEqual(kvs.map((kv) => kv.key.toString()), keys.map((key) => `deletions/${key}`));
  });

  test('a double barrier lets nobody in because of a former round', async () => {
    await using held = await behind();
    const { proxy, session } = held;
    // Its key is in the put of the key, and then in the put of `ready`.
    let puts = 0;
    proxy.hold((bytes) => bytes.includes(`waiters/${session.leaseHex}`) && (puts += 1) > 1);
    await new DoubleBarrier(session, 'rounds', 1).enter();
    const next = new AbortController();
    const entering = follow(new DoubleBarrier(await fixture.session(), 'rounds', 3).enter({ signal: next.signal }));
    await fixture.keys('rounds/waiters/', 2);
    await stillWaits(fixture, entering);
    const { kv } = await fixture.client.get('rounds/ready');
    await proxy.deliver();
    assert.equal((await fixture.client.get('rounds/ready')).kv?.modRevision, kv?.modRevision);
    await stillWaits(fixture, entering);
    next.abort();
    await assert.rejects(entering.promise);
  });

  test('a claim of an item that was released is deleted', async () => {
    await using held = await behind();
    const { proxy, client, session } = held;
    const queue = new Queue(fixture.client, 'claims');
    await queue.put('x');
    proxy.hold((bytes) => bytes.includes('claims/claims/00000'));
    const item = await new Queue(client, 'claims').take(session);
    assert.equal(await item.release(), true);
    const { revision } = await fixture.client.get('x');
    await proxy.deliver();
    await deleted('claims/claims/', revision, 1);
    assert.equal((await queue.take(await fixture.session(), { timeoutMs: 5_000 })).value.toString(), 'x');
  });
});
