import assert from 'node:assert/strict';
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Readable, Writable } from 'node:stream';
import { createInterface } from 'node:readline';
import { suite, test } from 'node:test';
import { eventually } from './cluster.js';
import { Fixture } from './recipes.js';

interface Reply {
  ok?: Record<string, unknown>;
  error?: { kind: string; name: string; maybe: boolean };
}

/** The subject of the conformance tests, as a process. */
class Subject {
  readonly #process: ChildProcessByStdio<Writable, Readable, null>;
  readonly #replies = new Map<number, (reply: Reply) => void>();
  readonly events: { on: string; event: Record<string, unknown> }[] = [];
  #id = 0;

  constructor() {
    this.#process = spawn(process.execPath, [new URL('../subject/main.js', import.meta.url).pathname], { stdio: ['pipe', 'pipe', 'ignore'] });
    createInterface({ input: this.#process.stdout }).on('line', (line) => {
      const message = JSON.parse(line) as Reply & { id?: number; on?: string; event?: Record<string, unknown> };
      if (message.id !== undefined) this.#replies.get(message.id)?.(message);
      else if (message.on !== undefined && message.event !== undefined) this.events.push({ on: message.on, event: message.event });
    });
  }

  request(op: string, args: Record<string, unknown> = {}): { id: number; reply: Promise<Reply> } {
    const id = (this.#id += 1);
    const reply = new Promise<Reply>((resolve) => this.#replies.set(id, resolve));
    this.#process.stdin.write(`${JSON.stringify({ id, op, args })}\n`);
    return { id, reply };
  }

  async end(): Promise<number> {
    this.#process.stdin.end();
    const [code] = (await once(this.#process, 'exit')) as [number];
    return code;
  }
}

suite('the subject of the conformance tests', () => {
  const fixture = new Fixture();

  test('requests, events, cancellation, errors, and nothing left at the end', async () => {
    const subject = new Subject();
    const ok = async (op: string, args: Record<string, unknown> = {}) => {
      const reply = await subject.request(op, args).reply;
      assert.ok(reply.ok, JSON.stringify(reply));
      return reply.ok;
    };
    await ok('client.open', { as: 'c', endpoints: fixture.cluster.endpoints });
    const { lease } = await ok('session.open', { client: 'c', as: 's', ttl: 5 });
    assert.match(String(lease), /^[0-9a-f]+$/);
    await ok('session.open', { client: 'c', as: 't', ttl: 5 });
    const lock = await ok('mutex.lock', { session: 's', as: 'm', name: 'subject' });
    assert.equal(lock.key, `subject/${String(lease)}`);
    assert.equal(typeof lock.token, 'number');
    const waiting = subject.request('mutex.lock', { session: 't', as: 'n', name: 'subject' });
    await fixture.keys('subject/', 2);
    await ok('cancel', { id: waiting.id });
    assert.equal((await waiting.reply).error?.kind, 'cancelled');
    assert.equal((await subject.request('nonsense').reply).error?.kind, 'unsupported');
    assert.equal((await subject.request('put', { client: 'c', key: '', value: '' }).reply).error?.kind, 'invalid');
    await ok('watch.open', { client: 'c', as: 'w', prefix: 'w/' });
    await ok('put', { client: 'c', key: 'w/1', value: 'x' });
    await eventually('the event', () => subject.events.some(({ on, event }) => on === 'w' && event.key === 'w/1'));
    assert.deepEqual(subject.events[0], { on: 's', event: { type: 'state', state: 'CONNECTED' } });
    await ok('client.close', { client: 'c' });
    assert.deepEqual(await ok('leftovers'), { count: 0, what: [] });
    assert.equal(await subject.end(), 0);
  });

  test('clients that are left open are closed at the end', async () => {
    const subject = new Subject();
    await subject.request('client.open', { as: 'c', endpoints: fixture.cluster.endpoints }).reply;
    await subject.request('session.open', { client: 'c', as: 's', ttl: 60 }).reply;
    await subject.request('put', { client: 'c', key: 'left', value: 'x' }).reply;
    assert.equal(await subject.end(), 0);
    assert.deepEqual(await fixture.client.leases(), []);
  });
});
