import { readFile } from 'node:fs/promises';
import { expect } from 'chai';

describe('docs/errors.md', () => {
  it('names every code that there is, and no other', async () => {
    const source = await readFile('src/errors.ts', 'utf8');
    const [union = ''] = /BitsErrorCode =[^;]*;/.exec(source) ?? [];
    const codes = [...union.matchAll(/'(BITS_ERR_\w+)'/g)].map(([, code]) => code);
    const documented = [
      ...(await readFile('docs/errors.md', 'utf8')).matchAll(/^\| `(BITS_ERR_\w+)`/gm),
    ].map(([, code]) => code);
    expect(documented.sort()).to.deep.equal(codes.sort());
    expect(codes).to.have.length.greaterThan(10);
  });
});
