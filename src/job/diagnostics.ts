import { channel } from 'node:diagnostics_channel';

/** What others may listen to, without touching the code that uploads (docs/diagnostics.md). */
export const CHANNELS = Object.freeze({
  request: channel('bits-upload:request'),
  response: channel('bits-upload:response'),
  failure: channel('bits-upload:failure'),
  state: channel('bits-upload:state'),
  retry: channel('bits-upload:retry'),
  warning: channel('bits-upload:warning'),
});

/** Headers whose values hold no secret; all others are shown as `[redacted]`. */
const SHOWN_HEADERS: ReadonlySet<string> = new Set([
  'accept',
  'accept-encoding',
  'accept-ranges',
  'age',
  'allow',
  'cache-control',
  'connection',
  'content-encoding',
  'content-length',
  'content-name',
  'content-range',
  'content-type',
  'date',
  'etag',
  'if-range',
  'keep-alive',
  'last-modified',
  'pragma',
  'range',
  'retry-after',
  'server',
  'user-agent',
  'vary',
  'via',
  'x-aspnet-version',
  'x-correlation-id',
  'x-http-method-override',
  'x-powered-by',
  'x-request-id',
]);

/** A copy of headers that may go to a log. */
export function redactHeaders(
  headers: Readonly<Record<string, string | undefined>>,
): Record<string, string> {
  const shown: [string, string][] = [];
  for (const [name, value] of Object.entries(headers)) {
    if (value === undefined) continue;
    shown.push([name, isShown(name.toLowerCase()) ? value : '[redacted]']);
  }
  return Object.fromEntries(shown);
}

function isShown(lowerCaseName: string): boolean {
  // A reply URL may hold a signature in its query.
  if (lowerCaseName === 'bits-reply-url') return false;
  return lowerCaseName.startsWith('bits-') || SHOWN_HEADERS.has(lowerCaseName);
}
