import {
  asPut,
  COMMON_JS,
  describePackage,
  ES_MODULE,
  expectResume,
  Project,
  UPLOAD,
} from './project.js';

const { execPath } = process;

/** Node as the package `node` of npm brings it. */
const NODE = 'node_modules/node/bin/node';

describePackage('the package in Node', () => {
  it('resumes after a kill as an ES module, and by its command line', async function () {
    const project = await Project.create();
    await project.install(this);
    const app = await project.write('app.mjs', ES_MODULE);
    await expectResume(project, [execPath, app]);
    await expectResume(project, [project.path('node_modules/.bin/bits-upload')], asPut);
  });

  it('resumes after a kill as CommonJS in the first Node 20 with long-term support', async function () {
    const project = await Project.create();
    await project.install(this, 'node@20.9.0');
    const app = await project.write('app.cjs', COMMON_JS);
    await expectResume(project, [project.path(NODE), app]);
  });

  it('resumes after a kill with --permission for its files alone', async function () {
    const project = await Project.create();
    await project.install(this, 'node@24');
    const app = await project.write('app.mjs', ES_MODULE);
    const cli = project.path('node_modules/bits-upload/dist/cli/main.js');
    const flags = [
      '--permission',
      `--allow-fs-read=${project.folder}`,
      `--allow-fs-write=${project.folder}`,
    ];
    await expectResume(project, [project.path(NODE), ...flags, app]);
    await expectResume(project, [project.path(NODE), ...flags, cli], asPut);
  });

  it('resumes after a kill in Jest without flags', async function () {
    const project = await Project.create({ jest: { testTimeout: 60_000 } });
    await project.install(this, 'jest@30');
    await project.write(
      'upload.test.js',
      `const { createFileStore, UploadJob } = require('bits-upload');
       ${UPLOAD}
       test('uploads', async () => {
         process.stdout.write(await upload(JSON.parse(process.env.TASK)) + '\\n');
       });`,
    );
    const jest = project.path('node_modules/jest/bin/jest.js');
    await expectResume(project, [execPath, jest, '--runInBand'], () => []);
  });
});
