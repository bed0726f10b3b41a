import { Metadata, status as Code } from '@grpc/grpc-js';
import type { CallResult, Connection, Method } from './connection.js';
import {
  ConclaveError,
  type CallStatus,
  cancelled,
  deadline,
  fromStatus,
  isConclaveError,
  isRefusedToken,
  lookUp,
  maybe,
  unavailable,
} from './errors.js';
import type { Login, Token } from './login.js';
import { type Endpoint, type Rotation, Tour } from './rotation.js';
import { clock } from './clock.js';
import { type Lifetime, Scope, type WaitOptions } from './scope.js';

/** Time after which an endpoint that does not answer is thought silent (C2). */
const SILENT_MS = 2_000;
/** A call that is refused for its token is sent again at most this often (C6). */
export const RELOGINS_MAX = 2;

/** Answer to a unary call. */
export interface Answer<Response> {
  readonly response: Response;
  /** The clock just before the answered attempt was sent. */
  readonly sentAt: number;
}

/** Attempts of a write. */
export class Attempts {
  /** The fate of one that was sent is unknown: it may be executed after a later one was answered (R8). */
  isUnsettled = false;
  /** One was sent and is not answered yet. */
  isSent = false;
  /** Why the last one was not sent, or was not executed. */
  failure: ConclaveError | undefined;

  /** After the end of `giveUp` no other one is sent. */
  constructor(readonly giveUp?: Lifetime) {}

  /** Whether one of those that were not answered may have been executed. */
  get mayHaveHappened(): boolean {
    return this.isUnsettled || this.isSent;
  }
}

/** How to make a unary call. */
export interface Call<Request, Response> {
  readonly method: Method<Request, Response>;
  readonly request: Request;
  /** Whether it changes anything. Decides when it is sent again (R2, R3). */
  readonly isWrite: boolean;
  /** A write that has this is sent again like a read: a copy of it that is executed late does no harm. */
  readonly attempts?: Attempts | undefined;
}

/** Makes unary calls: chooses endpoints, repeats what may be repeated, within one deadline. */
export class Calls {
  login: Login | undefined;

  constructor(
    private readonly rotation: Rotation,
    private readonly defaultTimeoutMs: number,
  ) {}

  async make<Q, A>(call: Call<Q, A>, options: WaitOptions, ...parents: Lifetime[]): Promise<Answer<A>> {
    const timeoutMs = options.timeoutMs ?? this.defaultTimeoutMs;
    using scope = new Scope(`the call ${call.method.path}`, { ...options, timeoutMs }, ...parents);
    return await new UnaryCall(call, scope, timeoutMs, new Tour(this.rotation), this.login).run();
  }
}

/** Metadata of a call with this token. */
export function metadataOf(token: Token): Metadata {
  const metadata = new Metadata();
  if (token !== undefined) metadata.set('token', token);
  return metadata;
}

class UnaryCall<Q, A> {
  readonly #attempts: Attempts;
  #relogins = 0;

  constructor(
    private readonly call: Call<Q, A>,
    private readonly scope: Scope,
    private readonly timeoutMs: number,
    private readonly tour: Tour,
    private readonly login: Login | undefined,
  ) {
    this.#attempts = call.attempts ?? new Attempts();
  }

  async run(): Promise<Answer<A>> {
    const attempts = this.#attempts;
    // A write that was not sent when the time is up was not executed, however far its connection has got.
    if (this.call.isWrite) attempts.failure ??= unavailable('there was no connection in time');
    try {
      let endpoint: Endpoint | undefined;
      for (;;) {
        this.scope.check();
        const token = await this.login?.token(this.scope);
        // After a refused token the same endpoint is as good as another.
        endpoint ??= await this.tour.next(this.scope);
        const connection = await this.#connect(endpoint);
        attempts.giveUp?.check();
        if (connection !== undefined) {
          const sentAt = clock.now();
          const result = await this.#attempt(endpoint, connection, token);
          if (result !== undefined && 'response' in result) {
            attempts.failure = undefined;
            return { response: result.response, sentAt };
          }
          if (result !== undefined && this.#isRefused(result.status, token)) continue;
          if (result !== undefined) this.#judge(result.status);
        }
        endpoint = undefined;
      }
    } catch (error) {
      throw this.scope.reason === undefined ? error : this.#ended(this.scope.reason);
    }
  }

  async #connect(endpoint: Endpoint): Promise<Connection | undefined> {
    try {
      return await endpoint.connect(this.scope);
    } catch (error) {
      this.scope.check();
      this.#attempts.failure = isConclaveError(error) ? error : unavailable(String(error));
      return undefined;
    }
  }

  /** Whether it may be sent again, although an attempt that was sent was not answered. */
  get #mayRepeat(): boolean {
    return !this.call.isWrite || this.call.attempts !== undefined;
  }

  /** Notes that an attempt may be executed at any later time. */
  #unsettle(): void {
    if (this.call.isWrite) this.#attempts.isUnsettled = true;
  }

  /** Returns `undefined` if the endpoint is silent and the call may be sent again. */
  async #attempt(endpoint: Endpoint, connection: Connection, token: Token): Promise<CallResult<A> | undefined> {
    using attempt = new Scope('an attempt', {}, this.scope);
    const stopWatching = this.#watchForSilence(endpoint, connection, attempt);
    this.#attempts.isSent = true;
    try {
      const { method, request } = this.call;
      const result = await connection.unary(method, request, metadataOf(token), this.scope.remainingMs, attempt);
      // If the scope has ended, it is still unknown whether a write was executed.
      this.scope.check();
      this.#attempts.isSent = false;
      if (attempt.reason === undefined) return result;
      this.#unsettle();
      return undefined;
    } finally {
      stopWatching();
    }
  }

  /** Takes a silent endpoint out of the rotation. A write that must not be repeated waits for its answer until the deadline. */
  #watchForSilence(endpoint: Endpoint, connection: Connection, attempt: Scope): () => void {
    const silentMs = Math.min(SILENT_MS, this.timeoutMs / 2);
    let immediate: NodeJS.Immediate | undefined;
    let bytes = connection.bytesRead;
    const look = () => {
      if (connection.bytesRead !== bytes) {
        bytes = connection.bytesRead;
        timer.refresh();
        return;
      }
      endpoint.suspect(connection);
      if (this.#mayRepeat) {
        this.#attempts.failure = undefined;
        attempt.end(unavailable(`${endpoint.url} does not answer`));
      }
    };
    // Sockets are read between a timer and an immediate, so a blocked event loop is not taken for a silent server.
    const timer = setTimeout(() => (immediate = setImmediate(look)), silentMs);
    return () => {
      clearTimeout(timer);
      clearImmediate(immediate);
    };
  }

  #isRefused(status: CallStatus, token: Token): boolean {
    if (this.login === undefined || !isRefusedToken(status.details) || this.#relogins >= RELOGINS_MAX) return false;
    this.#relogins += 1;
    this.login.forget(token);
    return true;
  }

  /** Returns if the next endpoint may be tried, and throws otherwise. */
  #judge(status: CallStatus): void {
    if (status.code === Code.DEADLINE_EXCEEDED && lookUp(status.details) === undefined) throw this.#timeIsUp();
    const error = fromStatus(status, this.call.isWrite);
    if (error.maybe) this.#unsettle();
    const mayTryAgain = error.maybe ? this.#mayRepeat && (error.retry || error.kind === 'maybe') : error.retry;
    if (!mayTryAgain) throw error;
    this.#attempts.failure = error;
  }

  /** The error of a call that was sent and not answered in time. */
  #timeIsUp(): ConclaveError {
    const seconds = this.timeoutMs / 1000;
    if (!this.call.isWrite) return deadline(`the call ${this.call.method.path}`, seconds);
    this.#unsettle();
    return maybe(`no answer within ${seconds} s`);
  }

  /** The error of a call that ended before it was answered. */
  #ended(reason: ConclaveError): ConclaveError {
    const { isSent, failure } = this.#attempts;
    if (isSent) this.#unsettle();
    this.#attempts.isSent = false;
    const mayHaveHappened = this.#attempts.isUnsettled;
    if (reason.kind === 'deadline') return isSent || mayHaveHappened ? this.#timeIsUp() : (failure ?? reason);
    if (!mayHaveHappened) return reason;
    if (reason.kind === 'cancelled') return cancelled(reason.cause, true);
    return new ConclaveError(reason.kind, reason.message, { maybe: true });
  }
}
