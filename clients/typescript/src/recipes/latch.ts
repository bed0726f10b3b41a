import type { Client } from '../client.js';
import { invalid } from '../errors.js';
import { compare, putOp } from '../kv.js';
import type { WaitOptions } from '../scope.js';
import { inClient } from './place.js';
import { Steps, toName } from './steps.js';
import { toNumber, update } from './update.js';

/** A latch (K9): waiters go on when it was counted down to zero. Then it stays open. */
export class Latch {
  readonly #client: Client;
  readonly #name: string;

  constructor(client: Client, name: string) {
    this.#client = client;
    this.#name = toName(name);
  }

  /** Creates the latch if it does not exist. Returns whether this call has. */
  async create(count: number, options: WaitOptions = {}): Promise<boolean> {
    if (!Number.isSafeInteger(count) || count < 0) throw invalid('a latch counts down from a whole number of 0 or more');
    const isNew = compare(this.#name, 'createRevision', '=', 0n);
    return (await this.#client.txn({ if: [isNew], then: [putOp(this.#name, String(count))] }, options)).succeeded;
  }

  /** Counts down by one, to zero at the lowest. Returns what is left. */
  async countDown(options: WaitOptions = {}): Promise<number> {
    let left = 0n;
    await update(
      this.#client,
      this.#name,
      (kv) => {
        if (kv === undefined) throw invalid(`the latch ${this.#name} does not exist; create it first`);
        const count = toNumber(kv);
        left = count > 0n ? count - 1n : 0n;
        return count > 0n ? String(left) : undefined;
      },
      options,
    );
    return Number(left);
  }

  /** Waits until the latch is at zero. A latch that does not exist yet is waited for. */
  async wait(options: WaitOptions = {}): Promise<void> {
    const { core } = this.#client;
    await inClient(core, `waiting for the latch ${this.#name}`, options, async (scope) => {
      const steps = new Steps(core, scope);
      for (;;) {
        const { kvs, revision } = await steps.persist(() => steps.list(this.#name));
        if (kvs[0] !== undefined && toNumber(kvs[0]) <= 0n) return;
        await steps.untilChanged(this.#name, revision + 1n);
      }
    });
  }
}
