import { isIP } from 'node:net';

/** What values of settings may be, and what is said when they are not. */

/** Reads one value. @throws Error whose message says what the value has to be */
export type Parse<T> = (text: string) => T;

export function wholeNumber(min: number, max: number): Parse<number> {
  return (text) => {
    const value = /^\d{1,10}$/.test(text) ? Number(text) : Number.NaN;
    if (!(value >= min && value <= max)) throw new Error(`has to be a whole number from ${min} to ${max}`);
    return value;
  };
}

export function oneOf<const T extends string>(choices: readonly T[]): Parse<T> {
  return (text) => {
    const found = choices.find((choice) => choice === text);
    if (found === undefined) throw new Error(`has to be one of ${choices.join(', ')}`);
    return found;
  };
}

export function url(...schemes: readonly string[]): Parse<string | null> {
  return (text) => {
    const protocol = URL.canParse(text) ? new URL(text).protocol : '';
    if (!schemes.includes(protocol.slice(0, -1))) throw new Error(`has to be a URL with ${schemes.join('://, ')}://`);
    return text;
  };
}

/** Node's fetch refuses such a URL, and says it in full, password included. */
export function urlWithoutCredentials(...schemes: readonly string[]): Parse<string | null> {
  const parse = url(...schemes);
  return (text) => {
    parse(text);
    const { username, password } = new URL(text);
    if (username !== '' || password !== '') throw new Error('must not hold a user or a password');
    return text;
  };
}

export function matching(pattern: RegExp, rule: string): Parse<string> {
  return (text) => {
    if (!pattern.test(text)) throw new Error(rule);
    return text;
  };
}

export const port = wholeNumber(0, 65_535);
const HOST = /^[A-Za-z0-9.:_-]{1,253}$/;
export const host = matching(HOST, 'has to be a host name or an address');
export const hosts: Parse<readonly string[]> = (text) => {
  const names = text.split(',').map((name) => name.trim());
  if (!names.every((name) => HOST.test(name)))
    throw new Error('has to be host names and addresses, with commas between');
  return names;
};
/** Addresses and networks. Nothing may mean everybody: whoever is named here is believed what he says of others. */
export const networks: Parse<readonly string[]> = (text) => {
  const named = text.split(',').map((one) => one.trim());
  if (!named.every(isNetwork))
    throw new Error('has to be addresses or networks (10.0.0.0/24), with commas between, and not everybody');
  return named;
};
function isNetwork(text: string): boolean {
  const [address = '', bits, ...rest] = text.split('/');
  const most = { 0: 0, 4: 32, 6: 128 }[isIP(address)] ?? 0;
  const length = bits === undefined ? most : /^[1-9][0-9]{0,2}$/.test(bits) ? Number(bits) : 0;
  return length > 0 && length <= most && rest.length === 0;
}
export const paths: Parse<readonly string[]> = (text) => {
  const files = text.split(',').map((file) => file.trim());
  if (text.includes('\0') || files.includes('')) throw new Error('has to be paths, with commas between');
  return files;
};
export const anything = matching(/^[^\0]+$/, 'has to be a path');
