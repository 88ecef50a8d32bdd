import { AccessLog, pushWithin } from './access-log.js';
import type { FaultPlan } from './faults.js';
import type { ResolvedOptions, Upload } from './options.js';
import { Referee } from './referee.js';
import { SessionStore } from './sessions.js';
import { ViolationLog } from './violations.js';

/** What all requests to one server share. */
export class ServerState {
  readonly options: ResolvedOptions;
  /** As `realpath` gives it. */
  readonly root: string;
  readonly faults: FaultPlan;
  readonly sessions: SessionStore;
  readonly log: AccessLog;
  readonly violations: ViolationLog;
  readonly referee: Referee;
  /** Uploads put into place, the oldest first. */
  readonly uploads: Upload[] = [];
  /** Host-ids that were given out. */
  readonly hostIds = new Set<string>();

  constructor(options: ResolvedOptions, faults: FaultPlan, root: string) {
    const { now, logLimit, onRequest } = options;
    this.options = options;
    this.root = root;
    this.faults = faults;
    this.sessions = new SessionStore(root, options);
    this.log = new AccessLog(logLimit, onRequest);
    this.violations = new ViolationLog(logLimit);
    this.referee = new Referee(this.sessions, this.violations, now);
  }

  noteUpload(upload: Upload): void {
    pushWithin(this.options.logLimit, this.uploads, upload);
  }
}
