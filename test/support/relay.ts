import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

/** A network between clients and a server on loopback, which fails as networks do. */
export class Relay {
  readonly port: number;
  readonly #server: Server;
  readonly #silenced = new Set<Socket>();
  #target: number;
  #isCut = false;
  #sockets = new Set<Socket>();
  #onRequest: ((data: Buffer, client: Socket) => void) | undefined;
  #onAnswer: ((client: Socket, data: Buffer) => void) | undefined;

  private constructor(server: Server, target: number) {
    this.#server = server;
    this.#target = target;
    this.port = (server.address() as AddressInfo).port;
    server.on('connection', (client) => this.#relay(client));
  }

  /** Ends after the suite or the test that is running. */
  static async to(port: number): Promise<Relay> {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new Relay(server, port);
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`;
  }

  /** New connections lead to another server, as after a failover. */
  leadTo(port: number): void {
    this.#target = port;
  }

  /** Nothing arrives any more on the connections that there are, and nobody hears of it. */
  silence(): void {
    for (const socket of this.#sockets) this.#silenced.add(socket);
  }

  /** Resolves when a client sent the text, from which on nothing arrives on any connection. */
  cutAt(text: string): Promise<void> {
    return new Promise((resolve) => {
      this.#onRequest = (data) => {
        if (!data.includes(text)) return;
        this.#isCut = true;
        resolve();
      };
    });
  }

  /** Breaks the connection within the answer to what holds the text; once. */
  breakAfter(text: string, { answeredBytes = 0 } = {}): Promise<void> {
    return new Promise((resolve) => {
      let asking: Socket | undefined;
      this.#onRequest = (data, client) => {
        if (data.includes(text)) asking = client;
      };
      this.#onAnswer = (client, data) => {
        if (client !== asking) return;
        this.#onRequest = undefined;
        this.#onAnswer = undefined;
        this.#silenced.add(client);
        client.end(data.subarray(0, answeredBytes));
        resolve();
      };
    });
  }

  close(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  #relay(client: Socket): void {
    const server = connect(this.#target, '127.0.0.1');
    const isOpen = (): boolean => !this.#isCut && !this.#silenced.has(client);
    client.on('data', (data) => {
      this.#onRequest?.(data, client);
      if (isOpen()) server.write(data);
    });
    server.on('data', (data) => {
      this.#onAnswer?.(client, data);
      if (isOpen()) client.write(data);
    });
    for (const [socket, other] of [
      [client, server],
      [server, client],
    ] as const) {
      this.#sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => {
        this.#sockets.delete(socket);
        if (isOpen() || socket === client) other.destroy();
      });
    }
  }
}
