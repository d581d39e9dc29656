import { connect } from 'node:net';
import { SLOTS } from '@paddock/shared/firmware.ts';
import { Sha256 } from '@paddock/shared/manifest.ts';
import { uptimeMs } from '@paddock/shared/time.ts';
import * as Type from 'typebox';
import { Compile } from 'typebox/schema';
import type { Launcher, LauncherStatus } from '../ports-firmware.ts';

export class LauncherError extends Error {
  override readonly name = 'LauncherError';
  readonly code = 'launcher_unreachable';
}

const MAX_ANSWER_BYTES = 4096;
const Count = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });
const Answer = Compile(
  Type.Object({
    status: Type.Object({
      slot: Type.Union([Type.Null(), Type.Enum([...SLOTS])]),
      sha256: Type.Union([Type.Null(), Sha256]),
      pid: Type.Union([Type.Null(), Count]),
      startedAt: Type.Number({ minimum: 0 }),
      restarts: Count,
    }),
  }),
);

export interface LauncherTimeouts {
  readonly statusMs: number;
  /** A program has its grace to end before another is started. */
  readonly restartMs: number;
}
const TIMEOUTS: LauncherTimeouts = { statusMs: 2_000, restartMs: 30_000 };

/** The Launcher port over the launcher's Unix socket. */
export const connectLauncher = (path: string, timeouts: LauncherTimeouts = TIMEOUTS): Launcher => ({
  status: () => ask(path, 'status', timeouts.statusMs).catch(() => null),
  restart: async () => {
    await ask(path, 'restart', timeouts.restartMs);
  },
});

/** @throws LauncherError */
async function ask(path: string, what: 'status' | 'restart', withinMs: number): Promise<LauncherStatus> {
  const failed = (detail: string): LauncherError => new LauncherError(`The launcher at ${path} ${detail}`);
  const line = await new Promise<string>((resolve, reject) => {
    const socket = connect(path, () => socket.write(`${JSON.stringify({ ask: what })}\n`));
    const timer = setTimeout(() => end(failed(`does not answer within ${withinMs} ms`)), withinMs);
    const end = (cause: Error): void => {
      clearTimeout(timer);
      socket.destroy();
      reject(cause);
    };
    let text = '';
    socket.setEncoding('utf8');
    socket.on('error', (cause) => end(failed(`cannot be reached: ${cause.message}`)));
    socket.on('close', () => end(failed('broke off')));
    socket.on('data', (part: string) => {
      text += part;
      const at = text.indexOf('\n');
      if (at >= 0) resolve(text.slice(0, at));
      if (at >= 0 || text.length > MAX_ANSWER_BYTES) end(failed('says more than an answer holds'));
    });
  });
  const answer = parse(line);
  if (!Answer.Check(answer)) throw failed('says nothing that can be read');
  return { ...answer.status, startedAt: uptimeMs(answer.status.startedAt) };
}

function parse(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return null;
  }
}
