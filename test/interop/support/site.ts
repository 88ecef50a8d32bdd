import { type BitsServer, createBitsServer } from '../../../src/testing/index.js';
import { freePort } from './ports.js';
import { type ServerCommand, ServerProcess } from './process.js';
import { type Relay, startRelay } from './relay.js';
import { Scratch } from './scratch.js';
import { Door, REPLY } from './uploads.js';

/** Real servers around a reference server. */
export class Site {
  readonly scratch: Scratch;
  readonly backend: BitsServer;
  readonly #processes: ServerProcess[] = [];
  readonly #relays: Relay[] = [];

  private constructor(scratch: Scratch, backend: BitsServer) {
    this.scratch = scratch;
    this.backend = backend;
  }

  static async open(): Promise<Site> {
    const backend = await createBitsServer({
      // A proxy may name its server as it likes.
      allowedHosts: 'any',
      sink: 'sha256',
      reply: ({ url }) => (url.includes('/with-reply/') ? REPLY : undefined),
    });
    return new Site(await Scratch.create(), backend);
  }

  /** A port for a server that is about to start. */
  port(): Promise<number> {
    return freePort();
  }

  async start(command: ServerCommand): Promise<ServerProcess> {
    const server = await ServerProcess.start(command);
    this.#processes.push(server);
    return server;
  }

  /** Another way to a port of this machine. */
  async door(port: number): Promise<Door> {
    const relay = await startRelay(port);
    this.#relays.push(relay);
    return new Door(relay, this.backend);
  }

  async logs(): Promise<string> {
    return (await Promise.all(this.#processes.map((server) => server.logs()))).join('\n');
  }

  async close(): Promise<void> {
    await Promise.all(this.#relays.map((relay) => relay.close()));
    await Promise.all(this.#processes.map((server) => server.stop()));
    await this.backend.close();
    await this.scratch.remove();
  }
}

/** A site that is up during the suite that calls this; its logs are shown when a test fails. */
export function siteForSuite(setUp: (site: Site) => Promise<void>): () => Site {
  let site: Site | undefined;
  const get = () => {
    if (site === undefined) throw new Error('the site is not up');
    return site;
  };
  before('start the servers', async () => {
    site = await Site.open();
    await setUp(site);
  });
  afterEach('show the logs of a failure', async function () {
    if (this.currentTest?.state === 'failed') console.error(await get().logs());
  });
  after('stop the servers', () => site?.close());
  return get;
}
