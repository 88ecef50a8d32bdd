import { readdir, readFile } from 'node:fs/promises';
import { expect } from 'chai';
import { type ApiReport, apiReports } from '../../scripts/api-report.js';

describe('the public face of the package', () => {
  let reports: ApiReport[];

  before(() => {
    reports = apiReports();
  });

  it('is the one in api/ (a change that is meant: npm run api, and a line in the changelog)', async () => {
    for (const { file, text } of reports) expect(await readFile(file, 'utf8')).to.equal(text);
    const files = (await readdir('api')).map((name) => `api/${name}`);
    expect(files)
      .to.have.members(reports.map(({ file }) => file))
      .and.to.have.length.greaterThan(3);
  });

  it('has a sentence on every export, method and option', () => {
    for (const { file, undocumented } of reports) expect(undocumented, file).to.deep.equal([]);
  });
});
