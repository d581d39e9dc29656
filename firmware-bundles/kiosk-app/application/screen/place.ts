import { readFileSync } from 'node:fs';

/** The socket in the application's directory. Relative: the path of a Unix socket is 107 bytes long at most. */
export const SOCKET = 'kiosk-app.sock';

/** Goes to the directory that application and probe meet in, and that outlives releases. */
export function enterDirectory(): void {
  const directory = process.env['PADDOCK_APP_DIR'];
  if (!directory) fail('PADDOCK_APP_DIR has to name a directory');
  process.chdir(directory);
}

/** A file of this release, as JSON. */
export const readJson = (path: string): unknown =>
  JSON.parse(readFileSync(new URL(`../${path}`, import.meta.url), 'utf8'));

/** Of this release. */
export const { version } = readJson('package.json') as { readonly version: string };

export function fail(message: string): never {
  process.stderr.write(`kiosk-app: ${message}\n`);
  process.exit(1);
}
