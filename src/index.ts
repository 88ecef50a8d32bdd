export {
  BitsAbortError,
  BitsArgumentError,
  BitsError,
  type BitsErrorCode,
  BitsProtocolError,
  BitsServerError,
  BitsStateError,
  BitsTimeoutError,
  BitsTransportError,
  isBitsError,
} from './errors.js';
