import { type Server, type Socket, connect, createServer } from 'node:net';

interface Connection {
  holdsFrom: (bytes: Buffer) => boolean;
  readonly cut: () => void;
  isHeld: boolean;
}

/** A TCP proxy before a member, which can fail as a network does. */
export class Proxy implements AsyncDisposable {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #target: number;
  #swallowsRequests = false;
  #swallowsAnswers = false;
  #cutsAt: (bytes: Buffer) => boolean = () => false;
  #holdsNewFrom: (bytes: Buffer) => boolean = () => false;
  readonly #connections = new Set<Connection>();
  /** Requests of the held connections, in their order. */
  readonly #waiting: (() => void)[] = [];
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
    const cut = () => {
      client.resetAndDestroy();
      server.resetAndDestroy();
    };
    const connection: Connection = { holdsFrom: this.#holdsNewFrom, isHeld: false, cut };
    this.#connections.add(connection);
    for (const socket of [client, server]) {
      this.#sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => {
        this.#sockets.delete(socket);
        this.#connections.delete(connection);
        client.destroy();
        // Held requests are served although the client has gone.
        if (!connection.isHeld) server.destroy();
      });
    }
    client.on('data', (bytes) => {
      if (this.#swallowsRequests) return;
      if (this.#cutsAt(bytes)) {
        this.#cutsAt = () => false;
        connection.cut();
        return;
      }
      connection.isHeld ||= connection.holdsFrom(bytes);
      if (connection.isHeld) this.#waiting.push(() => server.write(bytes));
      else server.write(bytes);
    });
    server.on('data', (bytes) => this.#swallowsAnswers || client.write(bytes));
  }

  /** The connection of the first request for which this is true breaks, and the request is lost. */
  cutAt(isIt: (bytes: Buffer) => boolean): void {
    this.#cutsAt = isIt;
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

  /** The present connections hang from the first request on for which this is true. New ones do not. */
  hold(from: (bytes: Buffer) => boolean = () => true): void {
    for (const connection of this.#connections) connection.holdsFrom = from;
  }

  /** The same for the new ones, too. */
  holdAll(from: (bytes: Buffer) => boolean): void {
    this.hold(from);
    this.#holdsNewFrom = from;
  }

  /** Lets what has waited through, as packets that come one after the other. */
  async deliver(): Promise<void> {
    for (let pass = this.#waiting.shift(); pass !== undefined; pass = this.#waiting.shift()) {
      pass();
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
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
