import { access } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../../ports.ts';
import { createAsk } from './ask.ts';

const ANSWER_WITHIN_MS = 1_000;

/** Whether the machine is being shut down in good order; null where nobody says so. Never rejects. */
export async function machineGoesDown(
  clock: Pick<Clock, 'sleep'>,
  { root = '/', path = process.env['PATH'] }: { readonly root?: string; readonly path?: string | undefined } = {},
): Promise<boolean | null> {
  // sd_booted(3)
  const isBooted = access(join(root, 'run/systemd/system')).then(
    () => true,
    () => false,
  );
  if (!(await isBooted)) return null;
  const said = (await createAsk(clock, path, ANSWER_WITHIN_MS)('systemctl', 'is-system-running'))?.trim();
  return said === undefined || said === '' || said === 'unknown' || said === 'offline' ? null : said === 'stopping';
}
