import { asPut, COMMON_JS, describePackage, ES_MODULE, expectResume, Project } from './project.js';

describePackage('the package in', () => {
  it('Bun resumes after a kill, and so does its command line', async function () {
    const project = await Project.create();
    await project.install(this, 'bun@1');
    await project.run(process.execPath, ['node_modules/bun/install.js']);
    const bun = project.path('node_modules/bun/bin/bun.exe');
    await expectResume(project, [bun, await project.write('app.mjs', ES_MODULE)]);
    await expectResume(project, [bun, await project.write('app.cjs', COMMON_JS)]);
    await expectResume(project, [bun, '--bun', 'node_modules/bits-upload/dist/cli/main.js'], asPut);
  });

  it('Deno resumes after a kill, and so does its command line', async function () {
    const project = await Project.create();
    await project.install(this, 'deno@2');
    const deno = [project.path('node_modules/.bin/deno'), 'run', '--allow-all'];
    await expectResume(project, [...deno, await project.write('app.mjs', ES_MODULE)]);
    await expectResume(project, [...deno, await project.write('app.cjs', COMMON_JS)]);
    await expectResume(project, [...deno, 'node_modules/bits-upload/dist/cli/main.js'], asPut);
  });
});
