import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openLocal } from '@paddock/agent/local-interface.ts';
import { expect, it } from 'vitest';
import { PaddockLocal } from '../../../agent/client/paddock-local.mjs';
import { until } from '../../harness/agent/fake-clock.ts';
import { quietLog } from '../../harness/agent/quiet-log.ts';
import { SessionBench } from '../../harness/agent/session.ts';

it('makes its socket again when somebody has removed it with its directory', async () => {
  const home = mkdtempSync(join(tmpdir(), 'paddock-local-'));
  const socket = join(home, 'run/agent.sock');
  const { session, clock, disk } = await SessionBench.start();
  const codes: string[] = [];
  const own = { bootId: 'a-boot', device: 'kiosk-0001', agentVersion: '0.1.0' };
  const parts = { clock, disk, log: quietLog(codes), dataDir: home, ...own };
  const local = await openLocal({ socket, mode: '0660', applications: [] }, parts);
  try {
    local.begin({ session, sensors: { readings: () => ({}) }, desired: { shown: () => null }, firmware: null });
    await until(() => codes.includes('local_open'), 'it is open');
    await clock.advance(60_000);
    rmSync(join(home, 'run'), { recursive: true });
    await clock.advance(30_000);
    await until(() => existsSync(socket), 'it is there again');
    expect(await new PaddockLocal(socket).state()).toMatchObject({ device: 'kiosk-0001' });
    expect(codes).toEqual(['local_open', 'local_lost', 'local_open']);
  } finally {
    await local.stop();
    rmSync(home, { recursive: true });
  }
  expect(existsSync(socket)).toBe(false);
});
