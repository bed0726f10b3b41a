import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { type Client, Election, LeaderLatch, isConclaveError, putOp } from '../src/index.js';
import { Cluster, eventually } from './cluster.js';

const is = (kind: Parameters<typeof isConclaveError>[1]) => (error: unknown) => isConclaveError(error, kind);

suite('election', () => {
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
  const contenders = (name: string, count: number) =>
    eventually(`${count} contenders`, async () => (await Election.contenders(client, name)).length === count);

  test('leaders come in the order of their campaigns, with their values (K6)', async () => {
    const [one, two] = [await client.session(), await client.session()];
    assert.equal(await Election.leader(client, 'order'), undefined);
    const first = await new Election(one, 'order').campaign('one');
    const second = new Election(two, 'order').campaign('two');
    await contenders('order', 2);
    assert.deepEqual((await Election.contenders(client, 'order')).map(String), ['one', 'two']);
    const leader = await Election.leader(client, 'order');
    assert.deepEqual([leader?.value.toString(), leader?.token, leader?.key], ['one', first.token, `order/${one.leaseHex}`]);
    await first.proclaim('uno');
    assert.equal((await Election.leader(client, 'order'))?.value.toString(), 'uno');
    await first.resign();
    assert.equal(first.isHeld, false);
    const next = await second;
    assert.ok(next.isHeld && next.token > first.token);
    await assert.rejects(first.proclaim('late'), is('session_lost'));
    assert.equal((await client.txn({ if: [first.owner], then: [putOp('x', 'y')] })).succeeded, false);
    await next.resign();
  });

  test('a leader that campaigns again proclaims the new value', async () => {
    await using session = await client.session();
    const election = new Election(session, 'again');
    const leadership = await election.campaign('a');
    const same = await election.campaign('b');
    assert.equal(same.token, leadership.token);
    assert.equal((await Election.leader(client, 'again'))?.value.toString(), 'b');
    await same.resign();
    assert.equal(leadership.isHeld, false);
  });

  test('observing begins with the present leader and has every change (K6)', async () => {
    const controller = new AbortController();
    const seen: string[] = [];
    const observing = (async () => {
      for await (const { value } of Election.observe(client, 'observed', { signal: controller.signal })) seen.push(value.toString());
    })();
    const session = await client.session();
    const leadership = await new Election(session, 'observed').campaign('a');
    await eventually('a', () => seen.at(-1) === 'a');
    await leadership.proclaim('b');
    await eventually('b', () => seen.at(-1) === 'b');
    const next = new Election(await client.session(), 'observed').campaign('c');
    await contenders('observed', 2);
    await session.close();
    await next;
    await eventually('c', () => seen.at(-1) === 'c');
    for await (const { value } of Election.observe(client, 'observed')) {
      assert.equal(value.toString(), 'c');
      break;
    }
    controller.abort();
    await observing;
    assert.deepEqual(seen, ['a', 'b', 'c']);
  });

  test('a campaign is given up by a timeout', async () => {
    await using leadership = await new Election(await client.session(), 'timeout').campaign('a');
    await assert.rejects(new Election(await client.session(), 'timeout').campaign('b', { timeoutMs: 100 }), is('deadline'));
    assert.deepEqual((await Election.contenders(client, 'timeout')).map(String), ['a']);
    assert.ok(leadership.isHeld);
  });

  test('a selector runs while it leads, and is told when that ends', async () => {
    const session = await client.session();
    const election = new Election(session, 'selector');
    assert.equal(await election.whileLeader('a', () => Promise.resolve(7)), 7);
    assert.equal(await Election.leader(client, 'selector'), undefined);
    const running = election.whileLeader('b', (signal) => new Promise((resolve) => signal.addEventListener('abort', () => resolve('told'))));
    await contenders('selector', 1);
    await session.close();
    assert.equal(await running, 'told');
  });

  test('a latch leads when it is its turn, and again after its key was deleted', async () => {
    const [one, two] = [await client.session(), await client.session()];
    const changes: string[] = [];
    const first = new LeaderLatch(one, 'latch', 'one');
    first.onChange((isLeader) => changes.push(`one ${isLeader}`));
    await eventually('the first leads', () => first.isLeader);
    await using second = new LeaderLatch(two, 'latch', 'two');
    second.onChange((isLeader) => changes.push(`two ${isLeader}`));
    await contenders('latch', 2);
    await client.delete(first.leadership?.key ?? '');
    await eventually('the second leads', () => second.isLeader);
    assert.equal(first.isLeader, false);
    await contenders('latch', 2);
    await two.close();
    await eventually('the first leads again', () => first.isLeader);
    assert.deepEqual(changes, ['one true', 'one false', 'two true', 'two false', 'one true']);
    await first.close();
    assert.equal(await Election.leader(client, 'latch'), undefined);
  });
});
