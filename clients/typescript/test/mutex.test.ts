import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { Client, Mutex, type Session, isConclaveError, putOp } from '../src/index.js';
import { Cluster, eventually } from './cluster.js';
import { Proxy } from './proxy.js';

const is = (kind: Parameters<typeof isConclaveError>[1]) => (error: unknown) => isConclaveError(error, kind);

suite('mutex', () => {
  let cluster: Cluster;
  let client: Client;
  const sessions: Session[] = [];
  const session = async () => {
    const opened = await client.session();
    sessions.push(opened);
    return opened;
  };
  const waiters = (name: string, count: number) =>
    eventually(`${count} contenders`, async () => (await Mutex.contenders(client, name)).length === count);
  before(async () => {
    cluster = await Cluster.start();
    client = cluster.client();
  });
  after(async () => {
    await client.close();
    await cluster[Symbol.asyncDispose]();
  });

  test('its key, value and token are those of etcd\'s Go client (K1, K2)', async () => {
    const owner = await session();
    await using lock = await new Mutex(owner, 'keys').lock();
    const { kv } = await client.get(`keys/${owner.leaseHex}`);
    assert.deepEqual([lock.key, lock.token], [kv?.key.toString(), kv?.createRevision]);
    assert.deepEqual([kv?.value.length, kv?.lease], [0, owner.lease]);
    assert.ok(lock.isHeld);
  });

  test('it is fair: owners come in the order in which they asked, with growing tokens', async () => {
    const first = await new Mutex(await session(), 'fair').lock();
    const order: number[] = [];
    const tokens = [first.token];
    const all: Promise<void>[] = [];
    for (let n = 0; n < 5; n += 1) {
      const mutex = new Mutex(await session(), 'fair');
      all.push(
        mutex.lock().then(async (lock) => {
          order.push(n);
          tokens.push(lock.token);
          await lock.unlock();
        }),
      );
      await waiters('fair', n + 2);
    }
    assert.deepEqual(order, []);
    await first.unlock();
    await Promise.all(all);
    assert.deepEqual(order, [0, 1, 2, 3, 4]);
    assert.deepEqual(tokens, [...tokens].sort((a, b) => Number(a - b)));
    assert.equal((await Mutex.contenders(client, 'fair')).length, 0);
  });

  test('one session has one place: it locks again and unlocks as often', async () => {
    const owner = await session();
    const mutex = new Mutex(owner, 'again');
    const [a, b] = await Promise.all([mutex.lock(), new Mutex(owner, 'again').lock()]);
    assert.equal(a.token, b.token);
    const other = new Mutex(await session(), 'again');
    await a.unlock();
    await a.unlock();
    assert.deepEqual([a.isHeld, b.isHeld], [false, true]);
    assert.equal(await other.tryLock(), undefined);
    await b.unlock();
    const next = await other.tryLock();
    assert.ok(next?.isHeld);
    assert.ok(next.token > b.token);
    await next.unlock();
  });

  test('a session whose key was deleted by someone else is not its owner when it locks again', async () => {
    const owner = await session();
    for (const again of [
      async (mutex: Mutex) => await mutex.lock(),
      async (mutex: Mutex) => await mutex.tryLock(),
    ]) {
      const mutex = new Mutex(owner, 'deleted');
      const stale = await mutex.lock();
      await client.delete(stale.key);
      const fresh = await again(mutex);
      assert.ok(fresh && fresh.token > stale.token);
      assert.deepEqual([stale.isHeld, fresh.isHeld], [false, true]);
      await stale.unlock();
      assert.ok(fresh.isHeld);
      assert.deepEqual(await Mutex.contenders(client, 'deleted'), [fresh.key]);
      await fresh.unlock();
    }
  });

  test('a session whose key was deleted waits behind the present owner', async () => {
    const mutex = new Mutex(await session(), 'overtaken');
    const stale = await mutex.lock();
    await client.delete(stale.key);
    const owner = await new Mutex(await session(), 'overtaken').lock();
    assert.equal(await mutex.tryLock(), undefined);
    const waiting = mutex.lock();
    await waiters('overtaken', 2);
    await owner.unlock();
    const fresh = await waiting;
    assert.ok(fresh.token > owner.token);
    await fresh.unlock();
  });

  test('an unlocking with a time that is none does nothing', async () => {
    const lock = await new Mutex(await session(), 'no time').lock();
    await assert.rejects(lock.unlock({ timeoutMs: 0 }), is('invalid'));
    assert.ok(lock.isHeld);
    await lock.unlock();
    assert.deepEqual(await Mutex.contenders(client, 'no time'), []);
  });

  test('try takes only what is free, and leaves no place behind', async () => {
    const mutex = new Mutex(await session(), 'try');
    await using lock = await mutex.tryLock();
    assert.ok(lock);
    assert.equal(await new Mutex(await session(), 'try').tryLock(), undefined);
    assert.deepEqual(await Mutex.contenders(client, 'try'), [lock.key]);
    assert.equal((await mutex.tryLock())?.token, lock.token, 'its own session may');
  });

  test('waiting is given up by a timeout or a signal, and with it the place (R5)', async () => {
    await using lock = await new Mutex(await session(), 'give up').lock();
    const other = await session();
    const mutex = new Mutex(other, 'give up');
    await assert.rejects(mutex.lock({ timeoutMs: 100 }), is('deadline'));
    assert.deepEqual(await Mutex.contenders(client, 'give up'), [lock.key]);
    const controller = new AbortController();
    const waiting = assert.rejects(mutex.lock({ signal: controller.signal }), is('cancelled'));
    const staying = mutex.lock();
    await waiters('give up', 2);
    controller.abort();
    await waiting;
    assert.equal((await Mutex.contenders(client, 'give up')).length, 2, 'the other call of the session still waits');
    await lock.unlock();
    await (await staying).unlock();
  });

  test('a waiter that gives up in the middle does not let those behind it pass', async () => {
    const first = await new Mutex(await session(), 'middle').lock();
    const controller = new AbortController();
    const middle = assert.rejects(new Mutex(await session(), 'middle').lock({ signal: controller.signal }), is('cancelled'));
    await waiters('middle', 2);
    let isLocked = false;
    const last = new Mutex(await session(), 'middle').lock().then((lock) => {
      isLocked = true;
      return lock;
    });
    await waiters('middle', 3);
    controller.abort();
    await middle;
    await waiters('middle', 2);
    // A round trip on the connection of the watch, after which the deletion would have been seen.
    await client.get('middle');
    assert.equal(isLocked, false);
    await first.unlock();
    await (await last).unlock();
  });

  test('the lock ends with its session, before others get it (S3)', async () => {
    const owner = await client.session({ ttlSeconds: 2 });
    const lock = await new Mutex(owner, 'lost').lock();
    const reasons: string[] = [];
    lock.onLost((reason) => reasons.push(reason.kind));
    const { lost } = lock;
    owner.onState((state) => {
      if (state === 'LOST') assert.deepEqual([lock.isHeld, lost.aborted, reasons.length], [false, true, 1]);
    });
    const waiting = assert.rejects(new Mutex(await session(), 'lost').lock({ signal: lost }), is('cancelled'));
    const other = new Mutex(owner, 'other');
    await using blocker = await new Mutex(await session(), 'other').lock();
    const waiter = assert.rejects(other.lock(), is('closed'));
    await waiters('other', 2);
    await owner.close();
    await waiter;
    await waiting;
    assert.deepEqual(reasons, ['closed']);
    assert.ok(blocker.isHeld);
  });

  test('waiters of a lost session fail with session_lost', async () => {
    await using proxy = await Proxy.to(cluster.endpoints[0] as string);
    await using behind = new Client({ endpoints: [proxy.url] });
    await using blocker = await new Mutex(await session(), 'waiter').lock();
    const losing = await behind.session({ ttlSeconds: 2 });
    const held = await new Mutex(losing, 'held').lock();
    const waiting = assert.rejects(new Mutex(losing, 'waiter').lock(), is('session_lost'));
    await waiters('waiter', 2);
    proxy.silence();
    await waiting;
    assert.equal(held.isHeld, false);
    assert.ok(await client.timeToLive(losing.lease), 'the server still has the lease');
    assert.ok(blocker.isHeld);
    await assert.rejects(new Mutex(losing, 'waiter').lock(), is('session_lost'));
    proxy.heal();
  });

  test('a write that is guarded by the token takes effect only while the lock is held (K1)', async () => {
    const lock = await new Mutex(await session(), 'fenced').lock();
    const write = { if: [lock.owner], then: [putOp('fenced value', 'x')] };
    assert.equal((await client.txn(write)).succeeded, true);
    await lock.unlock();
    assert.equal((await client.txn(write)).succeeded, false);
    await using next = await new Mutex(await session(), 'fenced').lock();
    assert.equal((await client.txn(write)).succeeded, false);
    assert.equal((await client.txn({ ...write, if: [next.owner] })).succeeded, true);
  });

  test('anyone may ask for a mutex, and the owner decides (K3)', async () => {
    const owner = await session();
    const lock = await new Mutex(owner, 'asked').lock();
    const next = new Mutex(await session(), 'asked').lock();
    await waiters('asked', 2);
    const asked = new Promise<void>((resolve) => lock.onRevoke(resolve));
    assert.equal(await Mutex.revoke(client, 'asked'), true);
    await asked;
    assert.ok(lock.isHeld, 'nothing is taken by force');
    assert.equal((await client.get(lock.key)).kv?.lease, owner.lease);
    const late = new Promise<void>((resolve) => lock.onRevoke(resolve));
    await late;
    await lock.unlock();
    await (await next).unlock();
    assert.equal(await Mutex.revoke(client, 'asked'), false);
  });

  test('a lock whose key someone else deletes is lost', async () => {
    const owner = await session();
    const lock = await new Mutex(owner, 'deleted').lock();
    const lost = new Promise<string>((resolve) => lock.onLost((reason) => resolve(reason.kind)));
    await client.delete(lock.key);
    assert.equal(await lost, 'session_lost');
    assert.equal(lock.isHeld, false);
    await lock.unlock();
    const again = await new Mutex(owner, 'deleted').lock();
    assert.ok(again.isHeld && again.token > lock.token);
    await again.unlock();
  });

  test('an unlocked lock is not reported as lost', async () => {
    const lock = await new Mutex(await session(), 'unlocked').lock();
    let isLost = false;
    lock.onLost(() => (isLost = true));
    const { lost } = lock;
    await lock.unlock();
    assert.deepEqual([isLost, lost.aborted], [false, true]);
  });

  test('answers that are lost do not lose the place', async () => {
    await using proxy = await Proxy.to(cluster.endpoints[0] as string);
    await using behind = new Client({ endpoints: [proxy.url] });
    const owner = await behind.session();
    proxy.loseAnswers();
    const locking = new Mutex(owner, 'answers').lock();
    await waiters('answers', 1);
    proxy.heal();
    const lock = await locking;
    assert.deepEqual(await Mutex.contenders(client, 'answers'), [lock.key]);
    assert.ok(lock.isHeld);
    proxy.loseAnswers();
    const unlocking = lock.unlock();
    await waiters('answers', 0);
    proxy.heal();
    await unlocking;
  });

  test('an unlock without a server fails and is made up for', async () => {
    await using proxy = await Proxy.to(cluster.endpoints[0] as string);
    await using behind = new Client({ endpoints: [proxy.url] });
    const lock = await new Mutex(await behind.session(), 'made up').lock();
    proxy.silence();
    await assert.rejects(lock.unlock({ timeoutMs: 100 }), (error) => isConclaveError(error, 'maybe') && error.maybe);
    assert.equal(lock.isHeld, false);
    proxy.heal();
    await waiters('made up', 0);
  });

  test('mutual exclusion holds', async () => {
    let inside = 0;
    const work = async () => {
      const mutex = new Mutex(await session(), 'exclusion');
      for (let round = 0; round < 10; round += 1) {
        await using lock = await mutex.lock();
        inside += 1;
        assert.equal(inside, 1);
        const seen = Number((await client.get('exclusion value')).kv?.value ?? 0);
        await client.txn({ if: [lock.owner], then: [putOp('exclusion value', String(seen + 1))] });
        inside -= 1;
      }
    };
    await Promise.all([work(), work(), work(), work()]);
    assert.equal((await client.get('exclusion value')).kv?.value.toString(), '40');
  });

  test('an empty name is refused', async () => {
    const owner = await session();
    assert.throws(() => new Mutex(owner, ''), is('invalid'));
    await assert.rejects(Mutex.contenders(client, ''), is('invalid'));
  });
});
