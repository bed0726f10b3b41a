import assert from 'node:assert/strict';
import { after, before } from 'node:test';
import type { Client, Session } from '../src/index.js';
import { isConclaveError } from '../src/index.js';
import { Cluster, eventually } from './cluster.js';

/** A member, a client, and as many sessions as a suite asks for. Call it within a suite. */
export class Fixture {
  cluster!: Cluster;
  client!: Client;

  constructor() {
    before(async () => {
      this.cluster = await Cluster.start();
      this.client = this.cluster.client();
    });
    after(async () => {
      await this.client.close();
      await this.cluster[Symbol.asyncDispose]();
    });
  }

  session(ttlSeconds = 10): Promise<Session> {
    return this.client.session({ ttlSeconds });
  }

  /** Waits until there are so many keys. */
  async keys(prefix: string, count: number): Promise<void> {
    await eventually(`${count} keys under ${prefix}`, async () => (await this.client.list({ prefix })).kvs.length === count);
  }
}

/** Follows a promise without waiting for it. */
export function follow<T>(promise: Promise<T>): { readonly promise: Promise<T>; isDone: boolean } {
  const state = { promise, isDone: false };
  const done = () => (state.isDone = true);
  promise.then(done, done);
  return state;
}

/** Checks that something still waits, after a round trip that gives it time to go on. */
export async function stillWaits(fixture: Fixture, state: { readonly isDone: boolean }): Promise<void> {
  for (let round = 0; round < 3; round += 1) await fixture.client.get('round trip');
  assert.equal(state.isDone, false);
}

export const is = (kind: Parameters<typeof isConclaveError>[1]) => (error: unknown) => {
  assert.ok(isConclaveError(error, kind), String(error));
  return true;
};

/** The same, and the error says that a write may have happened. */
export const isMaybe = (kind: Parameters<typeof isConclaveError>[1]) => (error: unknown) => {
  assert.ok(isConclaveError(error, kind) && error.maybe, String(error));
  return true;
};
