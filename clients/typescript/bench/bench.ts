/**
 * Benchmark of this client and of `etcd3`, the established one, against one server that the caller has started:
 *
 *     ./bench.sh WORKLOAD ours|other http://127.0.0.1:2379
 *
 * It prints one line, separated by tabs: operations, seconds, CPU seconds (user and system) of this process in that time, bytes of
 * resident memory, and the library. The numbers depend on the workload:
 *
 * - `puts`: puts that were answered in 10 s, after 2 s of warm-up, with 64 in flight all the time; memory at the end.
 * - `handovers`: how often 32 contenders acquired one mutex in 10 s, after 2 s of warm-up; memory at the end.
 * - `watches`: 10,000 watches of one client; the time until all were created, and the memory that they take. It fails unless every
 *   watch receives the one event of its key.
 *
 * Exit code 0 only if everything was done; 3 if the library cannot do the workload.
 */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

/** A library under test, with one client that is open. */
export interface Library {
  /** Name and version. */
  readonly name: string;
  get(key: string): Promise<unknown>;
  put(key: string, value: Buffer): Promise<unknown>;
  /** Number of keys with a prefix. */
  count(prefix: string): Promise<number>;
  /** Opens a watch. Resolves when the server has created it. Errors of the watch end the process. */
  watch(key: string, onEvent: () => void): Promise<unknown>;
  contender(mutex: string): Promise<Contender>;
  close(): Promise<unknown>;
}

/** A contender of a mutex, with its own session. */
export interface Contender {
  /** Waits for the mutex. Resolves with the function that unlocks it. */
  lock(): Promise<() => Promise<unknown>>;
  close(): Promise<unknown>;
}

/** Thrown by a library that cannot do a workload. The message says what it lacks. */
export class UnsupportedError extends Error {}

interface Result {
  readonly operations: number;
  readonly seconds: number;
  readonly cpuSeconds: number;
  readonly bytes: number;
}

const WARM_UP_MS = 2_000;
const MEASURED_MS = 10_000;
const IN_FLIGHT = 64;
const PUT_KEYS = 1_000;
const VALUE = Buffer.alloc(256, 'v');
const CONTENDERS = 32;
const MUTEX = 'bench/mutex';
const WATCHES = 10_000;
const EVENTS_MS = 60_000;

function residentBytes(): number {
  const kilobytes = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1];
  return Number(kilobytes) * 1024;
}

/** Begins to measure. The returned function returns what has passed since then. */
function stopwatch(): () => { seconds: number; cpuSeconds: number } {
  const cpu = process.cpuUsage();
  const start = performance.now();
  return () => {
    const seconds = (performance.now() - start) / 1000;
    const { user, system } = process.cpuUsage(cpu);
    return { seconds, cpuSeconds: (user + system) / 1e6 };
  };
}

/** Repeats a step in concurrent loops. The result has what was counted after the warm-up; its memory is that at the end. */
async function measureLoops(loops: number, step: (loop: number, count: () => void) => Promise<void>): Promise<Result> {
  let counted = 0;
  let isOver = false;
  const count = () => (counted += 1);
  const all = Promise.all(
    Array.from({ length: loops }, async (_, loop) => {
      while (!isOver) await step(loop, count);
    }),
  );
  // The race ends early if a step fails.
  await Promise.race([all, sleep(WARM_UP_MS)]);
  const before = counted;
  const stop = stopwatch();
  await Promise.race([all, sleep(MEASURED_MS)]);
  const result = { operations: counted - before, ...stop(), bytes: residentBytes() };
  isOver = true;
  await all;
  return result;
}

/** Runs a step for each number below the total, with `IN_FLIGHT` steps at a time. */
async function forEach(total: number, step: (index: number) => Promise<unknown>): Promise<void> {
  let next = 0;
  const loop = async () => {
    while (next < total) await step(next++);
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, loop));
}

async function puts(library: Library): Promise<Result> {
  const keys = Array.from({ length: PUT_KEYS }, (_, index) => `bench/puts/${String(index).padStart(4, '0')}`);
  let next = 0;
  return measureLoops(IN_FLIGHT, async (_, count) => {
    await library.put(keys[next++ % PUT_KEYS] as string, VALUE);
    count();
  });
}

async function handovers(library: Library): Promise<Result> {
  const contenders = await Promise.all(Array.from({ length: CONTENDERS }, () => library.contender(MUTEX)));
  let holders = 0;
  const result = await measureLoops(CONTENDERS, async (loop, count) => {
    const unlock = await (contenders[loop] as Contender).lock();
    holders += 1;
    if (holders !== 1) throw new Error(`${holders} contenders hold the mutex at once`);
    count();
    // Lets other contenders run while this one holds the mutex: otherwise the check could not fail on one thread.
    await Promise.resolve();
    holders -= 1;
    await unlock();
  });
  await Promise.all(contenders.map((contender) => contender.close()));
  const left = await library.count(MUTEX);
  if (left > 0) throw new Error(`${left} keys of the mutex are left`);
  return result;
}

async function watches(library: Library): Promise<Result> {
  const keys = Array.from({ length: WATCHES }, (_, index) => `bench/watches/${String(index).padStart(5, '0')}`);
  const received = new Uint8Array(WATCHES);
  await library.get(keys[0] as string);
  collectGarbage();
  const bytesBefore = residentBytes();

  const stop = stopwatch();
  await forEach(WATCHES, (index) =>
    library.watch(keys[index] as string, () => {
      received[index] = (received[index] ?? 0) + 1;
    }),
  );
  const spent = stop();

  await forEach(WATCHES, (index) => library.put(keys[index] as string, VALUE));
  const deadline = performance.now() + EVENTS_MS;
  while (received.includes(0)) {
    if (performance.now() > deadline) throw new Error(`${received.filter((n) => n === 0).length} watches received nothing`);
    await sleep(10);
  }
  if (received.some((events) => events !== 1)) throw new Error('a watch received an event twice');
  collectGarbage();
  return { operations: WATCHES, ...spent, bytes: residentBytes() - bytesBefore };
}

function collectGarbage(): void {
  if (globalThis.gc === undefined) throw new Error('run node with --expose-gc, as bench.sh does');
  globalThis.gc();
}

const WORKLOADS = new Map([
  ['puts', puts],
  ['handovers', handovers],
  ['watches', watches],
]);

/** Runs the workload of the command line and ends the process. */
export async function main(open: (endpoint: string) => Library): Promise<never> {
  const [name = '', endpoint = ''] = process.argv.slice(2);
  try {
    const workload = WORKLOADS.get(name);
    if (workload === undefined || endpoint === '') throw new Error(`usage: ${[...WORKLOADS.keys()].join('|')} ENDPOINT`);
    const library = open(endpoint);
    const { operations, seconds, cpuSeconds, bytes } = await workload(library);
    await library.close();
    console.log([operations, seconds.toFixed(3), cpuSeconds.toFixed(3), bytes, library.name].join('\t'));
    process.exit(0);
  } catch (error) {
    console.error(error);
    process.exit(error instanceof UnsupportedError ? 3 : 1);
  }
}
