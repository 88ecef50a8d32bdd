import { expect } from 'chai';
import {
  formatBytes,
  formatClock,
  formatElapsed,
  formatPercent,
} from '../../../src/cli/render/units.js';

describe('a number for people', () => {
  it('is a size in binary units, never 1024 of one unit', () => {
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

  it('is a clock for the time left', () => {
    expect([0, 1, 5000, 59_999, 60_000, 11_220_000].map(formatClock)).to.deep.equal([
      '0:00',
      '0:01',
      '0:05',
      '1:00',
      '1:00',
      '3:07:00',
    ]);
  });

  it('is in seconds for a duration of up to a minute', () => {
    expect([0, 449, 12_340, 61_000].map(formatElapsed)).to.deep.equal([
      '0.0 s',
      '0.4 s',
      '12.3 s',
      '1:01',
    ]);
  });

  it('is 100 % only when nothing is missing', () => {
    expect(formatPercent(999_999, 1_000_000)).to.equal('99 %');
    expect(formatPercent(1_000_000, 1_000_000)).to.equal('100 %');
    expect(formatPercent(0, 0)).to.equal('100 %');
  });
});
