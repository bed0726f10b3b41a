import { uptime } from 'node:os';

/** Two clocks to read, in milliseconds. */
export interface ClockSources {
  /** Precise; may stand still while the machine is suspended. */
  monotonic(): number;
  /** Coarse; counts the time of a suspension. */
  boot(): number;
}

/** `os.uptime` counts suspensions on Linux; elsewhere it follows the wall clock, which can be set. */
const SYSTEM: ClockSources = {
  monotonic: () => performance.now(),
  boot: process.platform === 'linux' ? () => uptime() * 1000 : () => performance.now(),
};

/** A shorter difference between the clocks is the coarse clock's granularity, not a suspension. */
const GRANULARITY_MS = 50;

/**
 * Monotonic clock that counts the time in which the process was stopped (S2). A stopped process is covered by
 * `performance.now()`, a suspended machine is not, so the difference to the boot clock is added.
 *
 *     monotonic  0 ──── 10 s ┊ suspended for 60 s ┊ 10 s ──── 11 s
 *     boot       0 ──── 10 s ────────────────────── 70 s ──── 71 s
 *     now()      0 ──── 10 s ────────────────────── 70 s ──── 71 s
 */
export class Clock {
  readonly #sources: ClockSources;
  readonly #offset: number;
  #suspended = 0;

  constructor(sources: ClockSources = SYSTEM) {
    this.#sources = sources;
    this.#offset = sources.boot() - sources.monotonic();
  }

  /** Milliseconds since an arbitrary start. Never goes back. */
  now(): number {
    const monotonic = this.#sources.monotonic();
    const ahead = this.#sources.boot() - monotonic - this.#offset;
    if (ahead - this.#suspended > GRANULARITY_MS) this.#suspended = ahead;
    return monotonic + this.#suspended;
  }
}

/** The process's clock. */
export const clock = new Clock();
