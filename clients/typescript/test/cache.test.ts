import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { Cache, Client } from '../src/index.js';
import { eventually } from './cluster.js';
import { Proxy } from './proxy.js';
import { Fixture, is } from './recipes.js';

suite('cache (K15)', () => {
  const fixture = new Fixture();
  const shown = (cache: Cache) => cache.list().map((kv) => `${kv.key}=${kv.value}`);

  test('it has what was there, then every change', async () => {
    const { client } = fixture;
    await client.put('c/1', 'old');
    await client.put('d/1', 'no');
    await using cache = await Cache.open(client, { prefix: 'c/' });
    assert.deepEqual(shown(cache), ['c/1=old']);
    const changes: string[] = [];
    cache.listen(({ type, key, kv }) => changes.push(`${type} ${key}=${kv?.value ?? ''}`));
    const written = await client.put('c/1', 'new');
    assert.equal((await cache.get('c/1', { atLeast: written }))?.value.toString(), 'new');
    await client.put('c/2', 'x');
    const { revision } = await client.delete('c/1');
    assert.equal(await cache.get('c/1', { atLeast: revision }), undefined);
    assert.deepEqual(changes, ['put c/1=old', 'put c/1=new', 'put c/2=x', 'delete c/1=']);
  });

  test('a revision at which nothing in the range changed is reached, too', async () => {
    await using cache = await Cache.open(fixture.client, { prefix: 'quiet/' });
    const revision = await fixture.client.put('elsewhere', 'x');
    assert.equal(await cache.get('quiet/a', { atLeast: revision, timeoutMs: 5000 }), undefined);
    await assert.rejects(cache.atLeast(revision + 1000n, { timeoutMs: 150 }), is('deadline'));
  });

  test('after a compaction it has the differences', async () => {
    const { client } = fixture;
    await using proxy = await Proxy.to(fixture.cluster.endpoints[0] as string);
    await using behind = new Client({ endpoints: [proxy.url] });
    for (const key of ['kept', 'changed', 'deleted']) await client.put(`gap/${key}`, '1');
    await using cache = await Cache.open(behind, { prefix: 'gap/' });
    const changes: string[] = [];
    cache.listen(({ type, key, kv }) => changes.push(`${type} ${key}=${kv?.value ?? ''}`));
    changes.length = 0;
    proxy.silence();
    await client.put('gap/changed', '2');
    await client.delete('gap/deleted');
    await client.put('gap/new', '1');
    const last = await client.put('elsewhere', 'x');
    await client.compact(last);
    proxy.heal();
    await cache.atLeast(last);
    assert.deepEqual(shown(cache), ['gap/changed=2', 'gap/kept=1', 'gap/new=1']);
    assert.deepEqual(changes.sort(), ['delete gap/deleted=', 'put gap/changed=2', 'put gap/new=1']);
    await client.put('gap/kept', '2');
    await eventually('it goes on', () => changes.includes('put gap/kept=2'));
  });

  test('broken connections make no gap', async () => {
    await using proxy = await Proxy.to(fixture.cluster.endpoints[0] as string);
    await using behind = new Client({ endpoints: [proxy.url] });
    await using cache = await Cache.open(behind, { prefix: 'cut/' });
    let revision = 0n;
    for (let n = 0; n < 60; n += 1) {
      revision = await fixture.client.put(`cut/${n % 20}`, String(n));
      if (n % 20 === 10) proxy.cut();
    }
    await cache.atLeast(revision);
    assert.deepEqual(
      cache.list().map((kv) => Number(kv.value)).sort((a, b) => a - b),
      Array.from({ length: 20 }, (_, n) => 40 + n),
    );
  });

  test('a closed cache refuses, and so does one of a closed client', async () => {
    const cache = await Cache.open(fixture.client, { prefix: 'closed/' });
    const waiting = assert.rejects(cache.atLeast(1_000_000n), is('closed'));
    await cache.close();
    await cache.close();
    await waiting;
    await assert.rejects(cache.get('closed/a'), is('closed'));
    const client = fixture.cluster.client();
    const other = await Cache.open(client, 'a');
    await client.close();
    assert.throws(() => other.list(), is('closed'));
  });
});
