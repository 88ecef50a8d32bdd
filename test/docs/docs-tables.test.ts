import { readFile } from 'node:fs/promises';
import { expect } from 'chai';
import { TABLES, withTable } from '../../scripts/docs-tables.js';

describe('the tables of the documentation', () => {
  for (const { file, marker, render } of TABLES) {
    it(`${marker} in ${file} say what the code does (else: npm run docs)`, async () => {
      const text = await readFile(file, 'utf8');
      expect(text).to.equal(withTable(text, marker, render()));
    });
  }
});
