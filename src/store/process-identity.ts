import { readFile, readlink } from 'node:fs/promises';
import { hostname } from 'node:os';
import { threadId } from 'node:worker_threads';
import { codeOf } from '../common/error-like.js';

/** What tells one process from every other, also from a later one with the same pid. */
export interface ProcessIdentity {
  readonly pid: number;
  readonly hostName: string;
  /** Only from Linux: which boot, pid namespace and moment of it the process belongs to. */
  readonly linux?: LinuxIdentity | undefined;
  /** Of a worker thread, which may end before its process. */
  readonly thread?: number | undefined;
}

export interface LinuxIdentity {
  readonly bootId: string;
  readonly pidNamespace: string;
  /** Clock ticks from boot to the start of the process. */
  readonly startTicks: string;
}

/** `unknown`: this machine cannot tell. */
export type Fate = 'alive' | 'dead' | 'unknown';

/** Kept, because every lock needs it, and it takes three files to read. */
let ownLinuxIdentity: LinuxIdentity | undefined;

export async function identifyThisProcess(): Promise<ProcessIdentity> {
  ownLinuxIdentity ??= await readLinuxIdentity();
  const thread = threadId === 0 ? undefined : threadId;
  return { pid: process.pid, hostName: hostname(), linux: ownLinuxIdentity, thread };
}

async function readLinuxIdentity(): Promise<LinuxIdentity | undefined> {
  if (process.platform !== 'linux') return undefined;
  try {
    const [bootId, pidNamespace, stat] = await Promise.all([
      readFile('/proc/sys/kernel/random/boot_id', 'utf8'),
      readlink('/proc/self/ns/pid'),
      readFile(`/proc/${process.pid}/stat`, 'utf8'),
    ]);
    const startTicks = parseStat(stat)?.startTicks;
    if (startTicks === undefined) return undefined;
    return { bootId: bootId.trim(), pidNamespace, startTicks };
  } catch {
    // Without /proc: whether a process lives is then judged as on other systems.
    return undefined;
  }
}

/** Whether the process that `owner` names still runs, as far as `self` can see. */
export async function fateOf(owner: ProcessIdentity, self: ProcessIdentity): Promise<Fate> {
  // Also on Linux: a copy of a virtual machine has the boot id of the original.
  if (owner.hostName !== self.hostName) return 'unknown';
  if (owner.linux !== undefined && self.linux !== undefined) {
    const visible =
      owner.linux.bootId === self.linux.bootId &&
      owner.linux.pidNamespace === self.linux.pidNamespace;
    const fate = visible ? await fateOnLinux(owner.pid, owner.linux.startTicks) : 'unknown';
    // A thread that was terminated leaves its claim in a process that lives.
    return fate === 'alive' && owner.thread !== undefined ? 'unknown' : fate;
  }
  if (owner.linux !== undefined || self.linux !== undefined) return 'unknown';
  // A pid that exists may have been given to another process since.
  return exists(owner.pid) ? 'unknown' : 'dead';
}

async function fateOnLinux(pid: number, startTicks: string): Promise<Fate> {
  let stat: string;
  try {
    stat = await readFile(`/proc/${pid}/stat`, 'utf8');
  } catch (error) {
    const code = codeOf(error);
    // ESRCH: it ended while it was read. With hidepid, other users' processes only seem not to be.
    if (code !== 'ENOENT' && code !== 'ESRCH') return 'unknown';
    return exists(pid) ? 'unknown' : 'dead';
  }
  const found = parseStat(stat);
  if (found === undefined) return 'unknown';
  if (found.startTicks !== startTicks) return 'dead';
  // A zombie was killed and is not yet reaped by its parent.
  return /^[ZXx]$/.test(found.state) ? 'dead' : 'alive';
}

function exists(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return codeOf(error) !== 'ESRCH';
  }
}

/** Reads proc_pid_stat(5); the name of the program, in parentheses, may hold any character. */
function parseStat(stat: string): { state: string; startTicks: string } | undefined {
  const afterName = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const [state, startTicks] = [afterName[0], afterName[19]];
  return state === undefined || startTicks === undefined ? undefined : { state, startTicks };
}
