import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { RwLock, Semaphore } from '../src/index.js';
import { Fixture, follow, is, stillWaits } from './recipes.js';

suite('read-write lock (K4)', () => {
  const fixture = new Fixture();
  const lock = async (name: string) => new RwLock(await fixture.session(), name);

  test('readers share it, a writer has it alone, in the order in which they asked', async () => {
    const [a, b, c, d] = [await lock('order'), await lock('order'), await lock('order'), await lock('order')];
    const [r1, r2] = [await a.read(), await b.read()];
    const writing = follow(c.write());
    await fixture.keys('order/write/', 1);
    const reading = follow(d.read());
    await fixture.keys('order/read/', 3);
    await stillWaits(fixture, writing);
    await r1.unlock();
    await stillWaits(fixture, writing);
    await r2.unlock();
    const w = await writing.promise;
    await stillWaits(fixture, reading);
    assert.equal(await a.tryRead(), undefined);
    assert.equal(await a.tryWrite(), undefined);
    await w.unlock();
    const r3 = await reading.promise;
    assert.ok(r3.token > w.token - 1n && r3.isHeld);
    const r4 = await a.tryRead();
    assert.ok(r4);
    await r3.unlock();
    await r4.unlock();
    assert.equal((await fixture.client.list({ prefix: 'order/' })).kvs.length, 0);
  });

  test('its keys are those of the contract', async () => {
    const session = await fixture.session();
    const rw = new RwLock(session, 'keys');
    await using write = await rw.write();
    await using read = await rw.read();
    assert.deepEqual([write.key, read.key], [`keys/write/${session.leaseHex}`, `keys/read/${session.leaseHex}`]);
  });

  test('a writer may go on as a reader', async () => {
    const [a, b] = [await lock('down'), await lock('down')];
    const w = await a.write();
    const r = await a.read();
    const other = follow(b.read());
    await fixture.keys('down/read/', 2);
    await stillWaits(fixture, other);
    await w.unlock();
    const r2 = await other.promise;
    assert.equal(await b.tryRead().then((again) => again?.token), r2.token);
    await r.unlock();
  });

  test('a writer that waits does not get in beside a reader that has written', async () => {
    const [a, b] = [await lock('between'), await lock('between')];
    const w = await a.write();
    const writing = follow(b.write());
    await fixture.keys('between/write/', 2);
    const r = await a.read();
    await w.unlock();
    assert.deepEqual([w.isHeld, r.isHeld], [false, true]);
    await stillWaits(fixture, writing);
    await r.unlock();
    const next = await writing.promise;
    await fixture.keys('between/', 1);
    const waiting = follow(a.write());
    await fixture.keys('between/', 2);
    await next.unlock();
    await (await waiting.promise).unlock();
  });

  test('a reader that wants to write is refused, since two would wait for each other', async () => {
    const a = await lock('up');
    await using _ = await a.read();
    await assert.rejects(a.write(), is('invalid'));
    await assert.rejects(a.tryWrite(), is('invalid'));
  });

  test('waiting is given up with its key', async () => {
    const [a, b] = [await lock('cancel'), await lock('cancel')];
    await using _ = await a.write();
    await assert.rejects(b.read({ timeoutMs: 50 }), is('deadline'));
    await assert.rejects(b.write({ timeoutMs: 50 }), is('deadline'));
    await fixture.keys('cancel/', 1);
  });
});

suite('semaphore (K5)', () => {
  const fixture = new Fixture();
  const semaphore = async (name: string, permits = 2) => new Semaphore(await fixture.session(), name, permits);

  test('as many hold it as it has permits, the others wait in order', async () => {
    const [a, b, c, d] = [await semaphore('order'), await semaphore('order'), await semaphore('order'), await semaphore('order')];
    const [first, second] = [await a.acquire(), await b.acquire()];
    assert.equal(await c.tryAcquire(), undefined);
    await fixture.keys('order/', 2);
    const third = follow(c.acquire());
    await fixture.keys('order/', 3);
    const fourth = follow(d.acquire());
    await fixture.keys('order/', 4);
    await stillWaits(fixture, third);
    // The older holder goes first, although the key directly before the waiter's stays.
    await first.unlock();
    const held = await third.promise;
    await stillWaits(fixture, fourth);
    await second.unlock();
    await (await fourth.promise).unlock();
    await held.unlock();
    assert.ok(await a.tryAcquire());
  });

  test('one session can hold several', async () => {
    const a = await semaphore('several');
    const locks = [await a.acquire(), await a.acquire()];
    assert.notEqual(locks[0]?.key, locks[1]?.key);
    assert.equal(await a.tryAcquire(), undefined);
    await locks[0]?.unlock();
    assert.ok(await a.tryAcquire());
  });

  test('another number of permits is refused', async () => {
    await using _ = await (await semaphore('number')).acquire();
    await assert.rejects((await semaphore('number', 3)).acquire(), is('invalid'));
    await fixture.keys('number/', 1);
    const session = await fixture.session();
    for (const permits of [0, -1, 1.5]) assert.throws(() => new Semaphore(session, 'x', permits), is('invalid'));
  });

  test('waiting is given up with its key, and a lost session frees its permit', async () => {
    const session = await fixture.session();
    await new Semaphore(session, 'cancel', 1).acquire();
    const b = await semaphore('cancel', 1);
    await assert.rejects(b.acquire({ timeoutMs: 50 }), is('deadline'));
    await fixture.keys('cancel/', 1);
    const waiting = b.acquire();
    await fixture.keys('cancel/', 2);
    await session.close();
    assert.ok((await waiting).isHeld);
  });
});
