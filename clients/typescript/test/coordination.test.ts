import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { Barrier, Client, DoubleBarrier, Latch, once } from '../src/index.js';
import { Proxy } from './proxy.js';
import { Fixture, follow, is, isMaybe, stillWaits } from './recipes.js';

suite('barrier (K7)', () => {
  const fixture = new Fixture();

  test('who comes waits until it is released', async () => {
    const barrier = new Barrier(fixture.client, 'b');
    await barrier.wait();
    await barrier.hold();
    await barrier.hold();
    const waiting = [follow(barrier.wait()), follow(barrier.wait())];
    await assert.rejects(barrier.wait({ timeoutMs: 50 }), is('deadline'));
    for (const wait of waiting) await stillWaits(fixture, wait);
    await barrier.release();
    await Promise.all(waiting.map(({ promise }) => promise));
    await barrier.release();
  });
});

suite('double barrier (K8)', () => {
  const fixture = new Fixture();
  const sessions = async (count: number) => {
    const opened = [];
    for (let n = 0; n < count; n += 1) opened.push(await fixture.session());
    return opened;
  };

  test('all begin together and end together, again and again', async () => {
    const [a, b, c] = (await sessions(3)).map((session) => new DoubleBarrier(session, 'all', 3));
    assert.ok(a && b && c);
    for (let round = 0; round < 2; round += 1) {
      const entering = [a, b].map((barrier) => follow(barrier.enter()));
      await fixture.keys('all/waiters/', 2);
      for (const enter of entering) await stillWaits(fixture, enter);
      await c.enter();
      await Promise.all(entering.map(({ promise }) => promise));
      const leaving = [a, b].map((barrier) => follow(barrier.leave()));
      await fixture.keys('all/waiters/', 1);
      for (const leave of leaving) await stillWaits(fixture, leave);
      await c.leave();
      await Promise.all(leaving.map(({ promise }) => promise));
      await fixture.keys('all/', 0);
    }
  });

  test('who gives up entering leaves no key', async () => {
    const [one, two] = await sessions(2);
    assert.ok(one && two);
    await assert.rejects(new DoubleBarrier(one, 'give up', 2).enter({ timeoutMs: 50 }), is('deadline'));
    await fixture.keys('give up/', 0);
    await assert.rejects(new DoubleBarrier(two, 'give up', 2).leave(), is('invalid'));
  });

  test('who gave up waiting for the others to leave waits on', async () => {
    const [one, two] = await sessions(2);
    assert.ok(one && two);
    const [a, b] = [new DoubleBarrier(one, 'on', 2), new DoubleBarrier(two, 'on', 2)];
    await Promise.all([a.enter(), b.enter()]);
    await assert.rejects(a.leave({ timeoutMs: 200 }), is('deadline'));
    await fixture.keys('on/waiters/', 1);
    const leaving = follow(new DoubleBarrier(one, 'on', 2).leave());
    await stillWaits(fixture, leaving);
    await b.leave();
    await leaving.promise;
    await assert.rejects(a.leave(), is('invalid'));
  });

  test('what participants left whose sessions ended does not open it', async () => {
    const [one, two] = await sessions(2);
    assert.ok(one && two);
    await new DoubleBarrier(one, 'stale', 1).enter();
    await one.close();
    await fixture.keys('stale/', 1);
    const entering = follow(new DoubleBarrier(two, 'stale', 2).enter());
    await fixture.keys('stale/waiters/', 1);
    await stillWaits(fixture, entering);
    await two.close();
    await assert.rejects(entering.promise, is('closed'));
  });

  test('a participant whose session ends holds up nobody who leaves', async () => {
    const [one, two] = await sessions(2);
    assert.ok(one && two);
    const [a, b] = [new DoubleBarrier(one, 'lost', 2), new DoubleBarrier(two, 'lost', 2)];
    await Promise.all([a.enter(), b.enter()]);
    const leaving = follow(a.leave());
    await fixture.keys('lost/waiters/', 1);
    await stillWaits(fixture, leaving);
    await two.close();
    await leaving.promise;
    await fixture.keys('lost/', 0);
    assert.throws(() => new DoubleBarrier(one, 'x', 0), is('invalid'));
  });
});

suite('latch (K9)', () => {
  const fixture = new Fixture();

  test('waiters go on at zero', async () => {
    const latch = new Latch(fixture.client, 'l');
    const early = follow(latch.wait());
    await assert.rejects(latch.countDown(), is('invalid'));
    assert.equal(await latch.create(2), true);
    assert.equal(await latch.create(5), false);
    assert.equal((await fixture.client.get('l')).kv?.value.toString(), '2');
    await assert.rejects(latch.wait({ timeoutMs: 50 }), is('deadline'));
    assert.equal(await latch.countDown(), 1);
    await stillWaits(fixture, early);
    assert.equal(await latch.countDown(), 0);
    await early.promise;
    assert.equal(await latch.countDown(), 0);
    await latch.wait();
    await assert.rejects(latch.create(-1), is('invalid'));
  });

  test('many count down at the same time', async () => {
    const latch = new Latch(fixture.client, 'many');
    await latch.create(20);
    await Promise.all(Array.from({ length: 20 }, () => latch.countDown({ timeoutMs: 60_000 })));
    assert.equal((await fixture.client.get('many')).kv?.value.toString(), '0');
  });
});

suite('once (K17)', () => {
  const fixture = new Fixture();

  test('one runs the job, and all get its result', async () => {
    let runs = 0;
    const results = await Promise.all(
      Array.from({ length: 5 }, async (_, n) => {
        const session = await fixture.session();
        return once(session, 'job', () => {
          runs += 1;
          return `result of ${n}`;
        });
      }),
    );
    assert.equal(runs, 1);
    assert.equal(new Set(results.map(({ value }) => value.toString())).size, 1);
    assert.equal(results.filter(({ ran }) => ran).length, 1);
    const late = await once(await fixture.session(), 'job', () => assert.fail('it ran again'));
    assert.equal(late.ran, false);
    await fixture.keys('job/', 1);
  });

  test('a job that throws is run by the next one', async () => {
    const session = await fixture.session();
    await assert.rejects(once(session, 'throws', () => Promise.reject(new Error('no'))), /no/);
    assert.equal((await once(session, 'throws', () => 'yes')).value.toString(), 'yes');
  });

  test('a result may have been written before the session ended', async () => {
    await using proxy = await Proxy.to(fixture.cluster.endpoints[0] as string);
    await using behind = new Client({ endpoints: [proxy.url] });
    const session = await behind.session();
    const running = assert.rejects(
      once(session, 'written', () => {
        proxy.loseAnswers();
        return 'x';
      }),
      isMaybe('closed'),
    );
    await fixture.keys('written/done', 1);
    await session.close({ timeoutMs: 100 });
    await running;
  });

  test('a job whose session is lost is run by another one', async () => {
    const session = await fixture.session();
    const begun = follow(
      once(session, 'lost', (signal) => new Promise((resolve) => signal.addEventListener('abort', () => resolve('late')))),
    );
    await fixture.keys('lost/lock/', 1);
    const waiting = once(await fixture.session(), 'lost', () => 'in time');
    await fixture.keys('lost/lock/', 2);
    await session.close();
    await assert.rejects(begun.promise, is('closed'));
    assert.deepEqual([(await waiting).value.toString(), (await waiting).ran], ['in time', true]);
  });
});
