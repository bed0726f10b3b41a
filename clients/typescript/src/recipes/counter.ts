import type { Client } from '../client.js';
import { invalid } from '../errors.js';
import type { WaitOptions } from '../scope.js';
import { toName } from './steps.js';
import { toNumber, update } from './update.js';

/** A counter (K11). One that does not exist is at zero. */
export class Counter {
  readonly #client: Client;
  readonly #name: string;

  constructor(client: Client, name: string) {
    this.#client = client;
    this.#name = toName(name);
  }

  /** Adds, which may be negative, and returns the sum. */
  async add(delta: bigint | number, options: WaitOptions = {}): Promise<bigint> {
    if (typeof delta === 'number' && !Number.isSafeInteger(delta)) throw invalid('delta is a bigint or a whole number');
    let sum = 0n;
    await update(
      this.#client,
      this.#name,
      (kv) => {
        sum = toNumber(kv) + BigInt(delta);
        return String(sum);
      },
      options,
    );
    return sum;
  }

  /** The present number. */
  async get(options: WaitOptions = {}): Promise<bigint> {
    return toNumber((await this.#client.get(this.#name, options)).kv);
  }

  /** Sets the number if it is as expected. Returns whether it was. */
  async compareAndSet(expected: bigint, value: bigint, options: WaitOptions = {}): Promise<boolean> {
    const isExpected = (await update(
      this.#client,
      this.#name,
      (kv) => (toNumber(kv) === expected ? String(value) : undefined),
      options,
    )) !== undefined;
    return isExpected;
  }
}
