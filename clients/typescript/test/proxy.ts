import { type Server, type Socket, connect, createServer } from 'node:net';

/** A TCP proxy before a member, which can fail as a network does. */
export class Proxy implements AsyncDisposable {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #target: number;
  #swallowsRequests = false;
  #swallowsAnswers = false;
  /** Connections that were accepted. */
  accepted = 0;

  private constructor(server: Server, target: number) {
    this.#server = server;
    this.#target = target;
    server.on('connection', (socket) => this.#accept(socket));
  }

  static async to(url: string): Promise<Proxy> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return new Proxy(server, Number(new URL(url).port));
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as { port: number }).port}`;
  }

  #accept(client: Socket): void {
    this.accepted += 1;
    const server = connect(this.#target, '127.0.0.1');
    for (const socket of [client, server]) {
      this.#sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => {
        this.#sockets.delete(socket);
        client.destroy();
        server.destroy();
      });
    }
    client.on('data', (bytes) => this.#swallowsRequests || server.write(bytes));
    server.on('data', (bytes) => this.#swallowsAnswers || client.write(bytes));
  }

  /** Nothing gets through in either direction, and nobody notices. */
  silence(): void {
    this.#swallowsRequests = true;
    this.#swallowsAnswers = true;
  }

  /** Requests reach the server, answers are lost. */
  loseAnswers(): void {
    this.#swallowsAnswers = true;
  }

  /** Ends what a connection that lost bytes cannot repair, and lets new ones through. */
  heal(): void {
    this.#swallowsRequests = false;
    this.#swallowsAnswers = false;
    this.cut();
  }

  /** Breaks all connections. */
  cut(): void {
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cut();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
