import { readFile } from 'node:fs/promises';
import { expect } from 'chai';
import { SCHEMA_FILE, schemaText, TABLES, withTable } from '../../scripts/docs-tables.js';

describe('the tables of the documentation', () => {
  for (const { file, marker, render } of TABLES) {
    it(`${marker} in ${file} say what the code does (else: npm run docs)`, async () => {
      const text = await readFile(file, 'utf8');
      expect(text).to.equal(withTable(text, marker, render()));
    });
  }

  it('and the schema of the events say what the code does (else: npm run docs)', async () => {
    expect(await readFile(SCHEMA_FILE, 'utf8')).to.equal(schemaText());
  });
});
