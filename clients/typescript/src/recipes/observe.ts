import type { Core } from '../core.js';
import { type ObserveOptions, observe } from './follow.js';

/** A leader of an election. */
export interface Leader {
  readonly key: string;
  /** The value that the leader proclaimed. */
  readonly value: Buffer;
  /** Fencing token (K1). */
  readonly token: bigint;
}

/** The leaders of an election, one after the other: the owner of the oldest key. */
export function observeLeaders(core: Core, prefix: string, options: ObserveOptions): AsyncGenerator<Leader, void, void> {
  return observe<Leader>(
    core,
    { prefix },
    options,
    (table) => {
      const [oldest] = table.byAge();
      return oldest && { key: oldest.key.toString(), value: oldest.value, token: oldest.createRevision };
    },
    (before, now) => before.token === now.token && before.value.equals(now.value),
  );
}
