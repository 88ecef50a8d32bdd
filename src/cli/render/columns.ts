let segmenter: Intl.Segmenter | undefined;
let wide: RegExp | undefined;

/** Each character of a text as a person sees it, with its columns. */
function graphemes(text: string): { readonly text: string; readonly columns: number }[] {
  // Most names: the segmenter and the classes of characters take 15 ms of the start of the program.
  if (/^[\x20-\x7e]*$/.test(text)) return [...text].map((one) => ({ text: one, columns: 1 }));
  segmenter ??= new Intl.Segmenter(undefined, { granularity: 'grapheme' });
  wide ??=
    /\p{Emoji_Presentation}|[\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}\p{sc=Hangul}\u3000-\u303f\uff01-\uff60]/u;
  const isWide = wide;
  return Array.from(segmenter.segment(text), ({ segment }) => ({
    text: segment,
    columns: isWide.test(segment) ? 2 : 1,
  }));
}

/** The number of terminal columns of a text, accurate enough for a display of progress. */
export function columnsOf(text: string): number {
  return graphemes(text).reduce((sum, { columns }) => sum + columns, 0);
}

/**
 * The text cut to a number of columns.
 * @param mark stands for what is cut off at the end
 */
export function fitColumns(text: string, columns: number, mark = '…'): string {
  if (columnsOf(text) <= columns) return text;
  if (columns < mark.length) return '';
  return `${take(text, columns - mark.length)}${mark}`;
}

/** The text cut before its end: names often differ just before their extensions. */
export function fitMiddle(text: string, columns: number, mark = '…'): string {
  if (columnsOf(text) <= columns) return text;
  const left = columns - mark.length;
  if (left < 2) return fitColumns(text, columns, mark);
  const end = takeEnd(text, Math.floor(left * 0.6));
  return `${take(text, left - columnsOf(end))}${mark}${end}`;
}

function take(text: string, columns: number): string {
  return taken(graphemes(text), columns).join('');
}

function takeEnd(text: string, columns: number): string {
  return taken(graphemes(text).reverse(), columns).reverse().join('');
}

function taken(from: ReturnType<typeof graphemes>, columns: number): string[] {
  let used = 0;
  const end = from.findIndex((one) => {
    used += one.columns;
    return used > columns;
  });
  return (end < 0 ? from : from.slice(0, end)).map(({ text }) => text);
}
