import type { Core } from '../core.js';
import { isConclaveError } from '../errors.js';
import type { KeyValue } from '../gen/etcd/kv.js';
import type { Range } from '../keys.js';
import { Scope, type Lifetime } from '../scope.js';
import type { Watch, WatchEvent } from '../watch.js';
import { Steps } from './steps.js';

/** An update of a table: all of it was read, or some keys changed. */
export interface Update {
  /** Differences to the state before, in the order of revisions. For the first reading these are all keys. */
  readonly changes: readonly TableChange[];
  /** The table is as of this revision. */
  readonly revision: bigint;
}

/** A change of one key. */
export interface TableChange {
  readonly type: 'put' | 'delete';
  readonly key: Buffer;
  /** The key as it is now; `undefined` after a delete. */
  readonly kv: KeyValue | undefined;
}

/** The keys of a range as of one revision, kept up to date from a list and the watch that follows it, without a gap. */
export class Table {
  /** By key, as Latin-1, so that keys which are no text stay apart. In no particular order. */
  readonly #rows = new Map<string, KeyValue>();

  get(key: Buffer): KeyValue | undefined {
    return this.#rows.get(key.toString('latin1'));
  }

  /** All keys, in their order. */
  byKey(): KeyValue[] {
    return [...this.#rows.values()].sort((a, b) => Buffer.compare(a.key, b.key));
  }

  /** All keys, the oldest first. */
  byAge(): KeyValue[] {
    return [...this.#rows.values()].sort((a, b) => Number(a.createRevision - b.createRevision));
  }

  /** Follows a range until the scope ends, and yields after each update. Rejects with the scope's reason. */
  async *follow(steps: Steps, range: Range, onWatch?: (watch: Watch) => void): AsyncGenerator<Update, never, void> {
    for (;;) {
      const { kvs, revision } = await steps.persist(() => steps.list(range));
      yield { changes: this.#replace(kvs), revision };
      try {
        await using watch = await steps.watch(range, revision + 1n);
        onWatch?.(watch);
        for await (const { events, revision } of watch) {
          yield { changes: events.map((event) => this.#apply(event)), revision };
        }
      } catch (error) {
        // The list is read again, and what is different is reported.
        if (!isConclaveError(error, 'compacted')) throw error;
      }
      steps.scope.check();
    }
  }

  #replace(kvs: KeyValue[]): TableChange[] {
    const gone = new Map(this.#rows);
    const changes: TableChange[] = [];
    for (const kv of kvs) {
      const row = kv.key.toString('latin1');
      if (gone.get(row)?.modRevision !== kv.modRevision) changes.push({ type: 'put', key: kv.key, kv });
      gone.delete(row);
      this.#rows.set(row, kv);
    }
    for (const [row, { key }] of gone) {
      this.#rows.delete(row);
      changes.unshift({ type: 'delete', key, kv: undefined });
    }
    return changes;
  }

  #apply({ type, key, kv }: WatchEvent): TableChange {
    const row = key.toString('latin1');
    if (type === 'delete') this.#rows.delete(row);
    else this.#rows.set(row, kv);
    return { type, key, kv: type === 'delete' ? undefined : kv };
  }
}

/** Options of what is observed without an end. */
export interface ObserveOptions {
  /** Ends the observation, without an error. */
  readonly signal?: AbortSignal | undefined;
}

/** Yields what `view` makes of the table after each update, if it is something else than before. Ends quietly with the signal. */
export async function* observe<T>(
  core: Core,
  range: Range,
  options: ObserveOptions,
  view: (table: Table) => T | undefined,
  isSame: (before: T, now: T) => boolean,
  ...parents: Lifetime[]
): AsyncGenerator<T, void, void> {
  using scope = new Scope('an observation', { signal: options.signal }, ...parents, core.open);
  const table = new Table();
  let before: T | undefined;
  try {
    for await (const _ of table.follow(new Steps(core, scope), range)) {
      const now = view(table);
      if (now === undefined || (before !== undefined && isSame(before, now))) continue;
      before = now;
      yield now;
    }
  } catch (error) {
    if (scope.reason?.kind !== 'cancelled') throw scope.reason ?? error;
  }
}
