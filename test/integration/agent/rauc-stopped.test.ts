import { createRauc } from '@paddock/agent/adapters/rauc.ts';
import { expect, it } from 'vitest';

it('an installation that is broken off by the agent is no fault of RAUC', async () => {
  const stopping = new AbortController();
  const rauc = createRauc({ program: ['sh', '-c', 'sleep 60'], reboot: ['true'] });
  const installing = rauc.install('release.raucb', () => {}, stopping.signal);
  stopping.abort(new Error('The agent stops'));
  await expect(installing).rejects.toThrow('The agent stops');
});
