/**
 * Takes out of a text what must never leave the kiosk: keys, tokens, claims, passwords, numbers of cards. What looks
 * like a secret goes, even if it was none: a crash is understood without it.
 */
export const REDACTED = '[redacted]';

/** Longer texts are cut before: every pattern costs time in proportion to what it reads. */
const MOST_CHARS = 65_536;

interface Rule {
  readonly pattern: RegExp;
  /** What stays of a match; absent: nothing does. */
  readonly keeps?: (match: string, ...groups: string[]) => string;
}

/** Words behind which a secret stands. */
const SECRET_WORDS =
  'pass(?:word|phrase|wd)?|pwd|secret|token|claim|pin|cvv|cvc|pan|psk|credential|authorization|cookie|session|signature|nonce|private[_-]?key|api[_-]?key|access[_-]?key|key';

const RULES: readonly Rule[] = [
  // PEM (RFC 7468), whole or cut off.
  { pattern: /-----BEGIN [A-Z0-9 ]{1,64}-----[^-]*(?:-----END [A-Z0-9 ]{1,64}-----)?/g },
  // The user and password of a URL (RFC 3986, section 3.2.1).
  { pattern: /(\b[a-z][a-z0-9+.-]{0,31}:\/\/)[^\s/@]{1,256}@/gi, keeps: (_match, scheme) => `${scheme}${REDACTED}@` },
  // A compact JWS or JWE, and its beginning: `eyJ` is how `{"` begins in base64url.
  { pattern: /\beyJ[A-Za-z0-9_-]{6,}(?:\.[A-Za-z0-9_-]*){0,4}/g },
  // Authorization: Bearer abc, Basic abc.
  { pattern: /\b(bearer|basic|digest)[ \t]+[^\s"',;]+/gi, keeps: (_match, scheme) => `${scheme} ${REDACTED}` },
  // password=abc, "token":"abc", token: abc. The name may have more in front: kioskPassword, MQTT_TOKEN.
  {
    pattern: new RegExp(
      `((?:${SECRET_WORDS})s?["']?[ \\t]{0,4}[:=][ \\t]{0,4})("[^"\\n]*"?|'[^'\\n]*'?|[^\\s,;&)}\\]]+)`,
      'gi',
    ),
    keeps: (_match, name) => `${name}${REDACTED}`,
  },
  // Numbers of cards (ISO/IEC 7812), with spaces or hyphens in between; and anything as long as one.
  {
    pattern: /(?<![\d.])\d(?:[ -]?\d){11,18}(?![\d.])/g,
    keeps: (match) => (isCardNumber(match) ? REDACTED : match),
  },
  // Bytes of a key in hexadecimal or base64, of 128 bits or more, but for what a UUID or a path is.
  { pattern: /\b[0-9a-f]{32,}\b/gi },
  {
    pattern: /[A-Za-z0-9+/_-]{40,}={0,2}/g,
    keeps: (match) => (isBytes(match) ? REDACTED : match),
  },
];

export function redact(text: string): string {
  let left = text.slice(0, MOST_CHARS);
  for (const { pattern, keeps } of RULES) left = left.replace(pattern, keeps ?? (() => REDACTED));
  return left;
}

/** Twelve digits or more of which the last one checks the others (Luhn, ISO/IEC 7812-1, annex B). */
function isCardNumber(text: string): boolean {
  const digits = text.replaceAll(/\D/g, '');
  const sum = [...digits].toReversed().reduce((total, digit, at) => {
    const value = Number(digit) * (at % 2 === 0 ? 1 : 2);
    return total + (value > 9 ? value - 9 : value);
  }, 0);
  return digits.length >= 12 && sum % 10 === 0;
}

/** In words and paths neighbours mostly are of one kind, lower case for the most part; of bytes two thirds are not. */
const BYTES_SHARE = 0.33;

function isBytes(text: string): boolean {
  const kinds = [...text].map((one) =>
    /[a-z]/.test(one) ? 'a' : /[A-Z]/.test(one) ? 'A' : /\d/.test(one) ? '0' : '-',
  );
  return kinds.filter((kind, at) => at > 0 && kind !== kinds[at - 1]).length / text.length > BYTES_SHARE;
}
