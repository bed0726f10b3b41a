import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { status as Code } from '@grpc/grpc-js';
import { Clock } from '../src/clock.js';
import { parseEndpoints } from '../src/endpoints.js';
import { fromStatus, isConclaveError, isRefusedToken } from '../src/errors.js';
import { Client, type ClientOptions, ConclaveError } from '../src/index.js';
import { afterPrefix, toBuffer } from '../src/keys.js';
import { Login } from '../src/login.js';
import { optionsFromEnv } from '../src/options.js';
import { Lifetime, Scope } from '../src/scope.js';
import { lostAt } from '../src/session.js';

const isInvalid = (text: RegExp) => (error: unknown) => isConclaveError(error, 'invalid') && text.test(error.message);

suite('endpoints (C1)', () => {
  for (const [url, hasTls, target, isSecure] of [
    ['http://a:1', false, 'dns:a:1', false],
    ['http://a:1', true, 'dns:a:1', false],
    ['https://a:1', true, 'dns:a:1', true],
    ['a:1', false, 'dns:a:1', false],
    ['a:1', true, 'dns:a:1', true],
    ['127.0.0.1:2', false, 'dns:127.0.0.1:2', false],
    ['http://[::1]:3', false, 'ipv6:[::1]:3', false],
    ['unix:///run/c.sock', false, 'unix:/run/c.sock', false],
    ['unixs:///run/c.sock', true, 'unix:/run/c.sock', true],
    [' HTTP://a:1/ ', true, 'dns:a:1', false],
    ['\thttps://a:1/\n', true, 'dns:a:1', true],
    ['HttpS://a:1', true, 'dns:a:1', true],
    ['UNIX:///run/c.sock/', false, 'unix:/run/c.sock', false],
    ['Unixs:///run/c.sock', true, 'unix:/run/c.sock', true],
  ] as const) {
    test(`${JSON.stringify(url)} is understood`, () => {
      const [address] = parseEndpoints([url], hasTls);
      assert.deepEqual([address?.target, address?.isSecure], [target, isSecure]);
    });
  }

  for (const url of ['', 'a', 'a:', 'a:0', 'a:65536', 'a:b', 'ftp://a:1', 'http://a', 'unix://a', 'http://[::g]:1', 'a:1/b', 'a b:1', 'http://%zz:1', 'http://a,b:1', 'unix:///a\0b', 'unix:///', 'a:1//', 'htp://a:1']) {
    test(`"${url}" is refused by name`, () => {
      assert.throws(() => new Client({ endpoints: ['http://ok:1', url] }), isInvalid(new RegExp(`"${url.replace(/[[\]]/g, '\\$&')}"`)));
    });
  }

  test('no endpoint, https without trust and missing files are refused', () => {
    assert.throws(() => new Client({ endpoints: [] }), isInvalid(/no endpoint/));
    for (const options of [undefined, null, {}, 'a:1', { endpoints: null }, { endpoints: 'a:1' }, { endpoints: [1] }]) {
      assert.throws(() => new Client(options as unknown as ClientOptions), isInvalid(/endpoints/), JSON.stringify(options));
    }
    assert.throws(() => new Client({ endpoints: ['https://a:1'] }), isInvalid(/"https:\/\/a:1" needs a CA/));
    assert.throws(() => new Client({ endpoints: ['unixs:///a'] }), isInvalid(/needs a CA/));
    assert.throws(() => new Client({ endpoints: ['a:1'], tls: { caFile: '/none.pem' } }), isInvalid(/"\/none.pem"/));
    assert.throws(() => new Client({ endpoints: ['a:1'], tls: { caFile: '/etc/passwd' } }), isInvalid(/passwd.*no certificate/));
    assert.throws(() => new Client({ endpoints: ['a:1'], user: 'x' }), isInvalid(/password/));
  });
});

suite('environment (C4)', () => {
  test('etcdctl\'s variables are read', () => {
    const options = optionsFromEnv({
      ETCDCTL_ENDPOINTS: 'a:1,b:2',
      ETCDCTL_CACERT: 'ca',
      ETCDCTL_CERT: 'cert',
      ETCDCTL_KEY: 'key',
      ETCDCTL_USER: 'alice:pa:ss',
      ETCDCTL_COMMAND_TIMEOUT: '1m1.5s',
    });
    assert.deepEqual(options, {
      endpoints: ['a:1', 'b:2'],
      tls: { caFile: 'ca', certFile: 'cert', keyFile: 'key' },
      user: 'alice',
      password: 'pa:ss',
      timeoutMs: 61_500,
    });
    assert.equal(optionsFromEnv({ ETCDCTL_USER: 'alice', ETCDCTL_PASSWORD: 'pw' }).password, 'pw');
    assert.deepEqual(optionsFromEnv({}).endpoints, ['127.0.0.1:2379']);
  });

  test('what cannot be right is refused', () => {
    assert.throws(() => optionsFromEnv({ ETCDCTL_INSECURE_SKIP_TLS_VERIFY: 'true' }), isInvalid(/SKIP_TLS_VERIFY/));
    assert.doesNotThrow(() => optionsFromEnv({ ETCDCTL_INSECURE_SKIP_TLS_VERIFY: 'false' }));
    assert.throws(() => optionsFromEnv({ ETCDCTL_USER: 'alice' }), isInvalid(/ETCDCTL_PASSWORD/));
    assert.throws(() => optionsFromEnv({ ETCDCTL_CERT: 'c' }), isInvalid(/ETCDCTL_CACERT/));
  });

  test('a time has its unit, as for etcdctl', () => {
    const timeoutOf = (ETCDCTL_COMMAND_TIMEOUT: string) => optionsFromEnv({ ETCDCTL_COMMAND_TIMEOUT }).timeoutMs;
    for (const [text, ms] of [
      ['5s', 5_000],
      ['500ms', 500],
      ['1m30s', 90_000],
      ['1h', 3_600_000],
      ['1m1.5s', 61_500],
      ['.5s', 500],
      ['+1.s', 1_000],
      ['250us', 0.25],
      ['250\u00b5s', 0.25],
      ['250\u03bcs', 0.25],
      ['', undefined],
    ] as const) {
      assert.equal(timeoutOf(text), ms, text);
    }
    for (const text of ['5', '0', '0s', '-1s', 's', '.s', '5 s', ' 5s', '5s ', '5S', '5d', '1s5', '5s+', '1.2.3s', 'x', `${'9'.repeat(400)}s`]) {
      assert.throws(() => timeoutOf(text), isInvalid(/ETCDCTL_COMMAND_TIMEOUT/), text);
    }
  });

  test('variables that are empty count as not set', () => {
    const names = ['ENDPOINTS', 'CACERT', 'CERT', 'KEY', 'USER', 'PASSWORD', 'COMMAND_TIMEOUT', 'INSECURE_SKIP_TLS_VERIFY'];
    assert.deepEqual(optionsFromEnv(Object.fromEntries(names.map((name) => [`ETCDCTL_${name}`, '']))), optionsFromEnv({}));
  });
});

suite('errors (R4)', () => {
  test('an error of the table is known by its text, also in the form that Go prints', () => {
    const text = 'etcdserver: permission denied';
    for (const details of [text, `rpc error: code = PermissionDenied desc = ${text}`]) {
      const error = fromStatus({ code: Code.PERMISSION_DENIED, details }, true);
      assert.deepEqual([error.kind, error.apiName, error.retry, error.maybe], ['api', 'PermissionDenied', false, false]);
    }
    const timeout = fromStatus({ code: Code.UNAVAILABLE, details: 'etcdserver: request timed out' }, true);
    assert.deepEqual([timeout.kind, timeout.apiName, timeout.maybe], ['api', 'Timeout', true]);
  });

  test('another status is judged by its code', () => {
    const kind = (code: Code, isWrite: boolean) => fromStatus({ code, details: 'x' }, isWrite).kind;
    for (const code of [Code.UNAVAILABLE, Code.UNKNOWN, Code.INTERNAL, Code.ABORTED, Code.DATA_LOSS]) {
      assert.deepEqual([kind(code, true), kind(code, false)], ['maybe', 'unavailable'], Code[code]);
    }
    for (const code of [Code.DEADLINE_EXCEEDED, Code.CANCELLED]) {
      assert.deepEqual([kind(code, true), kind(code, false)], ['maybe', 'deadline'], Code[code]);
    }
    const other = fromStatus({ code: Code.UNIMPLEMENTED, details: 'x' }, true);
    assert.deepEqual([other.kind, other.apiName, other.maybe, kind(Code.UNIMPLEMENTED, false)], ['api', '', false, 'api']);
  });

  test('refused tokens are recognised', () => {
    assert.ok(isRefusedToken('rpc error: code = Unauthenticated desc = etcdserver: invalid auth token'));
    assert.ok(!isRefusedToken('etcdserver: permission denied'));
  });

  test('errors of another copy of the package are recognised', () => {
    const other = Object.assign(new Error('x'), { kind: 'closed', [Symbol.for('@conclave/client.error')]: true });
    assert.ok(isConclaveError(other, 'closed') && !(other instanceof ConclaveError));
    assert.ok(!isConclaveError(new Error('x')) && !isConclaveError(null));
  });
});

suite('clock (S2)', () => {
  test('the time of a suspension counts, and the coarse clock\'s granularity does not', () => {
    const time = { monotonic: 1000, boot: 71_230 };
    const clock = new Clock({ monotonic: () => time.monotonic, boot: () => time.boot });
    const start = clock.now();
    Object.assign(time, { monotonic: 1100, boot: 71_340 });
    assert.equal(clock.now() - start, 100);
    Object.assign(time, { monotonic: 1200, boot: 131_430 });
    assert.equal(clock.now() - start, 60_200);
    Object.assign(time, { monotonic: 1300, boot: 131_525 });
    assert.equal(clock.now() - start, 60_300, 'never back');
  });

  test('the margin is a twentieth of the TTL, and at least 100 ms', () => {
    assert.equal(lostAt(500, 10_000), 500 + 10_000 - 500);
    assert.equal(lostAt(0, 1_000), 900);
  });
});

suite('scopes', () => {
  test('a disposed scope leaves no listener and no timer', () => {
    const parent = new Lifetime();
    const { signal } = new AbortController();
    const before = process.getActiveResourcesInfo().length;
    const scope = new Scope('x', { signal, timeoutMs: 10_000 }, parent);
    assert.equal(parent.size, 1);
    assert.equal(process.getActiveResourcesInfo().length, before + 1);
    scope[Symbol.dispose]();
    assert.equal(parent.size, 0);
    assert.equal(process.getActiveResourcesInfo().length, before);
  });
});

test('a time to wait is a number above 0', () => {
  for (const timeoutMs of [NaN, 0, -1, -Infinity, '5', null]) {
    const options = { timeoutMs } as { timeoutMs: number };
    assert.throws(() => new Scope('x', options), isInvalid(/timeoutMs/), String(timeoutMs));
    if (timeoutMs !== null) assert.throws(() => new Client({ endpoints: ['a:1'], ...options }), isInvalid(/timeoutMs/), String(timeoutMs));
  }
  for (const timeoutMs of [0.1, Infinity, undefined]) new Scope('x', { timeoutMs })[Symbol.dispose]();
});

test('half of a surrogate pair is no text', () => {
  for (const half of ['a\ud800', '\udc00a', '\ud800\ud800']) assert.throws(() => toBuffer(half), isInvalid(/surrogate/));
  assert.equal(toBuffer('\ud83d\ude00').length, 4);
});

test('the end of a prefix', () => {
  assert.deepEqual([...afterPrefix(Buffer.from('ab'))], [0x61, 0x63]);
  assert.deepEqual([...afterPrefix(Buffer.from([0x61, 0xff]))], [0x62]);
  assert.deepEqual([...afterPrefix(Buffer.from([0xff]))], [0]);
});

suite('logins (C6)', () => {
  test('a wrong password is not tried often', async () => {
    let attempts = 0;
    const login = new Login(() => {
      attempts += 1;
      return Promise.reject(new ConclaveError('api', 'no', { apiName: 'AuthFailed' }));
    });
    using scope = new Scope('x', {});
    const start = performance.now();
    for (let call = 0; call < 50; call += 1) {
      await assert.rejects(login.token(scope), (error) => isConclaveError(error, 'login'));
    }
    // The pauses are 100 ms and twice as long each time, and the machine may be slow.
    const pausesMs = 100 * (2 ** (attempts - 1) - 1);
    assert.ok(pausesMs <= performance.now() - start, `${attempts} attempts`);
  });

  test('calls share a login, and a late refusal does not end the next token', async () => {
    let logins = 0;
    const login = new Login(() => Promise.resolve(`token ${(logins += 1)}`));
    using scope = new Scope('x', {});
    assert.deepEqual(await Promise.all([login.token(scope), login.token(scope)]), ['token 1', 'token 1']);
    login.forget('token 1');
    assert.equal(await login.token(scope), 'token 2');
    login.forget('token 1');
    assert.equal(await login.token(scope), 'token 2');
  });
});
