import { expect } from 'chai';
import {
  formatBytes,
  formatClock,
  formatElapsed,
  formatPercent,
} from '../../../src/cli/render/units.js';

describe('numbers for people', () => {
  it('writes sizes in binary units, never as 1024 of one', () => {
    const sizes = [0, 1023, 1024, 1_048_575, 1_048_576, 67_108_864, 5 * 1024 ** 4];
    expect(sizes.map(formatBytes)).to.deep.equal([
      '0 B',
      '1023 B',
      '1.0 KiB',
      '1.0 MiB',
      '1.0 MiB',
      '64.0 MiB',
      '5.0 TiB',
    ]);
  });

  it('writes a time left as a clock', () => {
    expect([0, 1, 5000, 59_999, 60_000, 11_220_000].map(formatClock)).to.deep.equal([
      '0:00',
      '0:01',
      '0:05',
      '1:00',
      '1:00',
      '3:07:00',
    ]);
  });

  it('writes a time taken in seconds up to a minute', () => {
    expect([0, 449, 12_340, 61_000].map(formatElapsed)).to.deep.equal([
      '0.0 s',
      '0.4 s',
      '12.3 s',
      '1:01',
    ]);
  });

  it('says 100 % only when nothing is missing', () => {
    expect(formatPercent(999_999, 1_000_000)).to.equal('99 %');
    expect(formatPercent(1_000_000, 1_000_000)).to.equal('100 %');
    expect(formatPercent(0, 0)).to.equal('100 %');
  });
});
