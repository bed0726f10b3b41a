import { createInterface } from 'node:readline';
import { type WaitOptions, isConclaveError } from '@conclave/client';

/** Arguments of a request. */
export type Args = Record<string, unknown>;
/** Anything that JSON can have; bigint becomes a number. */
export type Json = Record<string, unknown>;

/** The surroundings of an operation. */
export interface Context {
  /** The caller's signal and deadline, for the client's call. */
  readonly wait: WaitOptions;
  /** Objects that former requests have made, by name. */
  readonly objects: Map<string, unknown>;
  emit(on: string, event: Json): void;
}

export type Operation = (args: Args, context: Context) => Promise<Json | undefined> | Json | undefined;
export type Operations = Record<string, Operation>;

/** The object with the name that an argument has. */
export function object<T>(args: Args, context: Context, argument: string): T {
  const name = text(args, argument);
  const found = context.objects.get(name);
  if (found === undefined) throw new Error(`no object has the name "${name}"`);
  return found as T;
}

export function text(args: Args, argument: string): string {
  return String(args[argument] ?? '');
}

export function number(args: Args, argument: string, otherwise?: number): number {
  const value = args[argument] ?? otherwise;
  if (typeof value !== 'number') throw new Error(`argument "${argument}" is not a number`);
  return value;
}

export function errorOf(error: unknown): Json {
  if (!isConclaveError(error)) return { kind: 'subject', name: '', retry: false, maybe: false, text: String((error as Error).stack) };
  const { kind, apiName: name, retry, maybe, message, compactRevision: revision } = error;
  return { kind, name, retry, maybe, text: message, ...(revision === undefined ? {} : { revision }) };
}

/** Runs requests from the standard input until it ends. */
export async function serve(operations: Operations): Promise<Map<string, unknown>> {
  const objects = new Map<string, unknown>();
  const cancels = new Map<unknown, AbortController>();
  const write = (line: Json) => {
    process.stdout.write(`${JSON.stringify(line, (_, value: unknown) => (typeof value === 'bigint' ? Number(value) : value))}\n`);
  };
  const run = async ({ id, op, args = {} }: { id: unknown; op: string; args?: Args }) => {
    const operation = operations[op];
    if (op === 'cancel') {
      cancels.get(args.id)?.abort();
      write({ id, ok: {} });
      return;
    }
    if (operation === undefined) {
      write({ id, error: { kind: 'unsupported', name: '', retry: false, maybe: false, text: op } });
      return;
    }
    const controller = new AbortController();
    cancels.set(id, controller);
    const seconds = args.deadline;
    const wait = { signal: controller.signal, timeoutMs: typeof seconds === 'number' ? seconds * 1000 : undefined };
    try {
      write({ id, ok: (await operation(args, { wait, objects, emit: (on, event) => write({ on, event }) })) ?? {} });
    } catch (error) {
      write({ id, error: errorOf(error) });
    } finally {
      cancels.delete(id);
    }
  };
  for await (const line of createInterface({ input: process.stdin })) {
    if (line.trim() !== '') void run(JSON.parse(line) as { id: unknown; op: string; args?: Args });
  }
  return objects;
}
