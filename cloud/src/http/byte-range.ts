/** A part of a file, from its first byte on. */
export interface ByteRange {
  readonly from: number;
  readonly bytes: number;
}

/**
 * What a Range header asks for (RFC 9110, section 14.2).
 * @returns null for the whole file: no range, several, or none that is one; `unsatisfiable` beyond its end
 */
export function byteRangeOf(header: string | undefined, size: number): ByteRange | 'unsatisfiable' | null {
  const [, first = '', last = ''] = /^bytes=(\d{0,15})-(\d{0,15})$/i.exec(header?.trim() ?? '') ?? [];
  if (first === '' && last === '') return null;
  if (first === '') {
    const bytes = Math.min(Number(last), size);
    return bytes === 0 ? 'unsatisfiable' : { from: size - bytes, bytes };
  }
  const from = Number(first);
  if (last !== '' && Number(last) < from) return null;
  if (from >= size) return 'unsatisfiable';
  const end = last === '' ? size : Math.min(size, Number(last) + 1);
  return { from, bytes: end - from };
}
