import { expect } from 'chai';
import fc from 'fast-check';
import {
  formatHresult,
  hresultAdvice,
  hresultName,
  parseHex,
  parseHresult,
} from '../../src/protocol/hresult.js';

describe('an HRESULT', () => {
  for (const [value, expected] of [
    ['0x8020001F', 0x8020001f],
    ['0X8020001f', 0x8020001f],
    ['x8020001F', 0x8020001f],
    ['8020001f', 0x8020001f],
    [' 0x80070057 ', 0x80070057],
    ['0x80000000', 0x80000000],
    ['0x7FFFFFFF', undefined],
    ['0x1', undefined],
    ['0', undefined],
    ['ZERO', undefined],
    ['0xFFFFFFFF', 0xffffffff],
    ['0x1FFFFFFFF', undefined],
    ['0x', undefined],
    ['', undefined],
    ['-1', undefined],
    ['2149580831', 0x8020001f],
    ['-2145386465', 0x8020001f],
    ['4294967296', undefined],
    ['-2147483649', undefined],
    ['1000000000', undefined],
    ['0x8020001F, 0x8020001F', undefined],
    ['BG_E_SESSION_NOT_FOUND', 0x8020001f],
    [' bg_e_too_large ', 0x80200020],
    ['BG_E_HTTP_ERROR_404', 0x80190194],
    ['BG_E_HTTP_ERROR_600', undefined],
    ['ERROR_DISK_FULL', 0x80070070],
    ['constructor', undefined],
  ] as const) {
    it(`is read from ${JSON.stringify(value)}, or refused`, () => {
      expect(parseHresult(value)).to.equal(expected);
    });
  }

  it('has a context, which is a number of any size', () => {
    for (const [text, context] of [
      ['0x7', 7],
      ['5', 5],
      ['10', 0x10],
      ['seven', undefined],
    ] as const) {
      expect(parseHex(text)).to.equal(context);
    }
  });

  it('is read back as it was written, signed or unsigned', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0x80000000, max: 0xffffffff }), (hresult) => {
        expect(formatHresult(hresult)).to.match(/^0x[0-9A-F]{8}$/);
        expect(parseHresult(formatHresult(hresult))).to.equal(hresult);
        expect(formatHresult(hresult | 0)).to.equal(formatHresult(hresult));
      }),
    );
  });

  for (const [hresult, name] of [
    [0x80070005, 'E_ACCESSDENIED'],
    [0x80070057, 'E_INVALIDARG'],
    [0x80070112, 'ERROR_DISK_FULL'],
    [0x80070070, 'ERROR_DISK_FULL'],
    [0x80200011, 'BG_E_MISSING_FILE_SIZE'],
    [0x80200012, 'BG_E_INSUFFICIENT_HTTP_SUPPORT'],
    [0x80200013, 'BG_E_INSUFFICIENT_RANGE_SUPPORT'],
    [0x8020001d, 'BG_E_LOCAL_FILE_CHANGED'],
    [0x8020001f, 'BG_E_SESSION_NOT_FOUND'],
    [0x8020001f | 0, 'BG_E_SESSION_NOT_FOUND'],
    [0x80200020, 'BG_E_TOO_LARGE'],
    [0x80200022, 'BG_E_CLIENT_SERVER_PROTOCOL_MISMATCH'],
    [0x80200023, 'BG_E_SERVER_EXECUTE_ENABLE'],
    [0x80190194, 'BG_E_HTTP_ERROR_404'],
    [0x801901f4, 'BG_E_HTTP_ERROR_500'],
  ] as const) {
    it(`of ${formatHresult(hresult)} has the name ${name} and an advice`, () => {
      expect(hresultName(hresult)).to.equal(name);
      expect(hresultAdvice(hresult)).to.be.a('string').and.not.empty;
    });
  }

  for (const hresult of [0, 1, 0x80190000, 0x80190063, 0x80190258, 0x80201234]) {
    it(`of ${formatHresult(hresult)} has no name`, () => {
      expect(hresultName(hresult)).to.equal(undefined);
      expect(hresultAdvice(hresult)).to.equal(undefined);
    });
  }
});
