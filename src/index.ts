export { diagnose } from './diagnose/diagnose.js';
export type { DiagnoseOptions } from './diagnose/options.js';
export type { DiagnosisStep, DiagnosisStepName } from './diagnose/step.js';
export {
  BitsAbortError,
  BitsArgumentError,
  BitsError,
  type BitsErrorCode,
  type BitsErrorJson,
  type BitsErrorOptions,
  BitsProtocolError,
  BitsServerError,
  BitsStateError,
  BitsStoreError,
  BitsTimeoutError,
  BitsTransportError,
  isBitsError,
  type ServerErrorDetails,
  type StoreErrorReason,
} from './errors.js';
export { Bandwidth, type BandwidthOptions } from './job/bandwidth.js';
export type { HeadersInput } from './job/check-headers.js';
export type {
  UploadJobEvents,
  UploadResult,
  UploadState,
  UploadWarning,
} from './job/events.js';
export type {
  RetryDecision,
  RetryInput,
  TimeoutOptions,
  UploadOptions,
} from './job/options.js';
export type {
  PacketKind,
  PacketRequest,
  PacketResponse,
  RequestHook,
  ResponseHook,
} from './job/packet-hooks.js';
export type { UploadProgress } from './job/progress.js';
export { UploadJob, type UploadJobJson } from './job/upload-job.js';
export type { HostId, PacketType, WireHeaders } from './protocol/packets.js';
export type { Priority } from './queue/line.js';
export type { QueuedUploadOptions, QueueOptions } from './queue/options.js';
export type { QueueProgress } from './queue/queue-progress.js';
export {
  type RestoredJobs,
  UploadQueue,
  type UploadQueueEvents,
} from './queue/upload-queue.js';
export type { ReplyResumePoint } from './reply/download.js';
export type { ReplyEntity } from './reply/entity.js';
export type { ReplyOption, ReplyOptions } from './reply/reply-option.js';
export type { StoredReply } from './reply/sink.js';
export type { SessionSnapshot, SessionState } from './session/session.js';
export { type BlobInput, blobSource } from './source/blob.js';
export { bytesSource } from './source/bytes.js';
export type { StreamInput, WebStreamInput } from './source/chunk-feed.js';
export { fileSource } from './source/file.js';
export { type SizedStream, sizedStreamSource } from './source/sized-stream.js';
export type { ByteSource, OpenSource, SourceIdentity } from './source/source.js';
export { type SpoolOptions, type StreamSourceOptions, streamSource } from './source/stream.js';
export type { SourceInput } from './source/to-source.js';
export { createFileStore, type FileStoreOptions } from './store/file.js';
export { createMemoryStore } from './store/memory.js';
export {
  type JobRecord,
  parseRecord,
  type RecordReply,
  serializeRecord,
} from './store/record.js';
export type {
  JobLock,
  JobStore,
  LockOwner,
  LockResult,
  StoredJobs,
  StoreProblem,
} from './store/store.js';
export type { Credentials, CredentialsInput } from './transport/auth/credentials.js';
export type { AuthOptions, AuthSchemeName } from './transport/auth/options.js';
export { createFetchTransport, type FetchTransportOptions } from './transport/fetch.js';
export type { ProxyOption, ProxyOptions } from './transport/proxy/proxy-server.js';
export type { TlsOptions } from './transport/tls-options.js';
export type {
  SendOptions,
  Transport,
  TransportLimitation,
  WireBody,
  WireConnection,
  WireRequest,
  WireResponse,
} from './transport/transport.js';
export { createUndiciTransport, type UndiciTransportOptions } from './transport/undici.js';
export { VERSION } from './version.js';
