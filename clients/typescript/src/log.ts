/** A line for the program's log. */
export interface LogEntry {
  readonly level: 'debug' | 'info' | 'warn' | 'error';
  readonly message: string;
  readonly error?: unknown;
}

/** Receives what the client has to report and no call can return. */
export type LogHook = (entry: LogEntry) => void;

/** Calls the hook. A hook that throws must not disturb the client. */
export class Log {
  constructor(private readonly hook: LogHook | undefined) {}

  write(level: LogEntry['level'], message: string, error?: unknown): void {
    try {
      this.hook?.({ level, message, error });
    } catch {
      // There is nowhere else to report it.
    }
  }

  /** Runs a callback of the user (R6): what it throws, or rejects with, is logged and otherwise ignored. */
  run<A extends unknown[]>(what: string, callback: (...args: A) => unknown, ...args: A): void {
    const report = (error: unknown) => this.write('error', `a listener of ${what} failed`, error);
    try {
      const result = callback(...args);
      if (result instanceof Promise) result.catch(report);
    } catch (error) {
      report(error);
    }
  }
}
