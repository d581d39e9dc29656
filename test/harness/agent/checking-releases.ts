import { sha256Of } from '@paddock/agent/slots/whole.ts';
import { releaseOf, type TestRelease } from './slots.ts';

/** Where the program of a release says that it runs, in what it may write. */
export const RAN_FILE = 'data/ran';
export const saidBy = (counter: number): string => `whole ${counter}`;

/** Made when a release has said for the first time that it is whole: when that was. */
export const firstFileOf = (counter: number): string => `data/first-${counter}`;

/**
 * A program that looks at its own slot when it starts, and says into `ran` whether that is whole. Not at once: whoever
 * does not wait for it shows.
 */
const KIOSK = (counter: number): string => `#!/bin/sh
sleep 0.1
[ -e "$PADDOCK_APP_DIR/first-${counter}" ] || : >"$PADDOCK_APP_DIR/first-${counter}"
if sha256sum --check --status sums; then echo ${saidBy(counter)}; else echo broken ${counter}; fi >>"$PADDOCK_APP_DIR/ran"
exec sleep 1000
`;

/** A third of its files is in every release. */
export function checkingRelease(counter: number): TestRelease {
  const files = Object.fromEntries(
    Array.from({ length: 120 }, (_, at): [string, string] => [
      `lib/${at % 7}/file-${at}`,
      `content ${at} of ${at % 3 === 0 ? 'all' : counter} `.repeat(20 + at),
    ]),
  );
  const whole = { ...files, 'bin/kiosk': KIOSK(counter) };
  const sums = Object.entries(whole).map(([path, text]) => `${sha256Of(Buffer.from(text))}  ${path}\n`);
  return releaseOf(counter, { ...whole, sums: sums.join('') });
}
