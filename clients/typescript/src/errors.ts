import { status as Code } from '@grpc/grpc-js';
import { API_ERRORS, type ApiErrorName } from './gen/errors.js';

/**
 * Kind of a {@link ConclaveError}, the same in all of Conclave's clients.
 *
 * - `api`: the server's own error; {@link ConclaveError.apiName} names it.
 * - `unavailable`: no endpoint could be reached, or none was ready.
 * - `maybe`: a write was sent and its answer was lost.
 * - `deadline`: the time was up, in a read or while waiting.
 * - `cancelled`: the caller's signal was aborted.
 * - `closed`: the client, session or handle is closed.
 * - `session_lost`: the session is lost, and its handles with it.
 * - `compacted`: the watch's next revision is compacted.
 * - `invalid`: the arguments are wrong.
 * - `login`: the user or the password was refused.
 */
export type ErrorKind =
  | 'api'
  | 'unavailable'
  | 'maybe'
  | 'deadline'
  | 'cancelled'
  | 'closed'
  | 'session_lost'
  | 'compacted'
  | 'invalid'
  | 'login';

/** Details of a {@link ConclaveError}. */
export interface ErrorDetails {
  readonly apiName?: ApiErrorName | '';
  readonly retry?: boolean;
  readonly maybe?: boolean;
  readonly compactRevision?: bigint;
  readonly cause?: unknown;
}

const BRAND = Symbol.for('@conclave/client.error');

/** Every error of this package. Its message says what to do. */
export class ConclaveError extends Error {
  override readonly name = 'ConclaveError';
  readonly kind: ErrorKind;
  /** Name in the API's table of errors; empty if the error is not from a server or not in the table. */
  readonly apiName: ApiErrorName | '';
  /** Whether another attempt can help. */
  readonly retry: boolean;
  /** Whether the call may have been executed. */
  readonly maybe: boolean;
  /** For the kind `compacted`: the first revision from which history exists. */
  readonly compactRevision: bigint | undefined;

  constructor(kind: ErrorKind, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.kind = kind;
    this.apiName = details.apiName ?? '';
    this.retry = details.retry ?? false;
    this.maybe = details.maybe ?? false;
    this.compactRevision = details.compactRevision;
    Object.defineProperty(this, BRAND, { value: true });
  }
}

/**
 * Whether a value is a {@link ConclaveError}, of the given kind if one is given. Unlike `instanceof` this also recognises errors of
 * a second copy of the package, such as its CommonJS build in a program that also loads its ES modules.
 */
export function isConclaveError(error: unknown, kind?: ErrorKind): error is ConclaveError {
  if (typeof error !== 'object' || error === null || !(BRAND in error)) return false;
  return kind === undefined || (error as unknown as ConclaveError).kind === kind;
}

/** Status of a failed gRPC call. */
export interface CallStatus {
  readonly code: Code;
  readonly details: string;
}

const BY_TEXT = new Map(API_ERRORS.map((row) => [row.text as string, row]));
/** Watches are refused with the text that Go prints for a status. */
const GO_STATUS = /^rpc error: code = \w+ desc = /;

/** Looks an error of the API up by its text. */
export function lookUp(text: string): (typeof API_ERRORS)[number] | undefined {
  return BY_TEXT.get(text.replace(GO_STATUS, ''));
}

/** Codes of a status outside the table which do not say whether the call was executed. */
const WITHOUT_ANSWER = new Set([Code.UNAVAILABLE, Code.UNKNOWN, Code.INTERNAL, Code.ABORTED, Code.DATA_LOSS]);
/** Codes of a server's own time limit. */
const OUT_OF_TIME = new Set([Code.DEADLINE_EXCEEDED, Code.CANCELLED]);

/** The error for a status (R4). */
export function fromStatus(status: CallStatus, isWrite: boolean): ConclaveError {
  const row = lookUp(status.details);
  if (row !== undefined) {
    const { name: apiName, retry } = row;
    return new ConclaveError('api', row.text, { apiName, retry, maybe: row.maybe && isWrite });
  }
  const text = `${Code[status.code]}: ${status.details}`;
  if (WITHOUT_ANSWER.has(status.code)) return isWrite ? maybe(text) : unavailable(text);
  if (!OUT_OF_TIME.has(status.code)) return new ConclaveError('api', text);
  return isWrite ? maybe(text) : new ConclaveError('deadline', `the server gave up (${text}); try again`, { retry: true });
}

/** Whether a server refused a call for its token, or for having none (C6). Such a call was not executed. */
export function isRefusedToken(text: string): boolean {
  const name = lookUp(text)?.name;
  return name === 'InvalidAuthToken' || name === 'AuthOldRevision' || name === 'UserEmpty';
}

export function maybe(reason: string): ConclaveError {
  const text = `the answer to a write was lost (${reason}); it may have been executed: read before you repeat it`;
  return new ConclaveError('maybe', text, { retry: false, maybe: true });
}

export function unavailable(reason: string): ConclaveError {
  const text = `no server answered (${reason}); check the endpoints and that a majority of the cluster runs`;
  return new ConclaveError('unavailable', text, { retry: true });
}

export function deadline(what: string, seconds: number): ConclaveError {
  const text = `${what} took longer than ${seconds} s; try again, or give it a longer timeoutMs`;
  return new ConclaveError('deadline', text, { retry: true });
}

export function cancelled(cause: unknown, mayHaveHappened = false): ConclaveError {
  const text = mayHaveHappened
    ? 'a write was cancelled after it was sent; it may have been executed: read before you repeat it'
    : 'cancelled by the signal of the caller';
  return new ConclaveError('cancelled', text, { cause, maybe: mayHaveHappened });
}

export function closed(what: string): ConclaveError {
  return new ConclaveError('closed', `the ${what} is closed; open another one`);
}

export function sessionLost(reason: string): ConclaveError {
  return new ConclaveError('session_lost', `the session is lost (${reason}); open another one and acquire again`);
}

export function compacted(compactRevision: bigint): ConclaveError {
  const text = `the history that the watch needs is compacted; read the present state and watch from there, or from revision ${compactRevision}`;
  return new ConclaveError('compacted', text, { compactRevision });
}

export function invalid(text: string): ConclaveError {
  return new ConclaveError('invalid', text);
}

/** Turns anything thrown into a {@link ConclaveError}. */
export function asError(error: unknown): ConclaveError {
  if (isConclaveError(error)) return error;
  const text = error instanceof Error ? error.message : String(error);
  return new ConclaveError('unavailable', text, { cause: error });
}
