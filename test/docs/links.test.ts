import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { expect } from 'chai';
import { anchorsOf, type Page, proseOf, readPages } from './pages.js';

/** Where links go that do not leave the documentation. */
function linksOf({ file, text }: Page): { readonly link: string; readonly target: string }[] {
  const links = [...proseOf(text).matchAll(/!?\[[^\]]*\]\(([^)\s]+)\)|<img[^>]*\bsrc="([^"]+)"/g)];
  return links
    .map(([, link, image]) => link ?? image ?? '')
    .filter((link) => !/^[a-z]+:/.test(link))
    .map((link) => ({ link, target: link.startsWith('#') ? file + link : inFolderOf(file, link) }));
}

function inFolderOf(file: string, link: string): string {
  return join(dirname(file), link).replaceAll('\\', '/');
}

describe('the links of the documentation', () => {
  let pages: Page[];

  before(async () => {
    pages = await readPages();
  });

  it('lead to files and headings that are there', () => {
    const anchors = new Map(pages.map(({ file, text }) => [file, anchorsOf(text)]));
    const dead = pages.flatMap((page) =>
      linksOf(page)
        .filter(({ target }) => {
          const [file = '', anchor] = target.split('#');
          if (!existsSync(file)) return true;
          return anchor !== undefined && !anchors.get(file)?.has(anchor);
        })
        .map(({ link }) => `${page.file}: ${link}`),
    );
    expect(dead).to.deep.equal([]);
    expect(pages.flatMap(linksOf).length).to.be.greaterThan(40);
  });

  it('use https wherever they leave it', () => {
    const plain = pages.flatMap(({ file, text }) =>
      [...proseOf(text).matchAll(/\]\((http:[^)]*)\)/g)].map(([, link]) => `${file}: ${link}`),
    );
    expect(plain).to.deep.equal([]);
  });

  it('reach every page from the README, or from a page that it links', () => {
    const found = new Set(['README.md']);
    for (const file of found) {
      const page = pages.find((each) => each.file === file);
      for (const { target } of page ? linksOf(page) : []) found.add(target.split('#')[0] ?? '');
    }
    const lost = pages.map(({ file }) => file).filter((file) => !found.has(file));
    expect(lost).to.deep.equal([]);
  });

  it('reach every page of docs/ from the menu of the site', async () => {
    const menu = await readFile('docs/site/menu.json', 'utf8');
    const missing = pages
      .filter(({ file }) => file.startsWith('docs/'))
      .map(({ file }) => file.replace(/^docs/, '').replace(/(?:\/README)?\.md$/, ''))
      .filter((place) => !new RegExp(`"link": "${place}/?"`).test(menu));
    expect(missing).to.deep.equal([]);
  });
});
