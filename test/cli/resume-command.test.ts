import { execFileSync } from 'node:child_process';
import { expect } from 'chai';
import fc from 'fast-check';
import { quoteArgument } from '../../src/cli/resume-command.js';
import { skipOnWindows } from '../support/skip.js';

describe('an argument for a shell', () => {
  it('is not quoted when it has no meaning to a shell', () => {
    for (const plain of ['resume', '/var/lib/bits', '--state-dir', '0190163d-8694', 'a@b:c,d=e%']) {
      expect(quoteArgument(plain, 'linux')).to.equal(plain);
    }
  });

  it('is one argument in a shell, whatever it contains', function () {
    skipOnWindows(this, 'shell');
    const text = fc.string({ unit: 'grapheme' }).filter((value) => !value.includes('\0'));
    fc.assert(
      fc.property(fc.array(text, { minLength: 1, maxLength: 50 }), (args) => {
        const script = `printf '%s\\0' ${args.map((arg) => quoteArgument(arg)).join(' ')}`;
        expect(execFileSync('sh', ['-c', script], { encoding: 'utf8' })).to.equal(
          `${args.join('\0')}\0`,
        );
      }),
      { numRuns: 4 },
    );
  });

  it('is in double quotes on Windows', () => {
    expect(quoteArgument('C:\\My Files', 'win32')).to.equal('"C:\\My Files"');
    expect(quoteArgument('C:\\state', 'win32')).to.equal('C:\\state');
    expect(quoteArgument('C:\\My Files\\', 'win32')).to.equal('"C:\\My Files\\\\"');
    expect(quoteArgument('say "a \\" b', 'win32')).to.equal('"say ""a \\\\"" b"');
  });
});
