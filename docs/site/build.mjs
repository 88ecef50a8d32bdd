// Gathers the pages of the site in `pages`: the documents of the repository with links that fit, the
// examples, and the API from the comments in the code. VitePress makes the site of them.
import { cp, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { Application } from 'typedoc';

const site = import.meta.dirname;
const root = path.resolve(site, '../..');
const pages = path.join(site, 'pages');

/** Where a file of the repository is on the site; files that are not are left out of links. */
async function placesOf() {
  const documents = (await readdir(path.join(root, 'docs'))).filter((name) =>
    /\.(md|png|svg|json)$/.test(name),
  );
  const charts = await readdir(path.join(root, 'docs/benchmarks'));
  const examples = await examplePrograms();
  const reports = await readdir(path.join(root, 'api'));
  return new Map([
    ['README.md', 'index.md'],
    ['CONTRIBUTING.md', 'contributing.md'],
    ['SECURITY.md', 'security-policy.md'],
    ['CHANGELOG.md', 'changelog.md'],
    ['docs/site/README.md', 'site.md'],
    ['examples/README.md', 'examples.md'],
    ['examples/electron/README.md', 'examples-electron.md'],
    ...documents.map((name) => [`docs/${name}`, name]),
    ...charts.map((name) => [
      `docs/benchmarks/${name}`,
      `benchmarks/${name === 'README.md' ? 'index.md' : name}`,
    ]),
    ...examples.map((name) => [`examples/${name}`, `examples.md#${anchor(name)}`]),
    ...reports.map((name) => [`api/${name}`, `api/${name}`]),
  ]);
}

/** Their paths below `examples`. */
async function examplePrograms() {
  const names = await readdir(path.join(root, 'examples'));
  return [...names.filter((name) => /\.m?[jt]s$/.test(name)), 'fleet/run.mjs'];
}

function anchor(name) {
  return name.replaceAll(/[./]/g, '-');
}

/** The text of a page with links from its place in the repository turned into links on the site. */
function withLinks(text, file, places) {
  const from = path.posix.dirname(places.get(file));
  return text.replace(/\]\((?!\w+:|#)([^)#\s]+)(#[^)\s]*)?\)/g, (link, target, hash = '') => {
    const place = places.get(path.posix.join(path.posix.dirname(file), target));
    if (place === undefined) throw new Error(`${file}: ${link} leads to nothing on the site`);
    const [page, own] = place.split('#');
    const relative = path.posix.relative(from, page);
    return `](./${relative}${own ? `#${own}` : hash})`;
  });
}

async function writePage(place, text) {
  const file = path.join(pages, place);
  await mkdir(path.dirname(file), { recursive: true });
  await writeFile(file, text);
}

/** The README with a head in place of its title. */
function homePage(text) {
  const [, about = '', rest = ''] = /^# .*\n\n([\s\S]*?)\n\n([\s\S]*)$/.exec(text) ?? [];
  return `---
layout: home
hero:
  name: bits-upload
  text: Uploads to Microsoft BITS servers
  tagline: ${JSON.stringify(about.replaceAll('\n', ' '))}
  actions:
    - { theme: brand, text: Getting started, link: /getting-started }
    - { theme: alt, text: Setting up IIS, link: /iis }
    - { theme: alt, text: Coming from Windows BITS, link: /coming-from }
---

<div class="vp-doc home">

${rest}
</div>
`;
}

async function examplesPage(text) {
  const names = [...text.matchAll(/\]\(\.\/examples\.md#(\S+?)\)/g)].map(([, name]) => name);
  const files = (await examplePrograms()).filter((name) => names.includes(anchor(name)));
  const blocks = await Promise.all(
    files.map(async (name) => {
      const code = await readFile(path.join(root, 'examples', name), 'utf8');
      const language = name.endsWith('.ts') ? 'ts' : 'js';
      return `## ${name} {#${anchor(name)}}\n\n\`\`\`${language}\n${code}\`\`\`\n`;
    }),
  );
  return [text.replaceAll('](./examples.md#', '](#'), ...blocks].join('\n');
}

/** One page for each entry of the package, named as its report in `api/`. */
async function writeApi() {
  const { name, exports } = JSON.parse(await readFile(path.join(root, 'package.json'), 'utf8'));
  const entries = new Map();
  for (const [subpath, target] of Object.entries(exports)) {
    const [declarations] = /dist\/[^"]*\.d\.ts/.exec(JSON.stringify(target)) ?? [];
    if (declarations === undefined) continue;
    const source = declarations.replace(/^dist/, 'src').replace(/\.d\.ts$/, '.ts');
    entries.set(path.join(root, source), path.posix.join(name, subpath));
  }
  const folder = path.join(pages, 'api');
  const app = await Application.bootstrapWithPlugins({
    plugin: ['typedoc-plugin-markdown'],
    entryPoints: [...entries.keys()],
    tsconfig: path.join(root, 'tsconfig.json'),
    outputs: [{ name: 'markdown', path: folder }],
    router: 'module',
    readme: 'none',
    hideBreadcrumbs: true,
    hidePageHeader: true,
    excludePrivate: true,
    excludeExternals: true,
    disableSources: true,
    disableGit: true,
    interfacePropertiesFormat: 'table',
    classPropertiesFormat: 'table',
    typeDeclarationFormat: 'table',
    propertyMembersFormat: 'table',
    parametersFormat: 'list',
    useCodeBlocks: true,
    logLevel: 'Error',
  });
  const project = await app.convert();
  if (project === undefined) throw new Error('the API could not be read');
  for (const module of project.children ?? []) {
    const files = ['.ts', '/index.ts'].map((end) => path.join(root, 'src', module.name + end));
    const entry = entries.get(files[0]) ?? entries.get(files[1]);
    if (entry === undefined) throw new Error(`${module.name} is no entry of the package`);
    module.name = entry.replaceAll('/', '-');
  }
  await app.generateOutputs(project);
  for (const entry of entries.values()) {
    const file = path.join(folder, `${entry.replaceAll('/', '-')}.md`);
    const text = await readFile(file, 'utf8');
    await writeFile(file, text.replace(/^# .*$/m, `# API of ${entry}`));
  }
  await rm(path.join(folder, 'README.md'), { force: true });
}

await rm(pages, { recursive: true, force: true });
const places = await placesOf();
for (const [file, place] of places) {
  if (file.startsWith('api/') || place.includes('#')) continue;
  if (!file.endsWith('.md')) {
    // Pictures go through the build; other files are served as they are.
    const copy = path.join(pages, file.endsWith('.json') ? 'public' : '', place);
    await mkdir(path.dirname(copy), { recursive: true });
    await cp(path.join(root, file), copy);
    continue;
  }
  const text = withLinks(await readFile(path.join(root, file), 'utf8'), file, places);
  if (file === 'README.md') await writePage(place, homePage(text));
  else if (file === 'examples/README.md') await writePage(place, await examplesPage(text));
  else await writePage(place, text);
}
await writeApi();
