/** Patterns are compiled once, at start. Unicode mode refuses the escapes that mean nothing. */
export const compilePattern = (pattern: string): RegExp => new RegExp(pattern, 'u');

/** Names of the groups that a pattern can fill. */
export const groupsOf = (pattern: string): string[] =>
  [...pattern.matchAll(/\(\?<([\p{ID_Start}$_][\p{ID_Continue}$]*)>/gu)].flatMap(([, name]) => (name ? [name] : []));
