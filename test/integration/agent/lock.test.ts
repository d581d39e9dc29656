import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { openDisk } from '@paddock/agent/adapters/disk.ts';
import { loadConfig } from '@paddock/agent/config.ts';
import { updateLockOf } from '@paddock/agent/update-lock.ts';
import { NO_JOURNAL, writeJournal, type Journal } from '@paddock/agent/update/journal.ts';
import { afterAll, beforeAll, beforeEach, describe, expect, it, test } from 'vitest';
import { agent, newHome, type Ended } from '../../harness/agent/cli.ts';

interface Shown {
  readonly holder: { readonly owner: string; readonly reason: string; readonly leftMs: number } | null;
}

let home: string;
beforeAll(async () => {
  home = newHome();
  await agent(home, 'init', '--device', 'kiosk-0001', '--url', 'mqtt://127.0.0.1:1');
});
beforeEach(() => rmSync(join(home, 'state/update-lock.json'), { force: true }));
afterAll(() => rmSync(home, { recursive: true, force: true }));

const lock = (...args: string[]): Promise<Ended> => agent(home, 'lock', ...args);
const take = (owner: string, ...more: string[]): Promise<Ended> =>
  lock('take', '--owner', owner, '--reason', 'a customer pays', '--json', ...more);
const shown = ({ out }: Ended): Shown['holder'] => (JSON.parse(out) as Shown).holder;
const refusal = ({ code, out }: Ended): [number | null, string] => [
  code,
  (JSON.parse(out) as { error: { code: string } }).error.code,
];

async function journal(change: Partial<Journal>): Promise<void> {
  await writeJournal(await openDisk(join(home, 'state')), { ...NO_JOURNAL, ...change });
}

describe('paddock-agent lock', () => {
  it('is taken, shown, taken for longer by the same owner alone, and let go', async () => {
    expect(shown(await lock('show', '--json'))).toBeNull();
    expect(shown(await take('payment', '--minutes', '0.5'))).toMatchObject({
      owner: 'payment',
      reason: 'a customer pays',
    });
    expect(shown(await lock('show', '--json'))?.leftMs).toBeLessThanOrEqual(30_000);
    expect(refusal(await take('charging'))).toEqual([1, 'lock_held']);
    expect(refusal(await lock('release', '--owner', 'charging', '--json'))).toEqual([1, 'lock_not_held']);
    expect(shown(await take('payment', '--minutes', '240'))?.leftMs).toBeGreaterThan(3_600_000);
    const { code, out } = await lock('show');
    expect([code, out]).toEqual([
      0,
      expect.stringMatching(/^payment holds the update lock for another \d+ s: a customer pays\n$/),
    ]);
    expect(shown(await lock('release', '--owner', 'payment', '--json'))).toBeNull();
    expect((await lock('show')).out).toBe('Nobody holds the update lock.\n');
    expect(existsSync(join(home, 'state/update-lock.json'))).toBe(false);
  });

  it('is nobody’s when its time is over, whether or not its owner still lives', async () => {
    await take('payment', '--minutes', '0.001');
    expect(shown(await take('charging'))).toMatchObject({ owner: 'charging' });
  });

  it('is had by one of those who ask at the same time', async () => {
    const config = await loadConfig(join(home, 'agent.yaml'));
    const locks = await Promise.all(Array.from({ length: 8 }, () => updateLockOf(config)));
    const asked = await Promise.allSettled(
      locks.map(({ lock: each }, n) => each.take(`owner ${n}`, 'at once', 60_000)),
    );
    const had = asked.flatMap((each) => (each.status === 'fulfilled' ? [each.value.owner] : []));
    expect(had).toHaveLength(1);
    expect(shown(await lock('show', '--json'))?.owner).toBe(had[0]);
  });

  it('is not to be had while the device changes what it runs', async () => {
    const watch = {
      release: { name: 'kiosk-app', version: '1.1.0', counter: 2, sha256: 'b'.repeat(64) },
      before: 'a'.repeat(64),
      ms: 0,
    };
    await journal({ state: 'trial' });
    expect(refusal(await take('payment'))).toEqual([1, 'lock_update_running']);
    await journal({ state: 'committed', watch: { ...watch, phase: 'asking' } });
    expect(refusal(await take('payment'))).toEqual([1, 'lock_update_running']);
    expect(shown(await lock('show', '--json'))).toBeNull();
    await journal({ state: 'committed', watch: { ...watch, phase: 'new' } });
    expect(shown(await take('payment'))).not.toBeNull();
    await journal({});
  });

  test.each([
    [['hold', '--owner', 'a'], 'take, release or show'],
    [['take', '--reason', 'why'], '--owner'],
    [['take', '--owner', 'a'], '--reason'],
    [['release'], '--owner'],
    [['take', '--owner', 'a', '--reason', 'why', '--minutes', '241'], '--minutes'],
  ])('%j is a wrong command line', async (args, said) => {
    const { code, err } = await lock(...args);
    expect([code, err]).toEqual([2, expect.stringContaining(said)]);
  });

  it('says how it is used, and what its exit codes mean', async () => {
    const { code, out } = await lock('--help');
    expect(code).toBe(0);
    for (const said of ['--owner', '--reason', '--minutes', '--json', 'Exit codes', 'Examples'])
      expect(out).toContain(said);
  });

  it('says what is wrong with its configuration', async () => {
    expect(refusal(await lock('show', '--config', 'none.yaml', '--json'))[0]).toBe(2);
  });
});
