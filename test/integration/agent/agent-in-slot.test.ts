import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { HostileKiosk } from '../../harness/hostile/kiosk.ts';

const OWN = join(import.meta.dirname, '../../../agent/bin/paddock-agent.cjs');
/** The agent of this checkout, which says whose it is; nothing but an end where a file says that it is broken. */
const agentOf = (release: string): Record<string, string> => ({
  'paddock-agent/paddock-agent.cjs': `
if (process.argv[2] === 'run') console.error('the agent of ' + process.env.PADDOCK_AGENT_RELEASE);
if (require('node:fs').existsSync('broken-${release}')) process.exit(1);
require(${JSON.stringify(OWN)});
`,
});

let kiosk: HostileKiosk;
beforeAll(async () => {
  kiosk = await HostileKiosk.start(true);
});
afterAll(() => kiosk.remove());

const newestStart = (): number => kiosk.cloud.reports.at(-1)?.start ?? 0;

it('an update that brings an agent is judged by it; when that fails too often the own one runs, until there is a better one', async () => {
  const { agent } = kiosk;
  const [own, before] = [agent.pid, newestStart()];
  const two = kiosk.publish({}, agentOf('two'));
  await kiosk.install(two);
  expect(agent.log).toContain(`the agent of ${two.release.sha256}`);
  expect(agent.log).toContain('"code":"agent_replaced"');
  expect(agent.pid).not.toBe(own);
  const committed = kiosk.cloud.reports.find(({ firmware }) => firmware?.running?.sha256 === two.release.sha256);
  expect(committed?.start).toBe(before + 1);

  writeFileSync(join(agent.home, 'broken-two'), '');
  process.kill(agent.pid ?? 0, 'SIGKILL');
  await kiosk.until("the package's own agent", () => newestStart() > before + 1);
  expect(agent.log).toContain('"code":"start_refused"');
  expect(kiosk.reported).toMatchObject({ running: two.release, committed: true });

  const three = kiosk.publish({}, agentOf('three'));
  await kiosk.install(three);
  expect(agent.log).toContain(`the agent of ${three.release.sha256}`);
  expect(kiosk.faults()).toEqual([]);
});
