import type { AuthRequest, AuthStep, Peer } from '../../../src/transport/auth/scheme.js';

export function peer(overrides: Partial<Peer> = {}): Peer {
  return {
    isProxy: false,
    title: 'web.corp.example:8080',
    hostname: 'web.corp.example',
    isSecure: false,
    isPrivate: true,
    ...overrides,
  };
}

export function request(overrides: Partial<AuthRequest> = {}): AuthRequest {
  return {
    peer: peer(),
    method: 'BITS_POST',
    target: '/vdir/file.bin',
    signal: undefined,
    ...overrides,
  };
}

/** The value that a step sends. */
export function sent(step: AuthStep): string {
  if (step.type !== 'send') throw new Error(`nothing was sent: ${step.type}`);
  return step.value;
}
