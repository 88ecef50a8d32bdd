import { existsSync, readFileSync } from 'node:fs';
import {
  type Browser,
  type BrowserContextOptions,
  type CDPSession,
  chromium,
  type Page,
} from 'playwright-core';
import { Deferred } from '../../src/common/deferred.js';
import type { Loader, StartLoader } from '../support/electron/net.js';

const EXECUTABLE = process.env.CHROMIUM ?? '/usr/bin/chromium';

/** Skips a suite where there is no Chromium; in CI that is a failure. */
export function needsChromium(suite: Mocha.Context): void {
  if (existsSync(EXECUTABLE)) return;
  skip(suite, `There is no Chromium at ${EXECUTABLE}: install one, or name it in CHROMIUM.`);
}

/** Where the example of an Electron app is built. */
export const EXAMPLE = new URL('../../examples/electron/build/', import.meta.url);

/** Skips a suite where the example is not built; in CI that is a failure. */
export function needsExample(suite: Mocha.Context): void {
  if (existsSync(EXAMPLE)) return;
  skip(suite, 'The example is not built: run npm run example:electron.');
}

function skip(suite: Mocha.Context, reason: string): never {
  if (process.env.CI) throw new Error(reason);
  console.log(`    ${reason}`);
  return suite.skip();
}

export function launchChromium(switches: readonly string[] = []): Promise<Browser> {
  // Electron's main process sends to other origins without asking them, and so must the page.
  const open = ['--disable-web-security', '--disable-features=LocalNetworkAccessChecks'];
  const sandbox = process.getuid?.() === 0 ? ['--no-sandbox'] : [];
  return chromium.launch({ executablePath: EXECUTABLE, args: [...open, ...sandbox, ...switches] });
}

type PageEvent =
  | { readonly type: 'head'; readonly status: number; readonly headers: string[] }
  | { readonly type: 'chunk'; readonly body: string }
  | { readonly type: 'progress'; readonly bytes: number }
  | { readonly type: 'end' | 'redirect' | 'failed' };

/** What only the browser's debugger tells of one request. */
interface Witness {
  readonly loader: Loader;
  readonly netError: Deferred<string>;
  readonly redirect: Deferred<Redirect>;
}

interface Redirect {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
}

/**
 * Chromium's network stack, which is Electron's, behind a page.
 *
 * The page sends; the debugger tells what pages are not told: the names of errors, where a redirect
 * leads, and who asks for a password.
 */
export class ChromiumNetwork {
  readonly page: Page;
  readonly #cdp: CDPSession;
  /** By the number of the request, which is the fragment of its URL. */
  readonly #witnesses = new Map<string, Witness>();
  /** The number of a request, by what Chromium calls it. */
  readonly #ids = new Map<string, string>();
  #count = 0;
  #userAgent = '';

  private constructor(page: Page, cdp: CDPSession) {
    this.page = page;
    this.#cdp = cdp;
  }

  static async open(
    browser: Browser,
    options: BrowserContextOptions = {},
  ): Promise<ChromiumNetwork> {
    const context = await browser.newContext(options);
    const page = await context.newPage();
    const network = new ChromiumNetwork(page, await context.newCDPSession(page));
    await page.exposeFunction('tellOfRequest', (id: string, event: PageEvent) =>
      network.#told(id, event),
    );
    await page.addInitScript(readFileSync(new URL('page-request.js', import.meta.url), 'utf8'));
    await page.goto('about:blank');
    await network.#listen();
    return network;
  }

  close(): Promise<void> {
    return this.page.context().close();
  }

  /** As Electron has it: a question for a password goes to the request. */
  async askForPasswords(): Promise<void> {
    const cdp = this.#cdp;
    cdp.on('Fetch.requestPaused', ({ requestId }) => {
      cdp.send('Fetch.continueRequest', { requestId }).catch(() => {});
    });
    cdp.on('Fetch.authRequired', ({ requestId, request, authChallenge }) => {
      const { hostname, port } = new URL(authChallenge.origin);
      const authInfo = {
        isProxy: authChallenge.source === 'Proxy',
        scheme: authChallenge.scheme,
        host: hostname,
        port: Number(port),
        realm: authChallenge.realm,
      };
      const callback = (username?: string, password?: string) => {
        const authChallengeResponse =
          username === undefined || password === undefined
            ? ({ response: 'CancelAuth' } as const)
            : ({ response: 'ProvideCredentials', username, password } as const);
        cdp.send('Fetch.continueWithAuth', { requestId, authChallengeResponse }).catch(() => {});
      };
      const loader = this.#witnesses.get(request.urlFragment ?? '')?.loader;
      if (!loader?.emit('login', authInfo, callback)) callback();
    });
    await cdp.send('Fetch.enable', { handleAuthRequests: true, patterns: [{ urlPattern: '*' }] });
  }

  readonly start: StartLoader = ({ method, url, headers, body, credentials }, loader) => {
    const id = `#${++this.#count}`;
    const netError = new Deferred<string>();
    const redirect = new Deferred<Redirect>();
    this.#witnesses.set(id, { loader, netError, redirect });
    loader.cancel = () => {
      this.#witnesses.delete(id);
      this.page
        .evaluate((given) => Reflect.get(globalThis, 'cancelRequest')(given), id)
        .catch(() => {});
    };
    const { 'User-Agent': userAgent, 'user-agent': given = userAgent ?? '', ...others } = headers;
    void this.#send(id, given, {
      method,
      url: url + id,
      headers: others,
      body: body?.toString('base64'),
      credentials,
    }).catch(() => {});
  };

  async #send(id: string, userAgent: string, request: object): Promise<void> {
    // Pages do not set it; Electron's requests do.
    if (userAgent !== this.#userAgent) {
      this.#userAgent = userAgent;
      await this.#cdp.send('Network.setUserAgentOverride', { userAgent });
    }
    await this.page.evaluate(
      ([given, init]) => Reflect.get(globalThis, 'sendRequest')(given, init),
      [id, request] as const,
    );
  }

  async #listen(): Promise<void> {
    const cdp = this.#cdp;
    // In any order, and before or after the page tells of the redirect.
    const redirects = new Map<string, Redirect>();
    const match = (requestId: string) => {
      const witness = this.#witnesses.get(this.#ids.get(requestId) ?? '');
      const redirect = redirects.get(requestId);
      if (redirect !== undefined) witness?.redirect.resolve(redirect);
    };
    cdp.on('Network.requestWillBeSent', ({ requestId, request }) => {
      if (request.urlFragment) this.#ids.set(requestId, request.urlFragment);
      match(requestId);
    });
    cdp.on('Network.responseReceivedExtraInfo', ({ requestId, statusCode, headers }) => {
      if (statusCode >= 300) redirects.set(requestId, { status: statusCode, headers });
      match(requestId);
    });
    cdp.on('Network.loadingFailed', ({ requestId, errorText }) => {
      this.#witnesses.get(this.#ids.get(requestId) ?? '')?.netError.resolve(errorText);
    });
    // Without buffers of its own, which would take whole answers from the server.
    const buffers = { maxTotalBufferSize: 0, maxResourceBufferSize: 0, maxPostDataSize: 0 };
    await cdp.send('Network.enable', buffers);
  }

  async #told(id: string, event: PageEvent): Promise<void> {
    const witness = this.#witnesses.get(id);
    if (witness === undefined) return;
    const { loader } = witness;
    switch (event.type) {
      case 'head':
        loader.emit('response', event.status, event.headers);
        break;
      case 'progress':
        loader.emit('progress', event.bytes);
        break;
      case 'chunk':
        // The page reads on when this has been taken.
        await new Promise<void>((resume) =>
          loader.emit('data', Buffer.from(event.body, 'base64'), resume),
        );
        break;
      case 'end':
        loader.emit('complete');
        break;
      case 'redirect': {
        const { status, headers } = await witness.redirect.promise;
        const grouped = Object.entries(headers).map(([name, value]) => [
          name.toLowerCase(),
          value.split('\n'),
        ]);
        loader.emit('redirect', status, headers.Location ?? '', Object.fromEntries(grouped));
        break;
      }
      case 'failed':
        loader.emit('error', await witness.netError.promise);
    }
  }
}
