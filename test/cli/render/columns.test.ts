import { expect } from 'chai';
import { columnsOf, fitColumns } from '../../../src/cli/render/columns.js';

describe('columns of a terminal', () => {
  it('counts what is seen: wide characters twice, combined ones once', () => {
    expect(['abc', 'é', '日本', '한국', '🙂', '👨‍👩‍👧'].map(columnsOf)).to.deep.equal([
      3, 1, 4, 4, 2, 2,
    ]);
  });

  it('cuts to the width and marks the cut', () => {
    expect(fitColumns('report.pdf', 10)).to.equal('report.pdf');
    expect(fitColumns('report.pdf', 7)).to.equal('report…');
    expect(fitColumns('日本語.pdf', 6)).to.equal('日本…');
    expect(fitColumns('report', 0)).to.equal('');
  });

  it('never exceeds the width', () => {
    for (let columns = 0; columns < 12; columns += 1) {
      expect(columnsOf(fitColumns('a日b🙂c한d', columns))).to.be.at.most(columns);
    }
  });
});
