import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const MADE = 'PADDOCK_TEST_TMP';

/**
 * Vitest's global setup: whatever a run leaves among temporary files goes with it, unless it has failed. Of a short name,
 * for sockets have paths of 107 bytes at most (unix(7)); open to brokers and databases that are other users.
 */
export function setup(): void {
  if (process.env[MADE] !== undefined) return;
  const folder = mkdtempSync(join(tmpdir(), 'pt-'));
  chmodSync(folder, 0o755);
  process.env[MADE] = process.env['TMPDIR'] = folder;
  // After all that other setups end.
  process.once('exit', (code) => {
    if (code === 0) rmSync(folder, { recursive: true, force: true });
  });
}
