import { expect } from 'chai';
import { columnsOf, fitColumns } from '../../../src/cli/render/bar.js';

describe('the columns of a text in a terminal', () => {
  it('count wide characters twice and combined characters once', () => {
    expect(['abc', 'é', '日本', '한국', '🙂', '👨‍👩‍👧'].map(columnsOf)).to.deep.equal([
      3, 1, 4, 4, 2, 2,
    ]);
  });

  it('are cut to a width, and the cut is marked', () => {
    expect(fitColumns('report.pdf', 10)).to.equal('report.pdf');
    expect(fitColumns('report.pdf', 7)).to.equal('report…');
    expect(fitColumns('日本語.pdf', 6)).to.equal('日本…');
    expect(fitColumns('report', 0)).to.equal('');
  });

  it('never exceed the width after a cut', () => {
    for (let columns = 0; columns < 12; columns += 1) {
      expect(columnsOf(fitColumns('a日b🙂c한d', columns))).to.be.at.most(columns);
    }
  });
});
