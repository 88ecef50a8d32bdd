const segmenter = new Intl.Segmenter(undefined, { granularity: 'grapheme' });
const WIDE =
  /\p{Emoji_Presentation}|[\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}\p{sc=Hangul}\u3000-\u303f\uff01-\uff60]/u;

/** How many columns of a terminal a text takes, near enough for a progress bar. */
export function columnsOf(text: string): number {
  let columns = 0;
  for (const { segment } of segmenter.segment(text)) columns += WIDE.test(segment) ? 2 : 1;
  return columns;
}

/** The text cut to so many columns; what is cut off becomes `…`. */
export function fitColumns(text: string, columns: number): string {
  if (columnsOf(text) <= columns) return text;
  let fitting = '';
  let used = 1;
  for (const { segment } of segmenter.segment(text)) {
    used += WIDE.test(segment) ? 2 : 1;
    if (used > columns) break;
    fitting += segment;
  }
  return columns < 1 ? '' : `${fitting}…`;
}
