import { Command, CommanderError } from 'commander';
import { VERSION } from '../version.js';
import { CANCEL } from './commands/cancel.js';
import { COMPLETION } from './commands/completion.js';
import { ENQUEUE } from './commands/enqueue.js';
import { FLEET } from './commands/fleet.js';
import { JOBS } from './commands/jobs.js';
import type { Flags } from './commands/options.js';
import { PING } from './commands/ping.js';
import { PRUNE } from './commands/prune.js';
import { PUT } from './commands/put.js';
import { RESUME } from './commands/resume.js';
import { SERVE } from './commands/serve.js';
import { WORKER } from './commands/worker.js';
import { type CliCommand, flushed, type Io, type OutputStream } from './context.js';
import { readEnvironment, unknownVariables, withVariables } from './environment.js';
import { EXIT, type ExitCode } from './exit-codes.js';
import { withFlags } from './failure.js';
import { groupOptions, HELP_STYLE, withExamples } from './help.js';
import { Interruption } from './interruption.js';
import { sayWarning } from './render/messages.js';
import { say, writeEvent } from './render/text.js';
import { startTrace } from './trace.js';
import { UsageError } from './values.js';

const COMMANDS: Readonly<Record<string, CliCommand>> = {
  put: PUT,
  jobs: JOBS,
  resume: RESUME,
  cancel: CANCEL,
  prune: PRUNE,
  ping: PING,
  enqueue: ENQUEUE,
  worker: WORKER,
  fleet: FLEET,
  serve: SERVE,
  completion: COMPLETION,
};

const EXAMPLES = [
  'bits-upload put dump.zip http://bits.example/uploads/',
  'bits-upload resume --all',
  'bits-upload ping http://bits.example/uploads/',
];

/** Longer lines are hard to read. */
const MAX_HELP_COLUMNS = 80;

const HELP = `
bits-upload COMMAND --help explains a command and its options. Results are
written to standard output, progress and messages to standard error.

Exit codes: 0 done, 1 failed, 2 wrong command line, 3 some files failed,
4 credentials refused or missing, 5 not done but resumable, 6 the file changed
or is missing, 129 stopped by SIGHUP, 130 by SIGINT, 143 by SIGTERM.`;

const ENVIRONMENT = `
Every option can also be set in the environment, by its name in capital letters
with _ for -: BITS_UPLOAD_STATE_DIR=dir, and BITS_UPLOAD_JSON=1 for a switch.
The command line takes precedence.`;

const PASSWORDS = `
Set passwords in BITS_UPLOAD_PASSWORD and BITS_UPLOAD_PROXY_PASSWORD: all users
of a machine can see its command lines.`;

/** Runs one command line as this process, and ends the process. */
export async function runProcess(args: readonly string[]): Promise<void> {
  // Arguments may hold secrets; the title takes their place in the list of processes.
  process.title = 'bits-upload';
  const code = await run(args, process);
  await Promise.all([flushed(process.stdout), flushed(process.stderr)]);
  // A DNS look-up cannot be aborted and would delay the end of a stopped process.
  process.exit(code);
}

/**
 * Runs one command line.
 * @param args without the name of the program
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
  // Nobody reads messages any more, but the upload can continue.
  io.stderr.on('error', () => {});
  interruption.listen();
  try {
    const code = await dispatch(args, io, interruption);
    const error = await flushed(io.stdout);
    // A result that could not be written is a failure.
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
  let running: Command | undefined;
  const endings: ((exitCode: ExitCode) => void)[] = [];
  const atEnd = (action: (exitCode: ExitCode) => void) => endings.push(action);
  const program = createProgram(io.stdout, async (command, { run }) => {
    running = command;
    readEnvironment(command, io.env);
    const flags = command.opts<Flags>();
    const unknown = flags.quiet ? undefined : unknownVariables(program, io.env);
    if (unknown !== undefined && flags.json) {
      writeEvent(io.stdout, { type: 'warning', file: null, ...unknown });
    } else if (unknown !== undefined) sayWarning(io.stderr, unknown);
    if (flags.trace !== undefined) {
      const warn = (message: string) => sayWarning(io.stderr, { message });
      atEnd(startTrace(flags.trace, command.name(), warn));
    }
    exitCode = await run(command.args, flags, { io, interruption, program, atEnd });
  });
  try {
    await program.parseAsync(checkedArguments(args), { from: 'user' });
  } catch (error) {
    exitCode = sayError(error, args, running, io);
  }
  for (const end of endings) end(exitCode);
  return exitCode;
}

/**
 * What commander has no words for.
 * @throws UsageError
 */
function checkedArguments(args: readonly string[]): readonly string[] {
  const [first, topic = ''] = args;
  const commands = Object.keys(COMMANDS);
  if (first === undefined) throw new UsageError(`a command is missing: ${commands.join(', ')}`);
  if (first !== 'help' || topic === '' || commands.includes(topic)) return args;
  if (/^(?:-|help$)/.test(topic)) return ['--help'];
  throw new UsageError(`unknown command '${withoutSecret(topic)}': ${commands.join(', ')}`);
}

function sayError(
  error: unknown,
  args: readonly string[],
  running: Command | undefined,
  io: Io,
): ExitCode {
  if (error instanceof CommanderError && error.exitCode === 0) return EXIT.done;
  const usage = usageErrorOf(error);
  if (usage === undefined) {
    say(io.stderr, `bits-upload: unexpected error, please report it: ${String(error)}`);
    return EXIT.failed;
  }
  const message = running === undefined ? usage : withVariables(usage, running, io.env);
  sayUsageError(message, args, io);
  return EXIT.usage;
}

/**
 * The command line as commander knows it.
 * @param run called with the command that the arguments name
 */
export function createProgram(
  stdout: OutputStream,
  run: (command: Command, definition: CliCommand) => Promise<void>,
): Command {
  const program = new Command('bits-upload')
    .description(withExamples('Upload files to Microsoft BITS servers ([MC-BUP]).', EXAMPLES))
    .version(VERSION, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .helpCommand('help [command]', 'print the help of a command')
    .addHelpText('after', HELP)
    .exitOverride()
    .configureOutput({
      writeOut: (text) => stdout.write(text),
      // This program prints errors itself, after it has removed secrets.
      writeErr: () => {},
      getOutHelpWidth: () => Math.min(stdout.columns || MAX_HELP_COLUMNS, MAX_HELP_COLUMNS),
    })
    .configureHelp(HELP_STYLE);
  for (const [name, definition] of Object.entries(COMMANDS)) {
    const command = program.command(name);
    describeCommand(command, definition);
    command.action(() => run(command, definition));
  }
  return program;
}

function describeCommand(command: Command, definition: CliCommand): void {
  const { summary, description, examples, help, argument, usage, options } = definition;
  const sentence = `${summary[0]?.toUpperCase()}${summary.slice(1)}.`;
  command.summary(summary).description(withExamples(description ?? sentence, examples));
  if (usage !== undefined) command.usage(`[options] ${usage}`);
  if (argument !== undefined) command.addArgument(argument);
  for (const option of options) command.addOption(option);
  groupOptions(command);
  command.addHelpText('after', help);
  if (options.length > 0) command.addHelpText('after', ENVIRONMENT);
  if (options.some(({ long }) => long === '--user')) command.addHelpText('after', PASSWORDS);
}

function usageErrorOf(error: unknown): string | undefined {
  if (error instanceof CommanderError) return messageOf(error);
  if (!(error instanceof Error)) return undefined;
  const { code, syscall } = error as NodeJS.ErrnoException;
  if (syscall === 'uv_cwd') {
    return 'the working directory does not exist any more: change to another one';
  }
  return code === 'BITS_ERR_ARGUMENT' ? withFlags(error.message) : undefined;
}

const CHOICE =
  /^error: (?:option '.*?(--[\w-]+).*?' argument|.* value) '(.*)' is invalid(?: for argument '(.*)')?\. Allowed choices are (.*)\.$/s;
const MISSING = /^error: missing required argument '(.*)'$/;
const EXCESS = /^error: too many arguments for '(.*)'\. Expected (\d+) /;

/** Commander repeats arguments, which may be secrets: `--haeder=Authorization: …`. */
function messageOf({ message }: CommanderError): string {
  const [, option, value, argument, choices] = CHOICE.exec(message) ?? [];
  if (choices !== undefined) {
    const all = choices.includes(',') ? `one of ${choices}` : choices;
    return `${option ?? `the ${argument}`} must be ${all}, not ${JSON.stringify(value)}`;
  }
  const [, missing] = MISSING.exec(message) ?? [];
  if (missing !== undefined) return `the ${missing} is missing`;
  const [, command, most] = EXCESS.exec(message) ?? [];
  if (command !== undefined) {
    const what = most === '0' ? 'no argument besides its options' : 'only one argument';
    return `${command} takes ${what}`;
  }
  const [, quoted] = /^error: unknown \w+ '(.*)'/s.exec(message) ?? [];
  const shown = quoted ? message.replace(quoted, () => withoutSecret(quoted)) : message;
  return shown.replace(/^error: /, '').replace(/\n/g, ' ');
}

/** The part of a wrong argument that cannot be a secret. */
function withoutSecret(argument: string): string {
  if (/^--[\w-]*$/.test(argument)) return argument;
  // `--user=name:password`, and `-pSECRET` as other programs have it.
  const [option] = /^--[\w-]*(?==)|^-\w/.exec(argument) ?? [];
  if (option !== undefined) return argument === option ? option : `${option}…`;
  if (!/:\/\//.test(argument)) return argument;
  return argument.replace(/:\/\/.*@/s, '://…@').replace(/[?#].*$/s, '?…');
}

function sayUsageError(
  message: string,
  args: readonly string[],
  { stdout, stderr, env }: Io,
): void {
  if (args.includes('--json') || /^(?:1|true|yes|on)$/i.test(env.BITS_UPLOAD_JSON ?? '')) {
    const failure = { code: 'BITS_ERR_ARGUMENT', message, retryable: false } as const;
    writeEvent(stdout, { type: 'error', file: null, url: null, ...failure });
  }
  const command = args.find((arg) => Object.hasOwn(COMMANDS, arg));
  say(stderr, `bits-upload: ${message}`);
  say(stderr, `Try 'bits-upload ${command === undefined ? '' : `${command} `}--help'.`);
}
