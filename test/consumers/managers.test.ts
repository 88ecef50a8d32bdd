import { access } from 'node:fs/promises';
import { expect } from 'chai';
import { npm, QUIETLY } from '../support/package.js';
import { asPut, COMMON_JS, describePackage, ES_MODULE, expectResume, Project } from './project.js';

const { execPath } = process;

describePackage('the package, installed by', () => {
  /** The package manager is in a project of its own, as it is no dependency of an app. */
  async function toolOf(suite: Mocha.Context, name: string, ...program: string[]) {
    const tools = await Project.create();
    await tools.fetch(suite, npm, ['install', ...QUIETLY, name]);
    return tools.path('node_modules', ...program);
  }

  it('Yarn with Plug’n’Play resumes after a kill, and so does its command line', async function () {
    const yarn = await toolOf(this, '@yarnpkg/cli-dist@4', '@yarnpkg/cli-dist/bin/yarn.js');
    const project = await Project.create();
    await project.write('.yarnrc.yml', 'nodeLinker: pnp\nenableGlobalCache: true\n');
    await project.write('yarn.lock', '');
    await project.fetch(this, execPath, [yarn, 'add', `bits-upload@file:${project.tarball}`]);
    await access(project.path('.pnp.cjs'));
    for (const [name, text] of [
      ['app.mjs', ES_MODULE],
      ['app.cjs', COMMON_JS],
    ] as const) {
      await expectResume(project, [execPath, yarn, 'node', await project.write(name, text)]);
    }
    await expectResume(project, [execPath, yarn, 'bits-upload'], asPut);
  });

  it('pnpm resumes after a kill, and so does its command line', async function () {
    const pnpm = await toolOf(this, 'pnpm@10', 'pnpm/bin/pnpm.cjs');
    const project = await Project.create();
    await project.fetch(this, execPath, [pnpm, 'add', project.tarball]);
    for (const [name, text] of [
      ['app.mjs', ES_MODULE],
      ['app.cjs', COMMON_JS],
    ] as const) {
      await expectResume(project, [execPath, await project.write(name, text)]);
    }
    await expectResume(project, [execPath, pnpm, 'exec', 'bits-upload'], asPut);
  });

  it('npm from a git repository is built there, and resumes after a kill', async function () {
    const project = await Project.create();
    const repository = `git+file://${process.cwd()}`;
    await project.fetch(this, npm, ['install', ...QUIETLY, repository]);
    const app = await project.write('app.cjs', COMMON_JS);
    await expectResume(project, [execPath, app]);
  });

  it('npm from a tarball is not built again', async function () {
    const project = await Project.create();
    const options = [...QUIETLY, '--foreground-scripts'];
    const printed = await project.fetch(this, npm, ['install', ...options, project.tarball]);
    // npm shows each script that it runs so.
    expect(printed).to.include('added').and.not.match(/^> /m);
  });
});
