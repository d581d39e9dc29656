import { TufError } from './tuf-error.ts';

const MAX_DEPTH = 32;
/** What matters for the shape of JSON that is known to be well-formed: strings, brackets and what separates. */
const TOKENS = /"(?:[^"\\]|\\.)*"|[{}[\]:]/g;

/**
 * Reads JSON that has one meaning only: two members of one name would let two programs see two documents under one
 * signature. Linear in its length, because nothing of it is signed yet.
 * @throws TufError `tuf_malformed`
 */
export function parseStrictJson(bytes: Uint8Array): unknown {
  const [text, value] = decode(bytes);
  /** The names seen so far, for each object that is open; null for a list. */
  const open: (Set<string> | null)[] = [];
  let last = '';
  for (const [token] of text.matchAll(TOKENS)) {
    if (token.includes('\\u')) checkCharacters(token);
    if (token === ':') addName(open.at(-1), last);
    if (token === '}' || token === ']') open.pop();
    if (token === '{' || token === '[') open.push(token === '{' ? new Set() : null);
    if (open.length > MAX_DEPTH) throw new TufError('tuf_malformed', `nested deeper than ${MAX_DEPTH}`);
    last = token;
  }
  return value;
}

/** Half of a pair has no bytes in UTF-8: two texts would have one canonical form. */
function checkCharacters(token: string): void {
  if (!String(JSON.parse(token)).isWellFormed()) throw new TufError('tuf_malformed', `${token} is no text`);
}

function addName(names: Set<string> | null | undefined, token: string): void {
  const name = String(JSON.parse(token));
  if (names?.has(name) !== false) throw new TufError('tuf_malformed', `the member ${token} is there twice`);
  // It would be no member at all for half of the code that reads it.
  if (name === '__proto__') throw new TufError('tuf_malformed', name);
  names.add(name);
}

function decode(bytes: Uint8Array): [text: string, value: unknown] {
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
    return [text, JSON.parse(text)];
  } catch (cause) {
    throw new TufError('tuf_malformed', 'not JSON in UTF-8', { cause });
  }
}
