import { expect } from 'chai';
import { columnsOf, fitColumns, fitMiddle } from '../../../src/cli/render/columns.js';

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

  it('are cut before the end of a name, which may differ from others there', () => {
    expect(fitMiddle('report.pdf', 10)).to.equal('report.pdf');
    expect(fitMiddle('report-2024-01.pdf', 11)).to.equal('repo…01.pdf');
    expect(fitMiddle('日本語のファイル', 9)).to.equal('日本…イル');
    expect(fitMiddle('report-2024-01.pdf', 11, '..')).to.equal('repo..1.pdf');
  });

  it('never exceed the width after a cut', () => {
    for (const cut of [fitColumns, fitMiddle]) {
      for (let columns = 0; columns < 12; columns += 1) {
        expect(columnsOf(cut('a日b🙂c한d', columns))).to.be.at.most(columns);
        expect(columnsOf(cut('a日b🙂c한d', columns, '..'))).to.be.at.most(columns);
      }
    }
  });
});
