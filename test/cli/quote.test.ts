import { execFileSync } from 'node:child_process';
import { expect } from 'chai';
import fc from 'fast-check';
import { quoteArgument } from '../../src/cli/quote.js';

describe('an argument for a shell', () => {
  it('stays as it is where nothing in it means anything to a shell', () => {
    for (const plain of ['resume', '/var/lib/bits', '--state-dir', '0190163d-8694', 'a@b:c,d=e%']) {
      expect(quoteArgument(plain, 'linux')).to.equal(plain);
    }
  });

  it('is one argument again in a shell, whatever it holds', function () {
    if (process.platform === 'win32') this.skip();
    const text = fc.string({ unit: 'grapheme' }).filter((value) => !value.includes('\0'));
    fc.assert(
      fc.property(fc.array(text, { minLength: 1, maxLength: 5 }), (args) => {
        const script = `printf '%s\\0' ${args.map((arg) => quoteArgument(arg)).join(' ')}`;
        expect(execFileSync('sh', ['-c', script], { encoding: 'utf8' })).to.equal(
          `${args.join('\0')}\0`,
        );
      }),
      { numRuns: 30 },
    );
  });

  it('has double quotes on Windows', () => {
    expect(quoteArgument('C:\\My Files', 'win32')).to.equal('"C:\\My Files"');
    expect(quoteArgument('C:\\state', 'win32')).to.equal('C:\\state');
  });
});
