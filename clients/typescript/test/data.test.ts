import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { Client, Counter, Group, Value, isConclaveError, putOp, stm } from '../src/index.js';
import { update } from '../src/recipes/update.js';
import { eventually } from './cluster.js';
import { Proxy } from './proxy.js';
import { Fixture, is, isMaybe } from './recipes.js';

suite('counter (K11)', () => {
  const fixture = new Fixture();

  test('additions at the same time are all counted', async () => {
    const counter = new Counter(fixture.client, 'n');
    assert.equal(await counter.get(), 0n);
    await Promise.all(Array.from({ length: 20 }, (_, n) => counter.add(n % 2 === 0 ? 3 : -1n, { timeoutMs: 60_000 })));
    assert.equal(await counter.get(), 20n);
    assert.equal(await counter.add(-25), -5n);
    assert.equal((await fixture.client.get('n')).kv?.value.toString(), '-5');
    assert.deepEqual([await counter.compareAndSet(1n, 2n), await counter.compareAndSet(-5n, 2n)], [false, true]);
    assert.equal(await counter.get(), 2n);
  });

  test('what is no number is refused', async () => {
    await fixture.client.put('text', 'x');
    await assert.rejects(new Counter(fixture.client, 'text').add(1), is('invalid'));
    await assert.rejects(new Counter(fixture.client, 'n').add(0.5), is('invalid'));
  });

  test('an addition whose answer is lost may have happened, and is not repeated (R3)', async () => {
    await using proxy = await Proxy.to(fixture.cluster.endpoints[0] as string);
    await using behind = new Client({ endpoints: [proxy.url] });
    const next = () => {
      // The present number was read. Now the answer to the write gets lost.
      proxy.loseAnswers();
      return '1';
    };
    const writing = assert.rejects(update(behind, 'lost', next, {}), (error) => is('maybe')(error) && isConclaveError(error) && error.maybe);
    await eventually('the write', async () => (await fixture.client.get('lost')).kv);
    proxy.heal();
    await writing;
    assert.equal((await fixture.client.get('lost')).kv?.version, 1n);

    const timed = assert.rejects(update(behind, 'timed', next, { timeoutMs: 200 }), is('maybe'));
    await timed;
    proxy.heal();
  });
});

suite('value (K12)', () => {
  const fixture = new Fixture();

  test('it is set by one of those who saw the same revision', async () => {
    const value = new Value(fixture.client, 'v');
    assert.equal(await value.get(), undefined);
    const first = await value.compareAndSet(0n, 'one');
    assert.ok(first);
    assert.equal(await value.compareAndSet(0n, 'two'), undefined);
    assert.deepEqual(await value.get(), { value: Buffer.from('one'), revision: first });
    const second = await value.compareAndSet(first, 'two');
    assert.ok(second && second > first);
    assert.ok((await value.set('three')) > second);
    await assert.rejects(value.compareAndSet(-1n, 'x'), is('invalid'));
  });

  test('a listener gets the present state and every change', async () => {
    const value = new Value(fixture.client, 'listen');
    const seen: (string | undefined)[] = [];
    const stop = new AbortController();
    const listening = (async () => {
      for await (const { current } of value.listen({ signal: stop.signal })) seen.push(current?.value.toString());
    })();
    await eventually('the first', () => seen.length === 1);
    await value.set('a');
    await eventually('a', () => seen.length === 2);
    await fixture.client.delete('listen');
    await eventually('the end', () => seen.length === 3);
    stop.abort();
    await listening;
    assert.deepEqual(seen, [undefined, 'a', undefined]);
  });
});

suite('group (K13)', () => {
  const fixture = new Fixture();

  test('members are there while their sessions live', async () => {
    const group = new Group(fixture.client, 'g');
    const [one, two] = [await fixture.session(), await fixture.session()];
    const seen: string[] = [];
    const stop = new AbortController();
    const listening = (async () => {
      for await (const members of group.listen({ signal: stop.signal })) seen.push([...members.keys()].join());
    })();
    const first = await group.join(one, 'one', '1');
    await group.join(two, 'two', '2');
    assert.deepEqual(await group.members(), new Map([['one', Buffer.from('1')], ['two', Buffer.from('2')]]));
    assert.equal((await fixture.client.get('g/one')).kv?.lease, one.lease);
    await first.update('uno');
    assert.equal((await group.members()).get('one')?.toString(), 'uno');
    await two.close();
    await eventually('two is gone', () => seen.at(-1) === 'one');
    await first.leave();
    await first.leave();
    await eventually('one is gone', () => seen.at(-1) === '');
    stop.abort();
    await listening;
    await assert.rejects(group.join(two, 'late'), is('closed'));
  });

  test('a process that was restarted takes its member over from its former session', async () => {
    const group = new Group(fixture.client, 'again');
    const [former, next] = [await fixture.session(), await fixture.session()];
    const old = await group.join(former, 'm', 'old');
    await group.join(next, 'm', 'new');
    await assert.rejects(old.update('late'), is('session_lost'));
    await old.leave();
    await former.close();
    assert.equal((await group.members()).get('m')?.toString(), 'new');
  });

  test('a membership that its session has replaced has nothing to leave', async () => {
    const group = new Group(fixture.client, 'replaced');
    const session = await fixture.session();
    const first = await group.join(session, 'm', '1');
    const second = await group.join(session, 'm', '2');
    await first.leave();
    assert.equal((await group.members()).get('m')?.toString(), '2');
    // One that was given up has replaced nothing.
    const giveUp = new AbortController();
    const joining = assert.rejects(group.join(session, 'm', '3', { signal: giveUp.signal }), isMaybe('cancelled'));
    setImmediate(() => giveUp.abort());
    await joining;
    await second.leave();
    await fixture.keys('replaced/', 0);
  });

  test('without a server nothing was written', async () => {
    const proxy = await Proxy.to(fixture.cluster.endpoints[0] as string);
    await using behind = new Client({ endpoints: [proxy.url], timeoutMs: 500 });
    const group = new Group(behind, 'nobody');
    const session = await behind.session({ ttlSeconds: 60 });
    const member = await group.join(session, 'm');
    await proxy[Symbol.asyncDispose]();
    await assert.rejects(behind.get('x'), is('unavailable'));
    const isUnsent = (error: unknown) => isConclaveError(error, 'unavailable') && !error.maybe;
    for (const write of [() => group.join(session, 'n'), () => member.update('x'), () => member.leave()]) {
      await assert.rejects(write(), isUnsent);
    }
  });
});

suite('STM (K16)', () => {
  const fixture = new Fixture();

  test('transfers at the same time keep the sum', async () => {
    const { client } = fixture;
    await client.put('left', '100');
    await client.put('right', '100');
    const transfer = (from: string, to: string, amount: number) =>
      stm(
        client,
        async (view) => {
          view.put(from, String(Number(await view.get(from)) - amount));
          view.put(to, String(Number(await view.get(to)) + amount));
        },
        // On a machine that is busy with other things the default may be too short for the last one.
        { timeoutMs: 60_000 },
      );
    await Promise.all(Array.from({ length: 10 }, (_, n) => (n % 2 === 0 ? transfer('left', 'right', 3) : transfer('right', 'left', 1))));
    assert.deepEqual([(await client.get('left')).kv?.value.toString(), (await client.get('right')).kv?.value.toString()], ['90', '110']);
  });

  test('reads are of one revision, and see the writes of the transaction', async () => {
    const { client } = fixture;
    let runs = 0;
    const seen = await stm(client, async (view) => {
      runs += 1;
      const a = await view.get('iso/a');
      if (runs === 1) await client.txn({ then: [putOp('iso/a', 'x'), putOp('iso/b', 'x')] });
      const b = await view.get('iso/b');
      assert.equal(a?.toString(), b?.toString(), 'both or none');
      view.put('iso/c', 'mine');
      view.delete('iso/d');
      assert.equal((await view.get('iso/c'))?.toString(), 'mine');
      assert.equal(await view.get('iso/d'), undefined);
      return a?.toString();
    });
    assert.deepEqual([seen, runs], ['x', 2]);
    assert.equal((await client.get('iso/c')).kv?.value.toString(), 'mine');
  });

  test('what the function throws is thrown, and nothing is written', async () => {
    await assert.rejects(
      stm(fixture.client, (view) => {
        view.put('thrown', 'x');
        throw new Error('no');
      }),
      /no/,
    );
    assert.equal((await fixture.client.get('thrown')).kv, undefined);
  });

  test('a transaction that never comes through ends at its deadline', async () => {
    const { client } = fixture;
    let n = 0;
    const start = performance.now();
    await assert.rejects(
      stm(
        client,
        async (view) => {
          await view.get('busy');
          await client.put('busy', String((n += 1)));
          view.put('busy', 'mine');
        },
        { timeoutMs: 300 },
      ),
      (error) => error instanceof Error,
    );
    assert.ok(performance.now() - start < 2000);
  });
});
