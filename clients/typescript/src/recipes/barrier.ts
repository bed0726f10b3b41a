import type { Client } from '../client.js';
import type { WaitOptions } from '../scope.js';
import { inClient } from './place.js';
import { Steps, toName } from './steps.js';

/** A barrier (K7): while one holds it, all who come wait. */
export class Barrier {
  readonly #client: Client;
  readonly #name: string;

  constructor(client: Client, name: string) {
    this.#client = client;
    this.#name = toName(name);
  }

  /**
   * Closes the barrier. Does nothing if it is closed. If the answer is lost, this fails with `maybe` and is not sent again: the
   * first attempt could then be executed after a release.
   */
  async hold(options: WaitOptions = {}): Promise<void> {
    await this.#client.put(this.#name, '', options);
  }

  /** Opens the barrier: all who wait go on. If the answer is lost, this fails with `maybe`. */
  async release(options: WaitOptions = {}): Promise<void> {
    await this.#client.delete(this.#name, options);
  }

  /** Waits until nobody holds the barrier. */
  async wait(options: WaitOptions = {}): Promise<void> {
    const { core } = this.#client;
    await inClient(core, `waiting at the barrier ${this.#name}`, options, async (scope) => {
      const steps = new Steps(core, scope);
      for (;;) {
        const { kvs, revision } = await steps.persist(() => steps.list(this.#name, { keysOnly: true }));
        if (kvs.length === 0) return;
        await steps.untilDeleted(this.#name, revision + 1n);
      }
    });
  }
}
