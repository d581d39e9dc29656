import { tmpdir } from 'node:os';
import { createMachine, shareBetween } from '@paddock/agent/adapters/machine.ts';
import { describe, expect, it } from 'vitest';

describe('the machine', () => {
  it('knows its boot', async () => {
    const machine = createMachine(tmpdir());
    expect(await machine.bootId()).toMatch(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
    expect(await machine.bootId()).toBe(await machine.bootId());
  });

  it('tells its health in whole units, and the processor share from the second time on', async () => {
    const machine = createMachine(tmpdir());
    expect((await machine.health()).processorShare).toBeUndefined();
    const health = await machine.health();
    expect(health.memoryAvailableMiB).toBeLessThanOrEqual(health.memoryTotalMiB ?? 0);
    expect(health.diskFreeMiB).toBeLessThanOrEqual(health.diskTotalMiB ?? 0);
    expect(Number.isInteger(health.agentRssMiB)).toBe(true);
  });

  it('leaves out what it cannot tell', async () => {
    expect(await createMachine('/no/such/place').health()).not.toHaveProperty('diskTotalMiB');
  });
});

describe('the processor share', () => {
  it.each([
    [{ busy: 0, total: 0 }, { busy: 50, total: 100 }, 0.5],
    [{ busy: 10, total: 100 }, { busy: 9, total: 200 }, 0],
    [{ busy: 0, total: 100 }, { busy: 200, total: 200 }, 1],
    [{ busy: 0, total: 100 }, { busy: 0, total: 100 }, undefined],
  ])('between %j and %j is %s', (before, now, share) => {
    expect(shareBetween(before, now)).toBe(share);
  });
});
