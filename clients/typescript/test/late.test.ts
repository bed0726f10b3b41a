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
import { Fixture, follow, is, isMaybe, stillWaits } from './recipes.js';
import { Refuser } from './refuser.js';

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
  /** The same, with a second endpoint that can refuse transactions. */
  const behindWithRefuser = async () => {
    const proxy = await Proxy.to(fixture.cluster.endpoints[0] as string);
    const refuser = await Refuser.start();
    const client = new Client({ endpoints: [proxy.url, refuser.url] });
    /** Attempts to write a key hang, and the next one elsewhere is refused. */
    const hangOnce = async (key: string, run: () => Promise<unknown>) => {
      let isHeld = false;
      proxy.holdAll((bytes) => {
        const isIt = bytes.includes(key);
        isHeld ||= isIt;
        return isIt;
      });
      refuser.refuses = () => isHeld;
      await run();
      refuser.refuses = () => false;
      proxy.holdAll(() => false);
    };
    const close = async () => {
      await client.close();
      await proxy[Symbol.asyncDispose]();
      await refuser[Symbol.asyncDispose]();
    };
    return { proxy, hangOnce, client, session: await client.session({ ttlSeconds: 60 }), [Symbol.asyncDispose]: close };
  };
  const patience = { timeoutMs: 30_000 };
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
    await proxy.deliver();
    await deleted('given up/', revision, 1);
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

  test('a deletion that was refused elsewhere does not hit its key after that was put again', async () => {
    await using held = await behindWithRefuser();
    const { proxy, client, session, hangOnce } = held;
    const mutex = new Mutex(session, 'again/mutex');
    const election = new Election(session, 'again/election');
    const group = new Group(client, 'again/group');
    const enter = () => Promise.all([mutex.lock(), election.campaign('a'), group.join(session, 'member', 'a')]);
    const [lock, leadership, member] = await enter();
    const ends = [
      [lock.key, () => lock.unlock(patience)],
      [leadership.key, () => leadership.resign(patience)],
      [member.key, () => member.leave(patience)],
    ] as const;
    for (const [key, end] of ends) await hangOnce(key, () => assert.rejects(end(), isMaybe('api')));
    const again = await enter();
    assert.deepEqual([again[0].token, again[1].token], [lock.token, leadership.token]);
    const other = await fixture.session();
    const next = [follow(new Mutex(other, 'again/mutex').lock()), follow(new Election(other, 'again/election').campaign('b'))];
    await fixture.keys('again/', 5);
    await proxy.deliver();
    await fixture.keys('again/', 5);
    for (const waiting of next) await stillWaits(fixture, waiting);
    assert.deepEqual([again[0].isHeld, again[1].isHeld], [true, true]);
    // The handles of before have nothing to give up any more.
    for (const [, end] of ends) await end();
    await fixture.keys('again/', 5);
    for (const handle of again) await handle[Symbol.asyncDispose]();
    await Promise.all(next.map(({ promise }) => promise));
    await fixture.keys('again/', 2);
  });

  test('an error after an attempt of unknown fate says that it may have happened (R4)', async () => {
    await using held = await behindWithRefuser();
    const { client, session, hangOnce } = held;
    const leadership = await new Election(session, 'unknown/election').campaign('a');
    const group = new Group(client, 'unknown');
    const member = await group.join(session, 'member', 'a');
    for (const [key, write] of [
      [leadership.key, () => leadership.proclaim('b', patience)],
      [member.key, () => member.update('b', patience)],
      ['unknown/other', () => group.join(session, 'other', '', patience)],
    ] as const) {
      await hangOnce(key, () => assert.rejects(write(), isMaybe('api')));
    }
  });

  test('a request to the owner stays when its key is put again (K3)', async () => {
    await using held = await behind();
    const { proxy, session } = held;
    proxy.loseAnswers();
    const locking = new Mutex(session, 'revoked/mutex').lock();
    const sharing = new Semaphore(session, 'revoked/semaphore', 1).acquire();
    const names = ['revoked/mutex', 'revoked/semaphore'];
    for (const name of names) await eventually('the request', () => Mutex.revoke(fixture.client, name));
    const tokens = (await fixture.client.list({ prefix: 'revoked/' })).kvs.map((kv) => kv.createRevision);
    proxy.heal();
    const locks = await Promise.all([locking, sharing]);
    assert.deepEqual(locks.map((lock) => lock.token), tokens);
    await Promise.all(locks.map((lock) => new Promise<void>((resolve) => lock.onRevoke(resolve))));
    const other = follow(new Semaphore(await fixture.session(), 'revoked/semaphore', 1).acquire());
    await fixture.keys('revoked/semaphore/', 2);
    await stillWaits(fixture, other);
    for (const lock of locks) await lock.unlock();
    await (await other.promise).unlock();
    await fixture.keys('revoked/', 0);
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
    // It is watched until the item is done, by whomever.
    const { streams } = leftovers();
    const taken = await queue.take(await fixture.session(), { timeoutMs: 5_000 });
    assert.equal(taken.value.toString(), 'x');
    assert.equal(await taken.ack(), true);
    // One stream less, and the new session's is one more.
    await eventually('nothing is watched', () => leftovers().streams === streams);
  });

  test('a claim that was given up is given back, also if its deletion is lost', async () => {
    await using held = await behind();
    const { proxy, client, session } = held;
    await new Queue(fixture.client, 'withdrawn').put('x');
    const { revision } = await fixture.client.get('x');
    let isHeld = false;
    proxy.hold((bytes) => (isHeld = bytes.includes('withdrawn/items/0')));
    const giveUp = new AbortController();
    const taking = assert.rejects(new Queue(client, 'withdrawn').take(session, { signal: giveUp.signal }), is('cancelled'));
    await eventually('the claim', () => isHeld);
    giveUp.abort();
    await taking;
    // The claim is made elsewhere. Its deletion has no comparison with the item.
    proxy.cutAt((bytes) => bytes.includes('withdrawn/claims/0') && !bytes.includes('withdrawn/items/0'));
    await deleted('withdrawn/claims/', revision, 1);
  });
});
