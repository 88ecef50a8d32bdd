import type { AuthRequest, AuthStep } from '../../../src/transport/auth/scheme.js';

export function request(overrides: Partial<AuthRequest> = {}): AuthRequest {
  return {
    method: 'BITS_POST',
    target: '/vdir/file.bin',
    host: 'web.corp.example',
    isProxy: false,
    isPrivate: true,
    ...overrides,
  };
}

/** The value that a step sends. */
export function sent(step: AuthStep): string {
  if (step.type !== 'send') throw new Error(`nothing was sent: ${step.type}`);
  return step.value;
}
