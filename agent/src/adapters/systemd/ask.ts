import { execFile } from 'node:child_process';
import type { Clock } from '../../ports.ts';

const ANSWER_WITHIN_MS = 3_000;
const MOST_ANSWER_BYTES = 262_144;
/** What cannot even be killed is not waited for. */
const ENDS_WITHIN_MS = 500;

/** What a program says; null when it cannot be started, or does not end in time. Never rejects. */
export type Ask = (program: string, ...args: string[]) => Promise<string | null>;

/** @param path where programs are looked for */
export function createAsk(
  clock: Pick<Clock, 'sleep'>,
  path: string | undefined = process.env['PATH'],
  withinMs = ANSWER_WITHIN_MS,
): Ask {
  const env = { PATH: path, LC_ALL: 'C', SYSTEMD_COLORS: '0', SYSTEMD_PAGER: '' };
  const options = { env, timeout: withinMs, killSignal: 'SIGKILL', maxBuffer: MOST_ANSWER_BYTES } as const;
  return async (program, ...args) => {
    const over = new AbortController();
    const answer = new Promise<string | null>((resolve) => {
      const child = execFile(program, args, options, (error, stdout) => {
        over.abort();
        // Programs that were asked for several things end with a code where one of them is not there.
        resolve(error === null || (typeof error.code === 'number' && error.killed !== true) ? stdout : null);
      });
      over.signal.addEventListener('abort', () => {
        child.unref();
        child.stdout?.destroy();
        child.stderr?.destroy();
      });
    });
    const late = clock.sleep(withinMs + ENDS_WITHIN_MS, over.signal).then(() => null);
    const first = await Promise.race([answer, late]);
    over.abort();
    return first;
  };
}
