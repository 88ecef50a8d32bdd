import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import type { Server } from 'node:http';
import { expect } from 'chai';
import type { Browser, Page } from 'playwright-core';
import { launchChromium, needsChromium } from '../chromium/chromium.js';
import { serveFolder } from '../support/static-server.js';

const FOLDER = 'docs/site/dist';
const WIDTHS = { desktop: 1280, phone: 390 };
/** Where pictures of the pages go, for people to look at. */
const PICTURES = process.env.SITE_PICTURES;

interface Link {
  readonly from: string;
  readonly to: URL;
}

describe('the site', function () {
  this.timeout(180_000);
  let browser: Browser;
  let server: Server;
  let url: string;
  let names: string[];

  before(async function () {
    needsChromium(this);
    if (!existsSync(FOLDER)) throw new Error('the site is not built: npm run docs:build');
    const files = await readdir(FOLDER, { recursive: true });
    names = files.filter((name) => name.endsWith('.html') && name !== '404.html').sort();
    ({ server, url } = await serveFolder(FOLDER));
    browser = await launchChromium();
  });

  after(async () => {
    await browser?.close();
    server?.close();
  });

  /** A page that notes what goes wrong with it. */
  async function openPage(width: number): Promise<{ page: Page; troubles: string[] }> {
    const context = await browser.newContext({ viewport: { width, height: 900 } });
    const page = await context.newPage();
    const troubles: string[] = [];
    page.on('pageerror', (error) => troubles.push(`${page.url()}: ${error.message}`));
    page.on('console', (message) => {
      if (message.type() === 'error') troubles.push(`${page.url()}: ${message.text()}`);
    });
    page.on('response', (response) => {
      if (response.status() >= 400) troubles.push(`${response.url()}: ${response.status()}`);
    });
    page.on('request', (request) => {
      if (!/^(?:data|blob):/.test(request.url()) && !request.url().startsWith(url)) {
        troubles.push(`${page.url()} asks for ${request.url()}`);
      }
    });
    return { page, troubles };
  }

  for (const [device, width] of Object.entries(WIDTHS)) {
    it(`shows every page on a ${device} without an error, and without scrolling sideways`, async () => {
      const { page, troubles } = await openPage(width);
      for (const name of names) {
        await page.goto(url + name);
        await page.locator('h1').first().waitFor();
        const overhang = await page.evaluate(
          'document.scrollingElement.scrollWidth - document.documentElement.clientWidth',
        );
        if (Number(overhang) > 0) troubles.push(`${name} is ${overhang} pixels too wide`);
        if (PICTURES !== undefined) {
          const file = `${PICTURES}/${device}-${name.replaceAll('/', '-')}.png`;
          await page.screenshot({ path: file, fullPage: true });
        }
      }
      await page.context().close();
      expect(troubles).to.deep.equal([]);
      expect(names).to.have.length.greaterThan(25);
    });
  }

  it('has a target for every link within it', async () => {
    const ids = new Map<string, Set<string>>();
    const links: Link[] = [];
    for (const name of names) {
      const html = await readFile(`${FOLDER}/${name}`, 'utf8');
      const found = html.matchAll(/\bid="([^"]+)"/g);
      ids.set(`/${name}`, new Set(Array.from(found, ([, id = '']) => id)));
      for (const [, href = ''] of html.matchAll(/<a\b[^>]*\bhref="([^"]+)"/g)) {
        const to = new URL(href.replaceAll('&amp;', '&'), url + name);
        if (to.href.startsWith(url)) links.push({ from: name, to });
      }
    }
    const dead = links.filter(({ to }) => {
      const path = to.pathname.endsWith('/') ? `${to.pathname}index.html` : to.pathname;
      if (!path.endsWith('.html')) return !existsSync(FOLDER + path);
      const hash = decodeURIComponent(to.hash.slice(1));
      return !(ids.get(path)?.has(hash) ?? false) && !(hash === '' && ids.has(path));
    });
    expect(dead.map(({ from, to }) => `${from}: ${to.pathname}${to.hash}`)).to.deep.equal([]);
    expect(links.length).to.be.greaterThan(500);
  });

  it('finds what is searched for', async () => {
    const { page, troubles } = await openPage(WIDTHS.desktop);
    await page.goto(`${url}getting-started.html`);
    // A click counts only from when the page has come to life.
    await page.waitForFunction(`{
      document.querySelector('.DocSearch-Button').click();
      document.querySelector('#localsearch-input') !== null
    }`);
    await page.locator('#localsearch-input').fill('Kerberos ticket');
    await page.locator('.VPLocalSearchBox .result').first().waitFor();
    await page.keyboard.press('Enter');
    await page.waitForURL(/authentication|cli/);
    expect(troubles).to.deep.equal([]);
    await page.context().close();
  });

  it('is dark where the reader wants it', async () => {
    const context = await browser.newContext({ colorScheme: 'dark' });
    const page = await context.newPage();
    const background = () => page.evaluate('getComputedStyle(document.body).backgroundColor');
    await page.goto(`${url}getting-started.html`);
    const dark = await background();
    await page.locator('.VPSwitchAppearance').first().click();
    await page.waitForFunction('!document.documentElement.classList.contains("dark")');
    expect(await background()).to.not.equal(dark);
    await context.close();
  });
});
