/** One column: its heading, and what a row shows in it. */
export interface Column<Row> {
  readonly heading: string;
  readonly show: (row: Row) => unknown;
}

const GAP = '  ';
/** Control characters would move a terminal's cursor or colour it. */
const CONTROL = /\p{Cc}/gu;

/** Text that came from elsewhere, safe for a terminal, on one line. Nothing is shown as `-`. */
export function plain(value: unknown): string {
  if (value === null || value === undefined || value === '') return '-';
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  return text.replace(CONTROL, '\u{FFFD}');
}

/** Rows under headings, aligned by characters; each column as wide as its widest value. */
export function table<Row>(rows: readonly Row[], columns: readonly Column<Row>[]): string {
  const lines = [
    columns.map(({ heading }) => heading),
    ...rows.map((row) => columns.map(({ show }) => plain(show(row)))),
  ];
  const widths = columns.map((_, at) => Math.max(...lines.map((cells) => cells[at]?.length ?? 0)));
  return lines
    .map((cells) =>
      cells
        .map((cell, at) => cell.padEnd(widths[at] ?? 0))
        .join(GAP)
        .trimEnd(),
    )
    .join('\n');
}

/** One thing, a line an attribute. */
export function sheet(item: Readonly<Record<string, unknown>>): string {
  const width = Math.max(0, ...Object.keys(item).map(({ length }) => length));
  return Object.entries(item)
    .map(([name, value]) => `${name.padEnd(width)}${GAP}${plain(value)}`)
    .join('\n');
}
