import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client, type ClientOptions } from '../src/index.js';

/** The server that the tests start. */
const BINARY = process.env.CONCLAVE_BIN ?? 'conclave';
const READY_MS = 30_000;

/** Ports that were free a moment ago, all different. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer();
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      return server;
    }),
  );
  const ports = servers.map((server) => (server.address() as { port: number }).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

/** A member: a real process. */
export class Member {
  #process: ChildProcess | undefined;

  constructor(
    readonly url: string,
    private readonly args: string[],
  ) {}

  start(): void {
    const child = spawn(BINARY, this.args, { stdio: ['ignore', 'ignore', process.env.CONCLAVE_LOG ? 'inherit' : 'ignore'] });
    child.on('error', (error) => {
      throw new Error(`${BINARY} cannot be started; set CONCLAVE_BIN: ${error.message}`);
    });
    this.#process = child;
  }

  /** Stops the process, as a machine that hangs. */
  pause(): void {
    this.#process?.kill('SIGSTOP');
  }

  resume(): void {
    this.#process?.kill('SIGCONT');
  }

  async kill(): Promise<void> {
    const child = this.#process;
    this.#process = undefined;
    if (child?.exitCode !== null) return;
    const exited = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await exited;
  }
}

/** A cluster of real members on free ports. */
export class Cluster implements AsyncDisposable {
  readonly #folder: string;

  private constructor(
    readonly members: Member[],
    folder: string,
  ) {
    this.#folder = folder;
  }

  /** Starts members and waits until they answer. */
  static async start(size = 1, flags: (port: number) => string[] = () => [], scheme = 'http'): Promise<Cluster> {
    const folder = mkdtempSync(join(tmpdir(), 'conclave-client-'));
    const ports = await freePorts(2 * size);
    const names = Array.from({ length: size }, (_, index) => `m${index}`);
    const peerUrl = (index: number) => `http://127.0.0.1:${ports[size + index]}`;
    const initial = names.map((name, index) => `${name}=${peerUrl(index)}`).join(',');
    const members = names.map((name, index) => {
      const url = `${scheme}://127.0.0.1:${ports[index]}`;
      return new Member(url, [
        `--name=${name}`,
        `--data-dir=${join(folder, name)}`,
        `--listen-client-urls=${url}`,
        `--advertise-client-urls=${url}`,
        `--listen-peer-urls=${peerUrl(index)}`,
        `--initial-advertise-peer-urls=${peerUrl(index)}`,
        `--initial-cluster=${initial}`,
        '--bcrypt-cost=4',
        ...flags(ports[index] as number),
      ]);
    });
    for (const member of members) member.start();
    const cluster = new Cluster(members, folder);
    if (scheme === 'http') await cluster.ready();
    return cluster;
  }

  get endpoints(): string[] {
    return this.members.map((member) => member.url);
  }

  /** Waits until every member answers a read. */
  async ready(): Promise<void> {
    for (const endpoint of this.endpoints) {
      await using client = new Client({ endpoints: [endpoint], timeoutMs: READY_MS });
      await client.get('ready');
    }
  }

  client(options: Partial<ClientOptions> = {}): Client {
    return new Client({ endpoints: this.endpoints, ...options });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.members.map((member) => member.kill()));
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** Waits for a condition. Fails after the time. */
export async function eventually<T>(what: string, condition: () => T | Promise<T>, timeoutMs = 10_000): Promise<NonNullable<T>> {
  const end = performance.now() + timeoutMs;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (performance.now() > end) throw new Error(`not within ${timeoutMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
