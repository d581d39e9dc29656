/** What a part of a pattern can match. In doubt it says false, so that no pattern is refused that is sound. */
interface Part {
  /** It can match nothing at all, wherever it stands. */
  readonly empty: boolean;
  readonly consumes: boolean;
  /** One repetition without end can be all of it. */
  readonly loops: boolean;
  /** It repeats a part that loops. */
  readonly explodes: boolean;
}

const PLAIN: Part = { empty: false, consumes: true, loops: false, explodes: false };
/** Assertions and references back. */
const UNKNOWN: Part = { ...PLAIN, consumes: false };

const TOKENS = new RegExp(
  [
    /(?<open>\((?:\?(?:<?[=!]|[a-z-]*:|<[^>]*>))?)/,
    /(?<close>\))/,
    /(?<or>\|)/,
    /(?<times>[*+?]\??|\{\d+(?:,\d*)?\}\??)/,
    /(?<unknown>[$^]|\\[bB]|\\k<[^>]*>|\\[1-9]\d*)/,
    /\[(?:\\[^]|[^\]\\])*\]|\\(?:[pPu]\{[^}]*\}|u[\da-f]{4}|x[\da-f]{2}|c[a-z]|[^])|[^]/,
  ]
    .map(({ source }) => source)
    .join('|'),
  'giu',
);

/**
 * Whether a pattern repeats what repeats itself, as (a+)+ does: on a line that does not fit, each further letter doubles
 * the time until that is known. Finds these, and not every pattern that is slow.
 * @param pattern one that compiles
 */
export function repeatsItself(pattern: string): boolean {
  const tokens = [...pattern.matchAll(TOKENS)].map(({ 0: text, groups = {} }) => ({ text, ...groups }));
  return alternatives(tokens.values()).explodes;
}

type Token = { readonly text: string } & Readonly<
  Partial<Record<'open' | 'close' | 'or' | 'times' | 'unknown', string>>
>;

/** Reads to the end of the group. */
function alternatives(tokens: Iterator<Token>): Part {
  const found: Part[][] = [[]];
  for (let next = tokens.next(); !next.done && !next.value.close; next = tokens.next()) {
    const { text, open, or, times, unknown } = next.value;
    const parts = found.at(-1) ?? [];
    if (or) found.push([]);
    else if (times) parts.push(repeated(parts.pop() ?? UNKNOWN, times));
    else if (open) parts.push(group(open, alternatives(tokens)));
    else if (text) parts.push(unknown ? UNKNOWN : PLAIN);
  }
  const sequences = found.map(sequence);
  return {
    empty: sequences.some(({ empty }) => empty),
    consumes: sequences.some(({ consumes }) => consumes),
    loops: sequences.some(({ loops }) => loops),
    explodes: sequences.some(({ explodes }) => explodes),
  };
}

const sequence = (parts: readonly Part[]): Part => ({
  empty: parts.every(({ empty }) => empty),
  consumes: parts.some(({ consumes }) => consumes),
  loops: parts.some((part, at) => part.loops && parts.every(({ empty }, other) => other === at || empty)),
  explodes: parts.some(({ explodes }) => explodes),
});

/** What looks ahead or behind consumes nothing. */
const group = (open: string, inside: Part): Part =>
  /[=!]$/.test(open) ? { ...UNKNOWN, explodes: inside.explodes } : inside;

function repeated(part: Part, times: string): Part {
  const isEndless = /^(?:[*+]|\{\d+,\})/.test(times);
  const least = Number(/^\{(\d+)/.exec(times)?.[1] ?? (times.startsWith('+') ? 1 : 0));
  return {
    empty: part.empty || least === 0,
    consumes: part.consumes,
    loops: least <= 1 && ((isEndless && part.consumes) || part.loops),
    explodes: part.explodes || (isEndless && part.loops),
  };
}
