// What the command line uses besides the public face; not in the exports of the package.

export { type FileSize, sizeOnServer } from './job/file-size.js';
export { DEFAULTS } from './job/options.js';
export { MAX_FRAGMENT_BYTES, MIN_FRAGMENT_BYTES } from './protocol/constants.js';
export { isTrustedHost } from './protocol/host-id.js';
export { appendFileName, parseRemoteUrl, redactUrl } from './protocol/remote-url.js';
export { namesThatMeet } from './protocol/windows-names.js';
export { MAX_LIMIT as MAX_CONCURRENCY } from './queue/auto-concurrency.js';
export { type Attempt, Hosts } from './queue/hosts.js';
export { PRIORITIES } from './queue/line.js';
export { checkedFileSource } from './source/file.js';
export { sourceIdentityChange } from './source/source.js';
export { defaultJobDirectory } from './store/file.js';
export { OwnFiles } from './store/own-files.js';
export { proxyChoice } from './transport/proxy/proxy-choice.js';
