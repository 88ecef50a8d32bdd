export type { LoggedRequest, RequestKind, RequestOutcome } from './access-log.js';
export type { HeaderChanges } from './answer.js';
export { type BitsServer, createBitsServer } from './bits-server.js';
export type { Fault, FaultAction, FaultTarget, StatusFault } from './faults.js';
export type { BitsServerOptions, Upload } from './options.js';
export type { ReplyBody, ReplyPlan, ReplyResult } from './replies.js';
export type { SinkKind } from './sinks.js';
export type { Violation, ViolationCode } from './violations.js';
