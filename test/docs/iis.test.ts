import { readFile } from 'node:fs/promises';
import { expect } from 'chai';
import { ANSWERS } from '../../src/protocol/answers.js';

describe('docs/iis.md', () => {
  it('quotes what the client says about a mistake word for word', async () => {
    const page = await readFile('docs/iis.md', 'utf8');
    const [, mistakes = ''] = page.split('## What each mistake looks like from here');
    const quotes = [...mistakes.matchAll(/"([^"]+)"/g)].flatMap(([, text = '']) =>
      text.split(' … '),
    );
    const advice = ANSWERS.map((row) => row.advice);
    const invented = quotes.filter((quote) => !advice.some((text) => text.includes(quote)));
    expect(invented).to.deep.equal([]);
    expect(quotes).to.have.length.greaterThan(15);
  });
});
