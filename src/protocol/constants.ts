/** The extension method of every BITS request ([MC-BUP] §2.2.1). */
export const BITS_METHOD = 'BITS_POST';

/** The one protocol that this client offers; some servers compare it as text ([MC-BUP] §2.2.2). */
export const BITS_UPLOAD_PROTOCOL = '{7df0354d-249b-430f-820d-3d2a9bef4931}';

/** The smallest fragment that Windows falls back to ([MC-BUP] <16>). */
export const MIN_FRAGMENT_BYTES = 5 * 1024;

/** The largest fixed fragment size a caller may ask for. */
export const MAX_FRAGMENT_BYTES = 2 * 1024 ** 3;

/** IIS refuses a header value above this with 400 + 0x80070057 ([MC-BUP] <2>). */
export const MAX_HEADER_VALUE_BYTES = 4096;

/** Longest session id that the protocol allows (Win32: ack-for-create-session). */
export const MAX_SESSION_ID_LENGTH = 100;

/** Longest Content-Name ([MC-BUP] <3>). */
export const MAX_CONTENT_NAME_LENGTH = 260;

/** Wire spelling of each packet type ([MC-BUP] §2.2). */
export const PACKET_TYPE_NAMES = {
  'create-session': 'Create-Session',
  ping: 'Ping',
  fragment: 'Fragment',
  'close-session': 'Close-Session',
  'cancel-session': 'Cancel-Session',
} as const;

export const ACK_PACKET_TYPE = 'Ack';
