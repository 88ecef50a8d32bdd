/** Text as the bytes of a header, in UTF-8: one character of the result is one byte on the wire. */
export function utf8HeaderText(text: string): string {
  return Buffer.from(text, 'utf8').toString('latin1');
}

/** Text between quotes (RFC 9110 §5.6.4). */
export function quoted(text: string): string {
  return `"${text.replace(/["\\]/g, '\\$&')}"`;
}
