import { expect } from 'chai';
import { Redirects } from '../../src/job/redirects.js';

describe('permanent redirects', () => {
  const page = (name: string) => new URL(name, 'http://web.example/');
  const permanent = () => new Redirects(page('a'), { hasCredentials: false, trustedHosts: [] });

  it('are followed from one to the next', () => {
    const redirects = permanent();
    redirects.next(page('a'), 308, '/b', 0);
    redirects.next(page('b'), 308, '/c', 0);
    expect(redirects.current(page('a')).href).to.equal(page('c').href);
    expect(redirects.current(page('x')).href).to.equal(page('x').href);
  });

  it('end in time when they form a loop', () => {
    const redirects = permanent();
    redirects.next(page('a'), 308, '/b', 0);
    redirects.next(page('b'), 308, '/a', 0);
    expect(redirects.current(page('a')).pathname).to.match(/^\/[ab]$/);
  });

  it('are remembered in a limited number, the newest ones', () => {
    const redirects = permanent();
    for (let count = 0; count < 1000; count++) {
      redirects.next(page(`from-${count}`), 308, `/to-${count}`, 0);
    }
    const isKnown = (count: number) =>
      redirects.current(page(`from-${count}`)).pathname.startsWith('/to');
    expect(isKnown(999)).to.equal(true);
    expect(Array.from({ length: 1000 }, (_, count) => count).filter(isKnown)).to.have.length(16);
  });
});
