import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { suite, test } from 'node:test';
import { promisify } from 'node:util';
import { Fixture } from './recipes.js';

const folder = new URL('../examples/', import.meta.url);

suite('examples', () => {
  const fixture = new Fixture();
  const names = readdirSync(folder).filter((name) => name.endsWith('.js'));

  test('there is one for each recipe', () => assert.equal(names.length, 17));

  for (const name of names) {
    test(name, async () => {
      const env = { ...process.env, ETCDCTL_ENDPOINTS: fixture.cluster.endpoints.join() };
      // It must end by itself: nothing is left that keeps the process alive.
      const run = promisify(execFile)(process.execPath, [new URL(name, folder).pathname], { env, timeout: 60_000 });
      const { stdout, stderr } = await run;
      assert.notEqual(stdout, '');
      assert.equal(stderr, '');
    });
  }
});
