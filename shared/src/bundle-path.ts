import { BundleError } from './bundle-error.ts';

const MAX_PATH_BYTES = 1024;
const MAX_NAME_BYTES = 255;
const utf8 = new TextEncoder();

/** What stands in every slot beside the payload: a payload must not have it. */
export const SLOT_OWN_DIRECTORY = '.paddock';

/**
 * A path that every file system of a kiosk holds as it stands: relative, `/` between names, in Unicode's normal form C,
 * without control characters, without `.` and `..`.
 * @throws BundleError `path_invalid`
 */
export function checkPath(path: string): void {
  const fault = pathFault(path);
  if (fault !== null) throw new BundleError('path_invalid', `${JSON.stringify(path.slice(0, 200))} ${fault}`);
}

function pathFault(path: string): string | null {
  if (isLonger(path, MAX_PATH_BYTES)) return `is longer than ${MAX_PATH_BYTES} bytes`;
  if (!path.isWellFormed() || path.normalize('NFC') !== path) return 'is not in normal form C';
  if (hasControl(path)) return 'has a control character or a backslash';
  const names = path.split('/');
  if (names[0]?.toLowerCase() === SLOT_OWN_DIRECTORY) return `begins with ${SLOT_OWN_DIRECTORY}`;
  if (names.some((name) => name === '' || name === '.' || name === '..')) return 'has an empty name, . or ..';
  if (names.some((name) => isLonger(name, MAX_NAME_BYTES))) return `has a name of over ${MAX_NAME_BYTES} bytes`;
  return null;
}

/** A unit of UTF-16 is three bytes at most, so most texts need not be encoded to know. */
const isLonger = (text: string, bytes: number): boolean => text.length * 3 > bytes && utf8.encode(text).length > bytes;

/** Controls of ASCII and Latin-1, Unicode's line ends, and what other systems take for a separator. */
const hasControl = (text: string): boolean => /[\p{Cc}\p{Zl}\p{Zp}\\]/u.test(text);

/**
 * A link stays within the slot: its target is relative and, by names alone, leads to a path below the slot's root.
 * No path lies under a link, so names alone decide.
 * @throws BundleError `link_outside` or `path_invalid`
 */
export function checkLink(path: string, target: string): void {
  const outside = (): BundleError =>
    new BundleError('link_outside', `${path} -> ${JSON.stringify(target.slice(0, 200))}`);
  if (target === '' || target.startsWith('/')) throw outside();
  const reached = path.split('/').slice(0, -1);
  for (const name of target.split('/')) {
    if (name === '..') {
      if (reached.pop() === undefined) throw outside();
    } else if (name !== '.') reached.push(name);
  }
  if (reached.length === 0) throw outside();
  checkPath(reached.join('/'));
}

/** The directory that a path lies in; null for what lies in none. */
export function parentOf(path: string): string | null {
  const end = path.lastIndexOf('/');
  return end < 0 ? null : path.slice(0, end);
}

/** What two names have in common on a file system that does not tell cases apart. */
export const foldCase = (path: string): string => path.toLowerCase().normalize('NFC');
