import { Command, CommanderError } from 'commander';
import { VERSION } from '../version.js';
import type { CommandContext } from './commands/command-context.js';
import { EXIT, type ExitCode } from './exit-codes.js';
import { Interruption } from './interruption.js';
import { flushed, type Io } from './io.js';
import { say } from './render/messages.js';
import { UsageError } from './usage-error.js';

interface CommandEntry {
  readonly summary: string;
  /** Loads the command and what it needs; the others stay unloaded. */
  readonly load: () => Promise<(command: Command, context: CommandContext) => void>;
}

const COMMANDS: Readonly<Record<string, CommandEntry>> = {
  put: {
    summary: 'upload files to a BITS server',
    load: async () => (await import('./commands/put.js')).definePut,
  },
  jobs: {
    summary: 'list unfinished uploads',
    load: async () => (await import('./commands/jobs.js')).defineJobs,
  },
  resume: {
    summary: 'go on with unfinished uploads',
    load: async () => (await import('./commands/resume.js')).defineResume,
  },
  cancel: {
    summary: "give up unfinished uploads and free the server's sessions",
    load: async () => (await import('./commands/cancel.js')).defineCancel,
  },
  prune: {
    summary: 'give up uploads that cannot be gone on with',
    load: async () => (await import('./commands/prune.js')).definePrune,
  },
  ping: {
    summary: 'find out why uploads to a server fail',
    load: async () => (await import('./commands/ping.js')).definePing,
  },
  serve: {
    summary: 'run a BITS server for tests',
    load: async () => (await import('./commands/serve.js')).defineServe,
  },
};

const EXAMPLES = `
Examples:
  bits-upload put dump.zip http://bits.example/uploads/
  bits-upload resume --all
  bits-upload serve --root ./incoming

Results are on standard output, progress and messages on standard error.
Exit codes: 0 done, 1 failed, 2 wrong command line, 4 credentials refused or missing, 5 not done but
resumable, 6 the file changed, 130 stopped by SIGINT, 143 by SIGTERM.`;

/**
 * Runs one command line.
 * @param args without the program's name
 */
export async function run(args: readonly string[], io: Io): Promise<ExitCode> {
  const interruption = new Interruption();
  let stdoutFailed = false;
  io.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (!stdoutFailed && error.code !== 'EPIPE') {
      say(io.stderr, `bits-upload: cannot write to standard output (${error.code})`);
    }
    stdoutFailed = true;
    interruption.stop({ by: 'stdout', exitCode: EXIT.failed });
  });
  // Whoever closed it does not want to know.
  io.stderr.on('error', () => {});
  interruption.listen();
  try {
    const code = await dispatch(args, io, interruption);
    const error = await flushed(io.stdout);
    // A result that nobody got is none.
    return (error || stdoutFailed) && code === EXIT.done ? EXIT.failed : code;
  } finally {
    interruption.forget();
  }
}

async function dispatch(
  args: readonly string[],
  io: Io,
  interruption: Interruption,
): Promise<ExitCode> {
  let exitCode: ExitCode = EXIT.done;
  const context: CommandContext = {
    io,
    interruption,
    exitWith: (code) => {
      exitCode = code;
    },
  };
  try {
    const program = await createProgram(args, context);
    if (args.length === 0) {
      throw new UsageError(`a command is missing: ${Object.keys(COMMANDS).join(', ')}`);
    }
    await program.parseAsync(args, { from: 'user' });
    return exitCode;
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return EXIT.done;
    const usage = usageErrorOf(error);
    if (usage === undefined) {
      say(io.stderr, `bits-upload: unexpected error, please report it: ${String(error)}`);
      return EXIT.failed;
    }
    tellUsageError(usage, args, io);
    return EXIT.usage;
  }
}

async function createProgram(args: readonly string[], context: CommandContext): Promise<Command> {
  const { stdout } = context.io;
  const program = new Command('bits-upload')
    .description('Upload files to Microsoft BITS servers ([MC-BUP]).')
    .version(VERSION, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .helpCommand('help [command]', 'print the help of a command')
    .addHelpText('after', EXAMPLES)
    .exitOverride()
    .configureOutput({
      writeOut: (text) => stdout.write(text),
      // Errors are told once, by this program, after it has looked for secrets in them.
      writeErr: () => {},
    });
  for (const [name, { summary, load }] of Object.entries(COMMANDS)) {
    const command = program.command(name).summary(summary);
    // The second one after `help`.
    if (args.slice(0, 2).includes(name)) (await load())(command, context);
  }
  return program;
}

function usageErrorOf(error: unknown): string | undefined {
  if (error instanceof CommanderError) return messageOf(error);
  if (!(error instanceof Error)) return undefined;
  const { code } = error as NodeJS.ErrnoException;
  return code === 'BITS_ERR_ARGUMENT' ? error.message : undefined;
}

/** Commander repeats what was given, and that may be a secret: `--haeder=Authorization: …`. */
function messageOf({ message }: CommanderError): string {
  return message
    .replace(/^error: /, '')
    .replace(/'(--?[^\s'=]*)=.*'/s, "'$1'")
    .replace(/:\/\/.*@/s, '://…@')
    .replace(/\n/g, ' ');
}

function tellUsageError(message: string, args: readonly string[], { stdout, stderr }: Io): void {
  if (args.includes('--json')) {
    const failure = { code: 'BITS_ERR_ARGUMENT', message, retryable: false };
    stdout.write(`${JSON.stringify({ type: 'error', file: null, url: null, ...failure })}\n`);
  }
  const command = args.find((arg) => Object.hasOwn(COMMANDS, arg));
  say(stderr, `bits-upload: ${message}`);
  say(stderr, `Try 'bits-upload ${command === undefined ? '' : `${command} `}--help'.`);
}
