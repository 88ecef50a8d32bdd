import { readFileSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import type { Browser, Page } from 'playwright-core';
import { createFileStore } from '../../src/index.js';
import { type BitsServer, createBitsServer } from '../../src/testing/index.js';
import { useTempDir } from '../support/files.js';
import { serveFolder } from '../support/static-server.js';
import { pattern } from '../transport/support.js';
import { EXAMPLE, launchChromium, needsChromium, needsExample } from './chromium.js';

type Handlers = Readonly<Record<string, (given: unknown) => unknown>>;

/** What the main process of the example is made of; all but Electron. */
interface MainProcess {
  readonly handlers: Handlers;
  readonly uploads: {
    on(event: 'change', listener: (list: unknown) => void): void;
    list(): readonly { readonly status: string; readonly bytesSent: number }[];
    readonly pausedIds: string[];
    restore(pausedIds: readonly string[]): Promise<void>;
    sleep(): Promise<void>;
    wake(): void;
  };
  readonly settings: { readonly pausedIds: string[]; savePaused(ids: string[]): Promise<void> };
}

/** Encrypts as little as a test needs. */
const safe = {
  isEncryptionAvailable: () => true,
  encryptString: (text: string) => Buffer.from([...text].reverse().join('')),
  decryptString: (encrypted: Buffer) => [...encrypted.toString()].reverse().join(''),
};

describe("The example's window", () => {
  let browser: Browser;
  let pages: Awaited<ReturnType<typeof serveFolder>>;
  const folder = useTempDir();
  let server: BitsServer;
  let main: MainProcess;
  let page: Page;
  const violations: string[] = [];

  before(async function () {
    needsChromium(this);
    needsExample(this);
    browser = await launchChromium();
    pages = await serveFolder(new URL('renderer/', EXAMPLE));
  });

  after(async () => {
    await browser?.close();
    pages?.server.close();
  });

  beforeEach(async () => {
    server = await createBitsServer();
    main = await startMain();
    page = await openWindow();
  });

  afterEach(async () => {
    await page.close();
    await main.uploads.sleep();
    await server.close();
    expect(violations.splice(0)).to.deep.equal([]);
  });

  async function startMain(): Promise<MainProcess> {
    const load = (name: string) => import(new URL(name, EXAMPLE).href);
    const [{ Uploads }, { Settings }, { handlersFor }] = await Promise.all([
      load('uploads.js'),
      load('settings.js'),
      load('handlers.js'),
    ]);
    const settings = new Settings(join(folder.path, 'settings.json'), safe);
    const store = createFileStore({ directory: join(folder.path, 'jobs') });
    const uploads = new Uploads(store, () => ({
      auth: settings.credentials && { credentials: settings.credentials },
    }));
    const handlers = handlersFor(uploads, settings, async () => [await file('chosen.bin')]);
    return { uploads, settings, handlers };
  }

  /** The page as the app serves it, with the bridge over the debugger in place of the preload. */
  async function openWindow(): Promise<Page> {
    const opened = await browser.newPage({ viewport: { width: 760, height: 420 } });
    // A step that fails is told before the test as a whole is.
    opened.setDefaultTimeout(20_000);
    const handlers = main.handlers;
    await opened.exposeFunction('invoke', (channel: string, given: unknown) => {
      // Electron's preload knows the paths of files.
      const isNames = channel === 'uploads:add' && Array.isArray(given);
      return handlers[channel]?.(isNames ? given.map((name) => join(folder.path, name)) : given);
    });
    await opened.addInitScript(readFileSync(new URL('example-bridge.js', import.meta.url), 'utf8'));
    main.uploads.on('change', (list) => {
      opened.evaluate((views) => Reflect.get(globalThis, 'changed')?.(views), list).catch(() => {});
    });
    opened.on('console', (message) => {
      if (message.type() === 'error') violations.push(message.text());
    });
    opened.on('pageerror', (error) => violations.push(error.message));
    await opened.goto(`${pages.url}index.html`);
    return opened;
  }

  async function file(name: string, bytes = 50_000): Promise<string> {
    const path = join(folder.path, name);
    await writeFile(path, pattern(bytes));
    return path;
  }

  async function setServer(): Promise<void> {
    await page.getByRole('button', { name: 'Settings' }).click();
    await page.getByLabel('Folder on the server').fill(server.url);
    await page.getByRole('button', { name: 'Save' }).click();
    await page.getByRole('dialog').waitFor({ state: 'hidden' });
  }

  async function drop(...names: string[]): Promise<void> {
    const transfer = await page.evaluateHandle(`(() => {
      const made = new DataTransfer();
      for (const name of ${JSON.stringify(names)}) made.items.add(new File(['x'], name));
      return made;
    })()`);
    await page.dispatchEvent('body', 'drop', { dataTransfer: transfer });
  }

  const row = (name: string) => page.getByRole('listitem').filter({ hasText: name });
  const untilStatus = (name: string, status: string) =>
    page.locator(`li[data-status=${status}]`).filter({ hasText: name }).waitFor();

  it('uploads files that are dropped on it', async () => {
    await setServer();
    await file('a.bin');
    await file('b.bin', 0);
    await drop('a.bin', 'b.bin');
    await untilStatus('a.bin', 'done');
    await untilStatus('b.bin', 'done');
    expect(await readFile(join(server.root, 'a.bin'))).to.deep.equal(pattern(50_000));
    expect(await row('a.bin').locator('progress').getAttribute('value')).to.equal('1');
  });

  it('uploads files that are chosen in a dialog, and takes them off the list', async () => {
    await setServer();
    await page.getByRole('button', { name: 'Add files' }).click();
    await untilStatus('chosen.bin', 'done');
    await row('chosen.bin').getByRole('button', { name: 'Remove' }).click();
    await page.getByText('Drop files here').waitFor();
  });

  it('pauses, resumes and cancels', async () => {
    server.addFault({ on: 'fragment', do: 'hang', times: 2 });
    await setServer();
    await file('a.bin');
    await drop('a.bin');
    await server.waitForRequest('fragment', 1);
    await row('a.bin').getByRole('button', { name: 'Pause' }).click();
    await untilStatus('a.bin', 'paused');
    await row('a.bin').getByRole('button', { name: 'Resume' }).click();
    await server.waitForRequest('fragment', 2);
    await row('a.bin').getByRole('button', { name: 'Cancel' }).click();
    await untilStatus('a.bin', 'cancelled');
    expect(server.log.at(-1)?.packet).to.equal('cancel-session');
  });

  it('tells why an upload failed, and tries it again with other settings', async () => {
    await setServer();
    await file('a.bin');
    server.addFault({ on: 'create-session', do: { status: 403 } });
    await drop('a.bin');
    await untilStatus('a.bin', 'failed');
    expect(await row('a.bin').locator('.details').innerText()).to.include('403');
    await row('a.bin').getByRole('button', { name: 'Resume' }).click();
    await untilStatus('a.bin', 'done');
  });

  it('asks for the server first, and refuses what is no URL', async () => {
    await file('a.bin');
    await drop('a.bin');
    await page.getByRole('alert').filter({ hasText: 'Set the server first' }).waitFor();
    await page.getByRole('button', { name: 'Settings' }).click();
    await page.getByLabel('Folder on the server').fill('ftp://example.com/');
    await page.getByRole('button', { name: 'Save' }).click();
    await page.getByRole('alert').filter({ hasText: 'http or https' }).waitFor();
  });

  it('keeps the password encrypted, and shows it to nobody', async () => {
    await page.getByRole('button', { name: 'Settings' }).click();
    await page.getByLabel('Folder on the server').fill(server.url);
    await page.getByLabel('User name').fill('user');
    await page.getByLabel('Password').fill('hunter2');
    await page.getByRole('button', { name: 'Save' }).click();
    await page.getByRole('dialog').waitFor({ state: 'hidden' });
    expect(await readFile(join(folder.path, 'settings.json'), 'utf8')).not.to.include('hunter2');
    await page.getByRole('button', { name: 'Settings' }).click();
    expect(await page.getByLabel('Password').inputValue()).to.equal('');
    expect((await startMain()).settings).to.have.nested.property('credentials.password', 'hunter2');
  });

  it('continues after the app has quit, except what the user paused', async () => {
    server.addFault({ on: 'fragment', do: 'hang', times: 2 });
    await setServer();
    await file('a.bin');
    await file('b.bin');
    await drop('a.bin', 'b.bin');
    await server.waitForRequest('fragment', 2);
    await row('b.bin').getByRole('button', { name: 'Pause' }).click();
    await untilStatus('b.bin', 'paused');
    const { pausedIds } = main.uploads;
    await Promise.all([main.uploads.sleep(), main.settings.savePaused(pausedIds)]);
    await page.close();

    main = await startMain();
    page = await openWindow();
    await main.uploads.restore(main.settings.pausedIds);
    await untilStatus('a.bin', 'done');
    await untilStatus('b.bin', 'paused');
    await row('b.bin').getByRole('button', { name: 'Resume' }).click();
    await untilStatus('b.bin', 'done');
    expect(await readFile(join(server.root, 'b.bin'))).to.deep.equal(pattern(50_000));
  });

  it('continues after the machine has slept', async () => {
    server.addFault({ on: 'fragment', do: 'hang' });
    await setServer();
    await file('a.bin');
    await drop('a.bin');
    await server.waitForRequest('fragment', 1);
    const asleep = main.uploads.sleep();
    main.uploads.wake();
    await asleep;
    await untilStatus('a.bin', 'done');
  });

  it('runs no script but its own', async () => {
    const before = violations.length;
    const ran = await page.evaluate(`(() => {
      const script = document.createElement('script');
      script.textContent = 'globalThis.wasRun = true';
      document.body.append(script);
      return globalThis.wasRun;
    })()`);
    expect(ran).to.equal(undefined);
    expect(violations.splice(before).join()).to.include('Content Security Policy');
  });

  it('shows uploads in each state, as in the picture of the documentation', async () => {
    await setServer();
    await file('report.pdf', 1_480_000);
    await drop('report.pdf');
    await untilStatus('report.pdf', 'done');
    await file('notes.txt');
    server.addFault({ on: 'create-session', do: { status: 403 } });
    await drop('notes.txt');
    await untilStatus('notes.txt', 'failed');
    server.addFault({ on: 'fragment', do: { bytesPerSecond: 1_000_000 }, times: Infinity });
    await file('disk.vhdx', 20_000_000);
    await file('scan.tiff', 9_000_000);
    await drop('disk.vhdx', 'scan.tiff');
    await row('disk.vhdx').getByText('left').waitFor();
    await row('scan.tiff').getByRole('button', { name: 'Pause' }).click();
    await untilStatus('scan.tiff', 'paused');
    expect(await page.locator('li').count()).to.equal(4);
    const path = process.env.EXAMPLE_PICTURE;
    if (path !== undefined) await page.screenshot({ path });
  });
});
