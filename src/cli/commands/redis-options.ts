import { Option } from 'commander';
import { codeOf } from '../../common/error-like.js';
import type { Io } from '../context.js';
import type { ExitCode } from '../exit-codes.js';
import { sayWarning } from '../render/messages.js';
import { writeEvent } from '../render/text.js';
import { UsageError } from '../values.js';
import { secretWarning } from './network-options.js';
import type { Flags } from './options.js';
import { reportError } from './report.js';

export type Fleet = typeof import('../../bullmq.js');

export const REDIS_OPTIONS: readonly Option[] = [
  new Option(
    '--redis <url>',
    'redis://host:6379, rediss:// for TLS; one with a password is safer in the environment',
  ),
  new Option('--queue <name>', 'queue of BullMQ (default: uploads)'),
];

/** @throws UsageError */
export function redisConnection({ redis, queue }: Flags): {
  readonly connection: string;
  readonly queueName: string | undefined;
} {
  if (redis === undefined || redis === '') {
    throw new UsageError('--redis is missing: give the URL of Redis, such as redis://host:6379');
  }
  if (queue === '') throw new UsageError('--queue must not be empty');
  return { connection: redis, queueName: queue };
}

/**
 * Runs a command that needs BullMQ and Redis, and reports what they fail with.
 * @throws UsageError
 */
export async function withFleet(
  flags: Flags,
  io: Io,
  command: (fleet: Fleet) => Promise<ExitCode>,
): Promise<ExitCode> {
  const hasPassword = /^[a-z]+:\/\/[^/]*@/i.test(flags.redis ?? '');
  if (hasPassword && io.env.BITS_UPLOAD_REDIS !== flags.redis) {
    const warning = secretWarning('the password of --redis', 'BITS_UPLOAD_REDIS');
    sayWarning(io.stderr, warning);
    if (flags.json) writeEvent(io.stdout, { type: 'warning', file: null, ...warning });
  }
  try {
    return await command(await loadFleet());
  } catch (error) {
    if (codeOf(error) === 'BITS_ERR_ARGUMENT') throw error;
    return reportError(error, io, flags);
  }
}

/** By a name that no bundler looks up: it would want the optional packages of every bundle of the program. */
const FLEET: string = 'bits-upload/bullmq';

/** They are optional: who uploads from one machine has neither. */
async function loadFleet(): Promise<Fleet> {
  try {
    return await import(/* webpackIgnore: true */ /* @vite-ignore */ FLEET);
  } catch (error) {
    if (codeOf(error) !== 'ERR_MODULE_NOT_FOUND') throw error;
    throw new UsageError(
      'this command needs the packages bullmq and ioredis: install them beside bits-upload, ' +
        'with npm install bullmq ioredis',
    );
  }
}
