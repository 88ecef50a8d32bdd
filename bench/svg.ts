export interface Bar {
  readonly label: string;
  readonly value: number;
  readonly ours: boolean;
}

export interface Line {
  readonly label: string;
  readonly points: readonly (readonly [x: number, y: number])[];
  readonly ours: boolean;
}

const WIDTH = 760;
const INK = '#24292f';
const FAINT = '#8c959f';
const OURS = '#0969da';
const OTHERS = ['#bf8700', '#1a7f37', '#8250df', '#cf222e', '#57606a', '#0a7ea4'];

const LABEL_WIDTH = 250;
const BAR_HEIGHT = 22;

/** Horizontal bars on one scale from zero. */
export function barChart(title: string, unit: string, bars: readonly Bar[]): string {
  const most = Math.max(...bars.map(({ value }) => value));
  const room = WIDTH - LABEL_WIDTH - 110;
  const rows = bars.map(({ label, value, ours }, index) => {
    const y = 44 + index * (BAR_HEIGHT + 8);
    const width = (value / most) * room;
    const middle = y + BAR_HEIGHT / 2 + 5;
    return [
      text(LABEL_WIDTH - 10, middle, label, 'end', ours ? OURS : INK),
      `<rect x="${LABEL_WIDTH}" y="${y}" width="${width.toFixed(1)}" height="${BAR_HEIGHT}" rx="3" fill="${ours ? OURS : FAINT}"/>`,
      text(LABEL_WIDTH + width + 8, middle, `${round(value)} ${unit}`, 'start', INK),
    ].join('\n');
  });
  return page(title, 56 + bars.length * (BAR_HEIGHT + 8), rows);
}

/** Lines over a horizontal axis in powers of two. */
export function lineChart(
  title: string,
  axes: { readonly x: string; readonly y: string; readonly tick: (x: number) => string },
  lines: readonly Line[],
): string {
  const [left, top, right, bottom] = [64, 48, WIDTH - 190, 330];
  const xs = lines.flatMap(({ points }) => points.map(([x]) => Math.log2(x)));
  const [least, greatest] = [Math.min(...xs), Math.max(...xs)];
  const most = Math.max(...lines.flatMap(({ points }) => points.map(([, y]) => y)));
  const atX = (x: number) =>
    left + ((Math.log2(x) - least) / Math.max(1e-9, greatest - least)) * (right - left);
  const atY = (y: number) => bottom - (y / most) * (bottom - top);
  const parts = [
    `<path d="M${left} ${top}V${bottom}H${right}" fill="none" stroke="${FAINT}"/>`,
    text(left, top - 8, axes.y, 'start', FAINT),
    text(right, bottom + 34, axes.x, 'end', FAINT),
    text(left - 6, atY(most) + 5, round(most), 'end', FAINT),
    text(left - 6, bottom + 5, '0', 'end', FAINT),
  ];
  const longest = lines.toSorted((a, b) => b.points.length - a.points.length)[0];
  for (const [x] of longest?.points ?? []) {
    parts.push(text(atX(x), bottom + 16, axes.tick(x), 'middle', FAINT));
  }
  lines.forEach(({ label, points, ours }, index) => {
    const colour = ours ? OURS : OTHERS[index % OTHERS.length];
    const path = points.map(([x, y]) => `${atX(x).toFixed(1)} ${atY(y).toFixed(1)}`).join('L');
    parts.push(
      `<path d="M${path}" fill="none" stroke="${colour}" stroke-width="${ours ? 3 : 1.5}"/>`,
      text(right + 12, top + 14 + index * 20, label, 'start', colour ?? INK),
    );
  });
  return page(title, 376, parts);
}

function page(title: string, height: number, parts: readonly string[]): string {
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="sans-serif" font-size="13">`,
    `<title>${escaped(title)}</title>`,
    `<rect width="${WIDTH}" height="${height}" fill="#ffffff"/>`,
    `<text x="16" y="24" font-size="15" font-weight="bold" fill="${INK}">${escaped(title)}</text>`,
    ...parts,
    '</svg>',
    '',
  ].join('\n');
}

function text(x: number, y: number, content: string, anchor: string, colour: string): string {
  return `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" text-anchor="${anchor}" fill="${colour}">${escaped(content)}</text>`;
}

function round(value: number): string {
  return value >= 100 ? value.toFixed(0) : value.toPrecision(3);
}

function escaped(content: string): string {
  return content.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;');
}
