import { inspect } from 'node:util';
import { runInNewContext } from 'node:vm';
import { expect } from 'chai';
import { BitsAbortError } from '../../src/errors.js';
import { neverConnected, toTransportFailure } from '../../src/transport/failure.js';

const coded = (code: string) => Object.assign(new Error('x'), { code });

describe('transport failures', () => {
  it('are told apart by whether the request can have reached a server', () => {
    const at = (syscall: string) => Object.assign(coded('ECODE'), { syscall });
    const both = new AggregateError([at('connect'), at('connect')]);
    for (const error of [
      at('connect'),
      at('getaddrinfo'),
      both,
      new Error('net::ERR_CONNECTION_REFUSED'),
    ]) {
      expect(neverConnected(toTransportFailure(error, 'bits.example'))).to.equal(true);
    }
    for (const error of [at('read'), at('write'), coded('UND_ERR_SOCKET'), new Error('x')]) {
      expect(neverConnected(toTransportFailure(error, 'bits.example'))).to.equal(false);
    }
  });

  for (const [code, retryable, told] of [
    ['ECONNREFUSED', true, /refused .* port/],
    ['ENOTFOUND', true, /host name/],
    ['EAI_AGAIN', true, /DNS/],
    ['ECONNRESET', true, /closed the connection/],
    ['EPIPE', true, /closed the connection/],
    ['UND_ERR_SOCKET', true, /closed the connection/],
    ['EHOSTUNREACH', true, /network/],
    ['CERT_HAS_EXPIRED', false, /expired/],
    ['DEPTH_ZERO_SELF_SIGNED_CERT', false, /tls\.ca/],
    ['UNABLE_TO_VERIFY_LEAF_SIGNATURE', false, /tls\.ca/],
    ['ERR_TLS_CERT_ALTNAME_INVALID', false, /names/],
    ['CERT_CHAIN_TOO_LONG', false, /certificate/],
    ['ERR_SSL_WRONG_VERSION_NUMBER', false, /TLS/],
    ['HPE_INVALID_CONSTANT', false, /not HTTP\/1\.1/],
    ['HPE_INVALID_EOF_STATE', true, /closed the connection/],
    ['UND_ERR_HEADERS_OVERFLOW', false, /head/],
    ['ERR_ACCESS_DENIED', false, /--allow-net/],
    ['ESOMETHING', true, /cause/],
  ] as const) {
    it(`gives advice on ${code}`, () => {
      for (const error of [coded(code), new TypeError('fetch failed', { cause: coded(code) })]) {
        const failure = toTransportFailure(error, 'bits.example:8080');
        const expected = /CERT|VERIFY|SSL/.test(code) ? 'BITS_ERR_TLS' : 'BITS_ERR_TRANSPORT';
        expect(failure).to.include({ code: expected, retryable, cause: error });
        expect(failure.message)
          .to.match(told)
          .and.to.match(/^bits\.example:8080 /);
        expect(failure.message).to.include(code);
      }
    });
  }

  it('looks into the attempts of a host with several addresses', () => {
    const failure = toTransportFailure(new AggregateError([coded('ECONNREFUSED')]), 'h');
    expect(failure.message).to.include('refused');
  });

  it('reads the errors of another realm, as Node gives them under Jest', () => {
    const refused = runInNewContext(`
      const attempt = Object.assign(new Error('x'), { code: 'ECONNREFUSED', syscall: 'connect' });
      new TypeError('fetch failed', { cause: new AggregateError([attempt]) })`);
    const failure = toTransportFailure(refused, 'h');
    expect(failure).to.include({ code: 'BITS_ERR_TRANSPORT', retryable: true });
    expect(failure.message).to.include('refused').and.to.include('ECONNREFUSED');
    expect(neverConnected(failure)).to.equal(true);

    const expired = runInNewContext(`Object.assign(new Error('x'), { code: 'CERT_HAS_EXPIRED' })`);
    expect(toTransportFailure(expired, 'h')).to.include({ code: 'BITS_ERR_TLS', retryable: false });

    const parsing = runInNewContext(
      `Object.assign(new Error('Expected HTTP/'), { data: 'hush', name: 'HTTPParserError' })`,
    );
    const notHttp = toTransportFailure(parsing, 'h');
    expect(notHttp.retryable).to.equal(false);
    expect(inspect(notHttp)).to.include('Expected HTTP/').and.not.to.include('hush');
  });

  it('takes time-outs of others for time-outs', () => {
    for (const code of ['UND_ERR_CONNECT_TIMEOUT', 'ETIMEDOUT', 'UND_ERR_HEADERS_TIMEOUT']) {
      expect(toTransportFailure(coded(code), 'h')).to.include({
        code: 'BITS_ERR_TIMEOUT',
        retryable: true,
      });
    }
  });

  it('passes the errors of this package on', () => {
    const error = new BitsAbortError('x');
    expect(toTransportFailure(error, 'h')).to.equal(error);
  });

  it("keeps the server's bytes out, also of the cause", () => {
    const error = Object.assign(new Error('Expected HTTP/'), {
      data: 'hush',
      name: 'HTTPParserError',
    });
    const failure = toTransportFailure(error, 'h');
    expect(inspect(failure)).to.include('Expected HTTP/').and.not.to.include('hush');
  });
});
