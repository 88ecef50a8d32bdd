import { join } from 'node:path';
import { describePackage, expectResume, Project } from './project.js';

const APP = `import { createFileStore, isBitsError, UploadJob, type JobStore } from 'bits-upload';
import { createElectronTransport } from 'bits-upload/electron';
import { jobStoreContract } from 'bits-upload/store-contract';
import { createBitsServer, type Fault } from 'bits-upload/testing';

export const fault: Fault = { on: 'fragment', do: 'hang' };
export const others = [createElectronTransport, jobStoreContract, createBitsServer];
// @ts-expect-error: there is no such option
export const wrong = () => createFileStore({ folder: 'x' });

async function upload([url, source, directory]: string[]): Promise<string> {
  const store: JobStore = createFileStore({ directory });
  const options = { url: url!, source: source!, fragmentBytes: 65536, store };
  const { resumed, bytesSent } = await new UploadJob(options).start();
  return JSON.stringify({ resumed, bytesSent });
}
upload(process.argv.slice(2)).then(console.log, (error: unknown) => {
  console.log(isBitsError(error) ? error.code : error);
  process.exitCode = 1;
});`;

describePackage('the package in TypeScript', () => {
  let project: Project;

  before(async function () {
    project = await Project.create();
    await project.install(this, '@types/node@20');
  });

  for (const [file, resolution, ...more] of [
    ['node10/app.ts', 'node10', '--module', 'commonjs', '--ignoreDeprecations', '6.0'],
    ['node16/app.cts', 'node16', '--module', 'node16'],
    ['node16/app.mts', 'node16', '--module', 'node16'],
    ['nodenext/app.cts', 'nodenext', '--module', 'nodenext'],
    ['nodenext/app.mts', 'nodenext', '--module', 'nodenext'],
    ['bundler/app.mts', 'bundler', '--module', 'esnext'],
  ] as const) {
    it(`resumes after a kill as ${file}, with moduleResolution ${resolution}`, async () => {
      const app = await project.write(file, APP);
      const tsc = join(process.cwd(), 'node_modules/typescript/bin/tsc');
      const strict = ['--strict', '--exactOptionalPropertyTypes', '--target', 'es2022'];
      const options = [...strict, '--types', 'node', '--moduleResolution', resolution, ...more];
      await project.run(process.execPath, [tsc, ...options, app]);
      await expectResume(project, [process.execPath, app.replace(/ts$/, 'js')]);
    });
  }
});
