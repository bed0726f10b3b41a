import type { Client } from '../client.js';
import { type Bytes, toRevision } from '../keys.js';
import { compare, putOp } from '../kv.js';
import type { WaitOptions } from '../scope.js';
import { type ObserveOptions, observe } from './follow.js';
import { toName } from './steps.js';

/** A value and the revision at which it was set. */
export interface Versioned {
  readonly value: Buffer;
  readonly revision: bigint;
}

/** State of a value that is listened to: `undefined` while it does not exist. */
export interface ValueState {
  readonly current: Versioned | undefined;
}

/** A shared value (K12). */
export class Value {
  readonly #client: Client;
  readonly #name: string;

  constructor(client: Client, name: string) {
    this.#client = client;
    this.#name = toName(name);
  }

  /** The present value; `undefined` if there is none. */
  async get(options: WaitOptions = {}): Promise<Versioned | undefined> {
    const { kv } = await this.#client.get(this.#name, options);
    return kv && { value: kv.value, revision: kv.modRevision };
  }

  /** Sets the value, whatever it was. Returns its revision. */
  set(value: Bytes, options: WaitOptions = {}): Promise<bigint> {
    return this.#client.put(this.#name, value, options);
  }

  /** Sets the value if it is of this revision still; 0: if there is none. Returns the new revision, or `undefined` if it was not set. */
  async compareAndSet(revision: bigint, value: Bytes, options: WaitOptions = {}): Promise<bigint | undefined> {
    const isPresent = compare(this.#name, 'modRevision', '=', toRevision(revision));
    const txn = { if: [isPresent], then: [putOp(this.#name, value, { keepLease: revision !== 0n })] };
    const { succeeded, revision: at } = await this.#client.txn(txn, options);
    return succeeded ? at : undefined;
  }

  /** The present state, then every change. Changes in quick succession may be merged. */
  listen(options: ObserveOptions = {}): AsyncGenerator<ValueState, void, void> {
    return observe<ValueState>(
      this.#client.core,
      this.#name,
      options,
      (table) => {
        const [kv] = table.byKey();
        return { current: kv && { value: kv.value, revision: kv.modRevision } };
      },
      (before, now) => before.current?.revision === now.current?.revision,
    );
  }
}
