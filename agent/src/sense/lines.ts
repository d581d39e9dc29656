/** What became of the bytes up to a delimiter. */
export type Line =
  | { readonly kind: 'line'; readonly text: string }
  | { readonly kind: 'malformed'; readonly why: LineFault };
type LineFault = 'longer than maxLineBytes' | 'not UTF-8';

export interface LineSplitter {
  /** Half lines wait for their end; empty lines are no lines. */
  push(chunk: Uint8Array): Line[];
}

const strictUtf8 = new TextDecoder('utf-8', { fatal: true });

/**
 * Cuts bytes into lines. Memory is bounded by `maxBytes` and one chunk: a longer line is told once,
 * as malformed, and skipped up to the next delimiter. How the bytes are chunked changes nothing.
 */
export function createLineSplitter({ delimiter, maxBytes }: { delimiter: string; maxBytes: number }): LineSplitter {
  const end = Buffer.from(delimiter, 'utf8');
  let waiting: Buffer = Buffer.alloc(0);
  let skipping = false;

  const take = (bytes: Buffer): Line | null => {
    const tooLong = bytes.length > maxBytes;
    const told = skipping;
    skipping = false;
    if (told) return null;
    return tooLong ? { kind: 'malformed', why: 'longer than maxLineBytes' } : toLine(bytes);
  };

  /** Past this length no delimiter can begin early enough, so the line is too long whatever follows. */
  const bound = (rest: Buffer): Line | null => {
    const overflows = !skipping && rest.length >= maxBytes + end.length;
    if (overflows) skipping = true;
    // A delimiter may have begun in the last bytes; a copy, so that the chunk itself is not kept alive.
    waiting = Buffer.from(skipping ? rest.subarray(Math.max(0, rest.length - end.length + 1)) : rest);
    return overflows ? { kind: 'malformed', why: 'longer than maxLineBytes' } : null;
  };

  return {
    push(chunk) {
      const lines: (Line | null)[] = [];
      let rest = Buffer.concat([waiting, chunk]);
      for (let at = rest.indexOf(end); at >= 0; at = rest.indexOf(end)) {
        lines.push(take(rest.subarray(0, at)));
        rest = rest.subarray(at + end.length);
      }
      lines.push(bound(rest));
      return lines.filter((line) => line !== null);
    },
  };
}

function toLine(bytes: Buffer): Line | null {
  try {
    const text = strictUtf8.decode(bytes).replace(/\r+$/, '');
    return text.trim() === '' ? null : { kind: 'line', text };
  } catch {
    return { kind: 'malformed', why: 'not UTF-8' };
  }
}
