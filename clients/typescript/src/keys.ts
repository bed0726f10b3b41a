import { invalid } from './errors.js';

/** A key or value: text, which is sent as UTF-8, or bytes. */
export type Bytes = string | Uint8Array;

/** Selects keys: one key, all keys with a prefix, or the keys from `from` to before `to`; without `to`, to the end. */
export type Range = Bytes | { readonly prefix: Bytes } | { readonly from: Bytes; readonly to?: Bytes | undefined };

/** A range as the API has it. */
export interface WireRange {
  readonly key: Buffer;
  readonly rangeEnd: Buffer;
}

const NONE = Buffer.alloc(0);
const ZERO = Buffer.alloc(1);

export function toBuffer(bytes: Bytes): Buffer {
  if (typeof bytes === 'string') {
    // UTF-8 has none, and Buffer would write another character.
    if (/\p{Surrogate}/u.test(bytes)) throw invalid('a text has half of a surrogate pair; use a Uint8Array');
    return Buffer.from(bytes, 'utf8');
  }
  if (bytes instanceof Uint8Array) return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  throw invalid('keys and values are strings or Uint8Arrays');
}

/** A single key. It must not be empty. */
export function toKey(key: Bytes): Buffer {
  const buffer = toBuffer(key);
  if (buffer.length === 0) throw invalid('the key is empty; a key has at least one byte');
  return buffer;
}

export function toRange(range: Range): WireRange {
  if (typeof range === 'string' || range instanceof Uint8Array) return { key: toKey(range), rangeEnd: NONE };
  // Callers in JavaScript have no compiler.
  if (!(range as unknown) || typeof range !== 'object') throw invalid('a range is a key, { prefix } or { from, to }');
  if ('prefix' in range) {
    const prefix = toBuffer(range.prefix);
    return { key: prefix.length === 0 ? ZERO : prefix, rangeEnd: afterPrefix(prefix) };
  }
  const key = toBuffer(range.from);
  return { key: key.length === 0 ? ZERO : key, rangeEnd: range.to === undefined ? ZERO : toKey(range.to) };
}

/** The first key after all keys with this prefix; one zero byte if there is none. */
export function afterPrefix(prefix: Uint8Array): Buffer {
  let length = prefix.length;
  while (length > 0 && prefix[length - 1] === 0xff) length -= 1;
  if (length === 0) return ZERO;
  const end = Buffer.from(prefix.subarray(0, length));
  end[length - 1] = (end[length - 1] ?? 0) + 1;
  return end;
}

/** A revision that a caller gave: 0 or more. */
export function toRevision(revision: bigint | undefined): bigint {
  if (revision === undefined) return 0n;
  if (typeof revision !== 'bigint' || revision < 0n) throw invalid('a revision is a bigint of 0 or more');
  return revision;
}
