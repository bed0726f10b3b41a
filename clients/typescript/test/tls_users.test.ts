import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { AuthService, Permission_Type } from '../src/api.js';
import { Election, Group, LeaderLatch, Mutex, RwLock, Semaphore, isConclaveError } from '../src/index.js';
import { Cluster, eventually } from './cluster.js';

/** Makes a CA and certificates in a folder. */
function makeCertificates(folder: string): void {
  const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: folder, stdio: 'ignore' });
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'];
  for (const ca of ['ca', 'other-ca']) {
    openssl('req', '-x509', ...key, '-subj', `/CN=${ca}`, '-keyout', `${ca}.key`, '-out', `${ca}.crt`);
  }
  writeFileSync(join(folder, 'names'), 'subjectAltName=IP:127.0.0.1,DNS:localhost\nextendedKeyUsage=serverAuth,clientAuth\n');
  for (const name of ['server', 'client']) {
    openssl('req', ...key, '-subj', `/CN=${name}`, '-keyout', `${name}.key`, '-out', `${name}.csr`);
    const ca = ['-CA', 'ca.crt', '-CAkey', 'ca.key', '-CAcreateserial', '-extfile', 'names', '-days', '2'];
    openssl('x509', '-req', '-in', `${name}.csr`, ...ca, '-out', `${name}.crt`);
  }
}

suite('TLS (C5)', () => {
  test('files are read for every connection, and former ones used while they are broken', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'conclave-tls-'));
    const file = (name: string) => join(folder, name);
    makeCertificates(folder);
    const flags = () => [`--cert-file=${file('server.crt')}`, `--key-file=${file('server.key')}`, `--trusted-ca-file=${file('ca.crt')}`, '--client-cert-auth'];
    await using cluster = await Cluster.start(1, flags, 'https');
    copyFileSync(file('other-ca.crt'), file('trusted.crt'));
    const tls = { caFile: file('trusted.crt'), certFile: file('client.crt'), keyFile: file('client.key') };
    await using client = cluster.client({ tls, timeoutMs: 1000 });
    const [member] = cluster.members;

    // A CA that did not sign the server's certificate.
    await eventually('the reason', async () =>
      client.get('a').then(
        () => assert.fail('the server was trusted'),
        (error: unknown) => String(error).includes('certificate'),
      ),
    );
    copyFileSync(file('ca.crt'), file('trusted.crt'));
    await eventually('the new file is used', () => client.get('a').catch(() => undefined));

    writeFileSync(file('trusted.crt'), 'broken');
    await member?.kill();
    member?.start();
    await eventually('the former file is used', () => client.get('a').catch(() => undefined));

    // Without a certificate the server refuses the client.
    await using nobody = cluster.client({ tls: { caFile: file('ca.crt') }, timeoutMs: 1000 });
    await assert.rejects(nobody.get('a'), (error) => isConclaveError(error, 'unavailable'));
    rmSync(folder, { recursive: true });
  });
});

suite('users (C6)', () => {
  test('a release that the server refuses fails, and can be tried again', async () => {
    await using cluster = await Cluster.start();
    await using root = cluster.client({ user: 'root', password: 'secret' });
    const write = { isWrite: true };
    for (const name of ['root', 'alice']) {
      await root.call(AuthService.userAdd, { name, password: 'secret', options: undefined, hashedPassword: '' }, write);
      await root.call(AuthService.roleAdd, { name: `${name}s` }, write);
      await root.call(AuthService.userGrantRole, { user: name, role: `${name}s` }, write);
    }
    await root.call(AuthService.roleAdd, { name: 'root' }, write);
    await root.call(AuthService.userGrantRole, { user: 'root', role: 'root' }, write);
    const range = { key: Buffer.from('p/'), rangeEnd: Buffer.from('p0') };
    const grant = { name: 'alices', perm: { permType: Permission_Type.READWRITE, ...range } };
    await root.call(AuthService.roleGrantPermission, grant, write);
    await root.call(AuthService.authEnable, {}, write);
    const log: string[] = [];
    await using alice = cluster.client({ user: 'alice', password: 'secret', log: ({ message }) => log.push(message) });
    await using session = await alice.session({ ttlSeconds: 60 });

    const mutex = new Mutex(session, 'p/m');
    const outer = await mutex.lock();
    const lock = await mutex.lock();
    const other = await alice.session({ ttlSeconds: 60 });
    const giveUp = new AbortController();
    const waiting = assert.rejects(new Mutex(other, 'p/m').lock({ signal: giveUp.signal }));
    await eventually('the other one waits', async () => (await Mutex.contenders(root, 'p/m')).length === 2);
    const written = await new RwLock(session, 'p/rw').write();
    const permit = await new Semaphore(session, 'p/s', 1).acquire();
    const leadership = await new Election(session, 'p/e').campaign('a');
    const latch = new LeaderLatch(session, 'p/l', 'a');
    await eventually('the latch leads', () => latch.isLeader);
    const member = await new Group(alice, 'p/g').join(session, 'a');
    const releases = [
      () => written.unlock(),
      () => permit.unlock(),
      () => leadership.resign(),
      () => latch.close(),
      () => member.leave(),
    ];
    await root.call(AuthService.roleRevokePermission, { role: 'alices', ...range }, write);
    await outer.unlock();
    const isDenied = (error: unknown) => isConclaveError(error, 'api') && error.apiName === 'PermissionDenied';
    for (const _ of ['once', 'twice']) {
      for (const release of [() => lock.unlock(), ...releases]) await assert.rejects(release(), isDenied);
    }
    assert.deepEqual([lock.isHeld, written.isHeld, permit.isHeld, leadership.isHeld, latch.isLeader], Array(5).fill(false));
    assert.equal((await root.list({ prefix: 'p/' })).kvs.length, 7);
    await assert.rejects(mutex.lock(), isDenied);
    giveUp.abort();
    await waiting;
    await eventually('what nobody waits for is logged', () => log.some((message) => message.includes('was not deleted')));

    await root.call(AuthService.roleGrantPermission, grant, write);
    await other.close();
    // Whoever locks again has the key, which the former handle must leave alone.
    const again = await mutex.lock();
    await lock.unlock();
    assert.ok(again.isHeld);
    assert.deepEqual(await Mutex.contenders(root, 'p/m'), [again.key]);
    await again.unlock();
    for (const release of releases) await release();
    assert.equal((await root.list({ prefix: 'p/' })).kvs.length, 0);
    assert.equal(session.places.size, 0);
  });

  test('a client logs in, logs in again when its token is refused, and reports a wrong password', async () => {
    await using cluster = await Cluster.start();
    await using root = cluster.client({ user: 'root', password: 'secret' });
    const write = { isWrite: true };
    // Calls need no token until authentication is enabled.
    for (const [name, password] of [['root', 'secret'], ['alice', 'wonderland']] as const) {
      await root.call(AuthService.userAdd, { name, password, options: undefined, hashedPassword: '' }, write);
    }
    for (const role of ['root', 'reader']) await root.call(AuthService.roleAdd, { name: role }, write);
    const readable = { permType: Permission_Type.READWRITE, key: Buffer.from('a'), rangeEnd: Buffer.from('b') };
    await root.call(AuthService.roleGrantPermission, { name: 'reader', perm: readable }, write);
    await root.call(AuthService.userGrantRole, { user: 'root', role: 'root' }, write);
    await root.call(AuthService.userGrantRole, { user: 'alice', role: 'reader' }, write);
    await root.call(AuthService.authEnable, {}, write);

    // The server now asks for a token.
    await root.put('z', '1');
    await using alice = cluster.client({ user: 'alice', password: 'wonderland' });
    await alice.put('a', '1');
    const isDenied = (error: unknown) => isConclaveError(error, 'api') && error.apiName === 'PermissionDenied';
    await assert.rejects(alice.put('z', '1'), isDenied);
    await assert.rejects(alice.watch('z'), isDenied);
    await using watch = await alice.watch('a');

    await using wrong = cluster.client({ user: 'alice', password: 'guess' });
    await assert.rejects(wrong.get('a'), (error) => isConclaveError(error, 'login') && !error.maybe);
    await assert.rejects(wrong.watch('a'), (error) => isConclaveError(error, 'login'));
    await using anonymous = cluster.client();
    await assert.rejects(anonymous.get('a'), (error) => isConclaveError(error, 'api') && error.apiName === 'UserEmpty');

    // Simple tokens do not outlive the server. Sessions and watches get new ones, too.
    await using session = await alice.session({ ttlSeconds: 60 });
    const [member] = cluster.members;
    await member?.kill();
    member?.start();
    await eventually('a write with a new token', () => alice.put('a', '2').catch(() => undefined));
    const batch = await watch.next();
    assert.equal(batch?.events[0]?.value.toString(), '2');
    // Its stream broke, so it is confirmed only by a stream with a new token.
    await eventually('a confirmed session', () => session.state === 'CONNECTED' || session.state === 'RECONNECTED', 30_000);
  });
});
