/** `bits-upload/bullmq`: uploads by many machines, with BullMQ and Redis. */
export type { RedisPatience } from './bullmq/ask-redis.js';
export type { CredentialsByName, NamedCredentials } from './bullmq/credentials.js';
export {
  cancelUpload,
  enqueueUploads,
  retryUpload,
  uploadFlowJob,
  uploadState,
} from './bullmq/enqueue.js';
export type {
  FleetJob,
  FleetQueue,
  FleetResult,
  UploadWorkerEvents,
} from './bullmq/fleet-job.js';
export type { FleetSource, ResolveSource, VersionedStream } from './bullmq/fleet-source.js';
export {
  type ActiveUpload,
  type FailedUpload,
  type FleetStatus,
  fleetStatus,
} from './bullmq/fleet-status.js';
export type { FleetJobData, FleetReplyOptions, FleetUploadOptions } from './bullmq/job-data.js';
export type { FleetProgress } from './bullmq/job-progress.js';
export type { WorkerDefaults } from './bullmq/job-run.js';
export {
  type OpenUploadQueue,
  openUploadQueue,
  type UploadQueueConnection,
} from './bullmq/open-queue.js';
export type { RedisConnectionInput } from './bullmq/redis-connection.js';
export { createRedisStore, type RedisStoreOptions } from './bullmq/redis-store.js';
export {
  createUploadWorker,
  UploadWorker,
  type UploadWorkerOptions,
} from './bullmq/upload-worker.js';
