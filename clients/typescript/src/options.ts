import { invalid } from './errors.js';
import type { LogHook } from './log.js';
import type { TlsOptions } from './tls.js';

/** Options of a client. */
export interface ClientOptions {
  /** `http://host:port`, `https://host:port`, `unix:///path`, `unixs:///path`, or `host:port`: https if `tls` is set, else http. */
  readonly endpoints: readonly string[];
  readonly tls?: TlsOptions | undefined;
  /** User to log in as. */
  readonly user?: string | undefined;
  readonly password?: string | undefined;
  /** Deadline of unary calls in milliseconds; 5,000 if absent. */
  readonly timeoutMs?: number | undefined;
  /** Receives what no call can return, such as errors of the user's listeners. */
  readonly log?: LogHook | undefined;
}

export const DEFAULT_TIMEOUT_MS = 5000;

/**
 * Reads the options from etcdctl's environment variables: `ETCDCTL_ENDPOINTS`, `ETCDCTL_CACERT`, `ETCDCTL_CERT`, `ETCDCTL_KEY`,
 * `ETCDCTL_USER` (`name` or `name:password`), `ETCDCTL_PASSWORD` and `ETCDCTL_COMMAND_TIMEOUT` (with its unit, such as `5s`). Without
 * endpoints it is `127.0.0.1:2379`, as for etcdctl.
 */
export function optionsFromEnv(env: Readonly<Record<string, string | undefined>> = process.env): ClientOptions {
  // A variable that is set to nothing is not set.
  const read = (name: string) => (env[`ETCDCTL_${name}`] === '' ? undefined : env[`ETCDCTL_${name}`]);
  const insecure = read('INSECURE_SKIP_TLS_VERIFY');
  if (insecure !== undefined && !/^(0|f|false)$/i.test(insecure)) {
    throw invalid('ETCDCTL_INSECURE_SKIP_TLS_VERIFY is refused: without verification TLS protects nothing; set ETCDCTL_CACERT');
  }
  const [, user = '', inline] = /^([^:]*)(?::(.*))?$/s.exec(read('USER') ?? '') ?? [];
  const password = inline ?? read('PASSWORD');
  if (user !== '' && password === undefined) throw invalid('ETCDCTL_USER has no password; set ETCDCTL_PASSWORD');
  const [caFile, certFile, keyFile] = [read('CACERT'), read('CERT'), read('KEY')];
  if (caFile === undefined && (certFile ?? keyFile) !== undefined) {
    throw invalid('ETCDCTL_CERT and ETCDCTL_KEY need ETCDCTL_CACERT, the CA to trust');
  }
  const timeout = read('COMMAND_TIMEOUT');
  return {
    endpoints: (read('ENDPOINTS') ?? '127.0.0.1:2379').split(','),
    tls: caFile === undefined ? undefined : { caFile, certFile, keyFile },
    user: user === '' ? undefined : user,
    password: user === '' ? undefined : password,
    timeoutMs: timeout === undefined ? undefined : parseDuration(timeout),
  };
}

// The micro sign and the Greek letter, as in Go.
const UNIT_MS: Record<string, number> = { ns: 1e-6, us: 1e-3, '\u00b5s': 1e-3, '\u03bcs': 1e-3, ms: 1, s: 1000, m: 60_000, h: 3_600_000 };
const PART = /(\d+\.?\d*|\.\d+)([a-z\u00b5\u03bc]+)/g;

/** Parses a duration in Go's notation, such as `1m30s`, into milliseconds. */
function parseDuration(text: string): number {
  const parts = [...text.matchAll(PART)];
  const total = parts.reduce((sum, [, number, unit = '']) => sum + Number(number) * (UNIT_MS[unit] ?? NaN), 0);
  const isWhole = parts.map(([part]) => part).join('') === text.replace(/^\+/, '');
  if (isWhole && total > 0 && total < Infinity) return total;
  throw invalid(`ETCDCTL_COMMAND_TIMEOUT is "${text}", not a positive duration with its unit, such as 5s or 500ms`);
}
