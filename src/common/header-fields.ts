const NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
// Bytes above 0x7F pass: a session id is echoed as it came.
const VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;

/** A header name as RFC 9110 §5.6.2 has it, which is also the form of a method. */
export function isToken(text: string): boolean {
  return NAME.test(text);
}

/** A value that may stand in a header line as it is, one byte a character. */
export function isHeaderValue(text: string): boolean {
  return VALUE.test(text);
}

const CREDENTIAL_HEADERS: ReadonlySet<string> = new Set([
  'authorization',
  'cookie',
  'proxy-authorization',
]);

/** True for headers that must not reach another host unasked. */
export function isCredentialHeader(name: string): boolean {
  return CREDENTIAL_HEADERS.has(name.toLowerCase());
}

/** The value of a header, however its name is written. */
export function headerValue(
  headers: Readonly<Record<string, string>>,
  name: string,
): string | undefined {
  const lowerCase = name.toLowerCase();
  return Object.entries(headers).find(([key]) => key.toLowerCase() === lowerCase)?.[1];
}

const BLANKS = ' \t';

/** Without blanks and tabs around it, in linear time whatever a stranger sent. */
export function trimBlanks(value: string): string {
  let start = 0;
  let end = value.length;
  while (start < end && BLANKS.includes(value.charAt(start))) start++;
  while (end > start && BLANKS.includes(value.charAt(end - 1))) end--;
  return value.slice(start, end);
}
