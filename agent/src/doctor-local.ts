import { groupId, lookAt, MOST_PATH_BYTES, type Found } from './adapters/local-server/socket.ts';
import type { AgentConfig } from './config.ts';
import type { Finding } from './finding.ts';
import { LocalSocketError } from './ports-local.ts';
import { codeOf } from './report/log.ts';

const CHECK = 'local interface';
const fail = (code: string, message: string): Finding => ({ check: CHECK, status: 'fail', code, message });
const ok = (message: string): Finding => ({ check: CHECK, status: 'ok', message });

/** The socket for the kiosk's own software: whether it is there, or could be. None where none is configured. */
export async function checkLocal({ local }: AgentConfig, running: boolean): Promise<Finding[]> {
  if (local === undefined) return [];
  const { socket, group, mode } = local;
  try {
    if (Buffer.byteLength(socket) > MOST_PATH_BYTES) throw new LocalSocketError('local_path_long', socket);
    if (group !== undefined) await groupId(group);
    const who = `mode ${mode}${group === undefined ? '' : `, group ${group}`}`;
    return [judgeSocket(await lookAt(socket), running, `${socket} (${who})`)];
  } catch (cause) {
    return [fail(codeOf(cause), cause instanceof Error ? cause.message : String(cause))];
  }
}

export function judgeSocket(found: Found, running: boolean, socket: string): Finding {
  if (found === 'other')
    return fail('local_path_taken', `What lies at ${socket} is no socket: remove it, or set local.socket`);
  if (found === 'live')
    return running
      ? ok(`An agent answers on ${socket}`)
      : fail('local_in_use', `Another program answers on ${socket}: end it, or set local.socket`);
  if (running) return fail('local_not_open', `An agent is running, and nobody answers on ${socket}: its log says why`);
  return ok(
    found === 'stale'
      ? `${socket} was left by an agent that was killed: the next one replaces it`
      : `${socket} is made at the start`,
  );
}
