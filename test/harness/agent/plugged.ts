import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

const AGENT = fileURLToPath(new URL('../../../agent/bin/paddock-agent.cjs', import.meta.url));
const PLUG = new URL('plug.mjs', import.meta.url).href;

/** What ends an agent: a signal of the system, or one that the plug makes an error, or a full heap, of. */
export const DEEDS = {
  kill: 'SIGKILL',
  stop: 'SIGTERM',
  error: 'SIGUSR2',
  heap: 'SIGHUP',
} as const;
export type Deed = keyof typeof DEEDS;

export interface PluggedAgent {
  /** Resolves when it has ended by it. */
  end(by: Deed): Promise<void>;
}

/** Starts `paddock-agent run` in a directory, with a plug in it and a heap that fills up soon. */
export function startPlugged(home: string, bootId: string): PluggedAgent {
  const flags = ['--import', PLUG, '--max-old-space-size=96'];
  const child = spawn(process.execPath, [...flags, AGENT, 'run'], {
    cwd: home,
    env: { ...process.env, PLUG_BOOT_ID: bootId },
    stdio: 'ignore',
  });
  const ended = once(child, 'exit');
  return {
    async end(by) {
      child.kill(DEEDS[by]);
      await ended;
    },
  };
}
