import { ConclaveError, asError, isConclaveError } from './errors.js';
import { Backoff, type Scope } from './scope.js';

/** User and password. */
export interface User {
  readonly name: string;
  readonly password: string;
}

/** The credentials of a call: a token, or nothing if the cluster has no authentication. */
export type Token = string | undefined;

const PAUSE_FIRST_MS = 100;
/** Servers refuse an address that sends more than 20 wrong passwords in a minute. */
const PAUSE_LONGEST_MS = 10_000;

/**
 * The login of a client, shared by all of its calls (C6). It happens before the first call, and again when a server has refused the
 * token. A call names the token with which it was refused, so a late refusal of a former token does not end the present one.
 */
export class Login {
  readonly #authenticate: () => Promise<string>;
  #token: { readonly value: Token } | undefined;
  #running: Promise<Token> | undefined;
  #failure: { readonly error: ConclaveError; readonly until: number } | undefined;
  readonly #backoff = new Backoff(PAUSE_FIRST_MS, PAUSE_LONGEST_MS);

  /** `authenticate` asks a server for a token. */
  constructor(authenticate: () => Promise<string>) {
    this.#authenticate = authenticate;
  }

  /** The present token, after a login if there is none. */
  token(scope: Scope): Promise<Token> {
    if (this.#token !== undefined) return Promise.resolve(this.#token.value);
    if (this.#failure !== undefined && performance.now() < this.#failure.until) return Promise.reject(this.#failure.error);
    this.#running ??= this.#logIn().finally(() => (this.#running = undefined));
    return scope.wait(this.#running);
  }

  /** A server has refused this token: the next call logs in, unless there is another token already. */
  forget(refused: Token): void {
    if (this.#token?.value === refused) this.#token = undefined;
  }

  async #logIn(): Promise<Token> {
    try {
      const value = await this.#authenticateOrNothing();
      this.#token = { value };
      this.#failure = undefined;
      this.#backoff.reset();
      return value;
    } catch (thrown) {
      const error = refusal(asError(thrown));
      this.#failure = { error, until: performance.now() + this.#backoff.next() };
      throw error;
    }
  }

  async #authenticateOrNothing(): Promise<Token> {
    try {
      return await this.#authenticate();
    } catch (error) {
      // As in etcd's own client: calls need no token until authentication is enabled.
      if (isConclaveError(error) && error.apiName === 'AuthNotEnabled') return undefined;
      throw error;
    }
  }
}

function refusal(error: ConclaveError): ConclaveError {
  if (error.apiName !== 'AuthFailed' && error.apiName !== 'UserEmpty') return error;
  const text = 'the user or the password was refused; check ClientOptions.user and password';
  return new ConclaveError('login', text, { apiName: error.apiName, cause: error });
}
