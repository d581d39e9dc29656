import { setImmediate } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { deflater, inflater } from '@paddock/agent/adapters/deflate.ts';
import { isDue, nextLookMs, NOTHING_SENT } from '@paddock/agent/inventory/delivery.ts';
import { keepInventory, type InventoryKeeper } from '@paddock/agent/inventory/keeper.ts';
import type { MachineInventory } from '@paddock/agent/ports.ts';
import { openEnvelope, parseEnvelope } from '@paddock/shared/envelope.ts';
import { inventoryDigest, parseInventory, type Component } from '@paddock/shared/inventory.ts';
import { uptimeMs } from '@paddock/shared/time.ts';
import { FakeClock, until } from '../../../harness/agent/fake-clock.ts';
import { FakeLink } from '../../../harness/agent/fake-link.ts';
import { MACHINE, machineWith } from '../../../harness/inventories.ts';
import { BOOT_ID, INCARNATION } from '../../../harness/reports.ts';
import { makeTestKey, type TestKey } from '../../../harness/signing.ts';

const DAY_MS = 86_400_000;
const quiet = { debug() {}, info() {}, warn() {}, error() {} };

describe('whether an inventory is due', () => {
  const sent = { digest: 'a', at: uptimeMs(1_000) };
  test.each([
    ['nothing was sent yet', NOTHING_SENT, false, 1_000, true],
    ['it is another one', { ...sent, digest: 'b' }, false, 1_001, true],
    ['it was sent', sent, false, DAY_MS, false],
    ['it is wanted again', sent, true, 61_000, true],
    ['it is wanted while it may be on its way', sent, true, 60_999, false],
  ] as const)('%s', (_, delivery, isWanted, now, due) => {
    expect(isDue(delivery, 'a', isWanted, uptimeMs(now))).toBe(due);
  });

  test('the next look is a day later, and not at the same time everywhere', () => {
    expect([nextLookMs(0), nextLookMs(0.5), nextLookMs(1)]).toEqual([77_760_000, DAY_MS, 95_040_000]);
  });
});

describe('the inventory of a start', () => {
  let clock: FakeClock;
  let link: FakeLink;
  let key: TestKey;
  let keeper: InventoryKeeper;
  let looks: number;
  let machine: readonly Component[] | Error;

  beforeEach(async () => {
    clock = new FakeClock();
    link = new FakeLink();
    key = await makeTestKey();
    looks = 0;
    machine = MACHINE;
    keeper = keepInventory(
      {
        clock,
        link,
        signer: key.signing,
        deflater,
        log: quiet,
        random: () => 0.5,
        machine: {
          async look(): Promise<MachineInventory> {
            looks += 1;
            if (machine instanceof Error) throw machine;
            return { components: machine, unseen: [] };
          },
        },
      },
      { device: 'kiosk-0001', incarnation: INCARNATION, start: 3, bootId: BOOT_ID },
    );
    return () => keeper.stop();
  });
  afterEach(() => expect(looks).toBeLessThan(5));

  const arrived = (count: number) => until(() => link.published.length >= count, `${count} inventories`);
  /** Sealing takes real time: the pause to the next look may begin late in virtual time. */
  const looked = async (ms: number, count: number): Promise<void> => {
    for (; looks < count; await setImmediate()) await clock.advance(ms);
    expect(looks).toBe(count);
    await clock.advance(0);
  };

  test('waits for the first answer, looks, and is sent, signed', async () => {
    link.connect();
    await clock.advance(DAY_MS);
    expect(looks).toBe(0);
    expect(keeper.digest()).toBeNull();
    keeper.answered([]);
    await looked(15_000, 1);
    await arrived(1);
    const [{ topic, payload } = { topic: '', payload: '' }] = link.published;
    expect(topic).toBe('paddock/v1/kiosk-0001/inventory');
    const inventory = parseInventory(await openEnvelope(parseEnvelope(payload), key.verification, inflater));
    expect(inventory).toMatchObject({ start: 3, boot: { id: BOOT_ID }, components: MACHINE });
    // When the look began, not when it was sent.
    expect(inventory.uptimeMs).toBe(1_000 + DAY_MS + 15_000);
    expect(keeper.digest()).toBe(await inventoryDigest(MACHINE));
  });

  test('is sent again when it is wanted, the same bytes, and when the machine has changed', async () => {
    link.connect();
    keeper.answered([]);
    await looked(15_000, 1);
    await arrived(1);
    keeper.answered(['inventory']);
    await clock.advance(59_000);
    expect(link.published).toHaveLength(1);
    await clock.advance(2_000);
    keeper.answered([]);
    await clock.advance(0);
    expect(link.published).toHaveLength(1);
    keeper.answered(['inventory']);
    await arrived(2);
    expect(link.published[1]).toEqual(link.published[0]);
    await looked(DAY_MS, 2);
    expect(link.published).toHaveLength(2);
    machine = machineWith('sda', null);
    await looked(DAY_MS, 3);
    await arrived(3);
    expect(link.published[2]?.payload).not.toBe(link.published[0]?.payload);
    expect(keeper.digest()).toBe(await inventoryDigest(machine));
  });

  test('waits for the connection', async () => {
    keeper.answered([]);
    await looked(15_000, 1);
    await until(() => keeper.digest() !== null, 'a digest');
    expect(link.published).toEqual([]);
    link.connect();
    keeper.answered([]);
    await arrived(1);
    expect(link.published).toHaveLength(1);
  });

  test('is tried again in an hour when the machine cannot be looked at', async () => {
    link.connect();
    machine = new Error('no such program');
    keeper.answered([]);
    await looked(15_000, 1);
    keeper.answered(['inventory']);
    await clock.advance(0);
    expect(link.published).toEqual([]);
    machine = MACHINE;
    await looked(3_600_000, 2);
    await arrived(1);
  });
});
