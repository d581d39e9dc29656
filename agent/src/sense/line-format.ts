/** Patterns are compiled once, at start. Unicode mode refuses the escapes that mean nothing. */
export const compilePattern = (pattern: string): RegExp => new RegExp(pattern, 'u');

/** Why a pattern is none, or null when it is one. */
export function patternFault(pattern: string): string | null {
  try {
    compilePattern(pattern);
    return null;
  } catch (cause) {
    return cause instanceof Error ? cause.message : String(cause);
  }
}

/** Names of the groups that a pattern can fill. */
export const groupsOf = (pattern: string): string[] =>
  [...pattern.matchAll(/\(\?<([\p{ID_Start}$_][\p{ID_Continue}$]*)>/gu)].flatMap(([, name]) => (name ? [name] : []));
