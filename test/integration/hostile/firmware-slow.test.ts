import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { harmless, HostileKiosk } from '../../harness/hostile/kiosk.ts';
import type { Attack } from '../../harness/hostile/repository-server.ts';

/** A second, and nothing comes of what is asked for but one more byte. */
const dripping =
  (paths: RegExp): Attack =>
  (path, response, { headers }) => {
    if (!paths.test(path)) return false;
    const range = headers.range?.replace('bytes=', '');
    if (range === undefined) response.writeHead(200);
    else response.writeHead(206, { 'content-range': `bytes ${range}/999999999` });
    const drip = setInterval(() => response.write('x'), 1_000);
    response.on('close', () => clearInterval(drip));
    return true;
  };

/** The connection stands, and nobody says anything. */
const silent: Attack = () => true;

const SLOW = {
  'drips metadata': dripping(/timestamp\.json$/),
  'drips packs': dripping(/^packs\//),
  'says nothing once it is asked': silent,
} as const satisfies Record<string, Attack>;
type Slowness = keyof typeof SLOW;
const NAMES = Object.keys(SLOW) as Slowness[];

const kiosks = new Map<Slowness, HostileKiosk>();
beforeAll(async () => {
  await Promise.all(NAMES.map(async (name) => kiosks.set(name, await HostileKiosk.start())));
});
afterAll(async () => {
  await Promise.all([...kiosks.values()].map((kiosk) => kiosk.remove()));
});

/** All at once: each is about waiting. */
describe.concurrent('a kiosk whose server', () => {
  it.each(NAMES)('%s is kept for as long as that is bearable, and not longer', async (name) => {
    const kiosk = kiosks.get(name) ?? expect.fail('it did not start');
    const release = kiosk.publish();
    kiosk.cloud.server.attack = SLOW[name];
    expect(await kiosk.attacked(release)).toEqual(harmless('fetch_too_slow'));
    await kiosk.recovers(release);
  });
});

describe('a kiosk whose cloud took a key away', () => {
  it('takes no desired state by it up, and goes on with what the next key signs', async () => {
    const kiosk = kiosks.get('drips metadata') ?? expect.fail('it did not start');
    const { cloud } = kiosk;
    const stolen = await cloud.changeKey();
    // The agent looks every 30 s whether there are keys to fetch.
    await kiosk.install(kiosk.publish());
    const before = await kiosk.standing();
    const release = kiosk.publish();
    const version = await cloud.desire(release.release, stolen);
    await kiosk.until('it to be held back', () => kiosk.agent.log.includes('"code":"desired_waits_for_keys"'));
    await kiosk.reports(2);
    expect(cloud.reports.at(-1)?.desired?.version).toBeLessThan(version);
    expect(await kiosk.standing()).toEqual(before);
    expect(kiosk.faults()).toEqual([]);
    await kiosk.recovers(release);
  });
});
