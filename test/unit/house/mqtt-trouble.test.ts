import { describe, expect, it } from 'vitest';
import type { Packet } from 'mqtt-packet';
import { DEEDS, fateOf, type Trouble } from '../../harness/mqtt-trouble.ts';
import { randomOf } from '../../harness/random.ts';

const publish = (topic = 'paddock/v1/kiosk-0001/report'): Packet => ({
  cmd: 'publish',
  topic,
  payload: 'x',
  qos: 1,
  messageId: 1,
  dup: false,
  retain: false,
});
const PUBACK: Packet = { cmd: 'puback', messageId: 1 };
const always = (deed: (typeof DEEDS)[number], rest: Partial<Trouble> = {}): Trouble => ({
  from: 'client',
  shares: { [deed]: 1 },
  ...rest,
});

describe('what a hostile network does to a packet', () => {
  it.each(DEEDS)('can %s it', (deed) => {
    expect(fateOf([always(deed)], 'client', PUBACK, randomOf(1)).deed).toBe(deed);
  });

  it('lets pass what no rule names: by side, by kind, by topic', () => {
    const deedOf = (trouble: Trouble, packet: Packet) => fateOf([trouble], 'client', packet, randomOf(1)).deed;
    expect(deedOf({ ...always('drop'), from: 'broker' }, PUBACK)).toBe('pass');
    expect(deedOf(always('drop', { packets: ['subscribe'] }), PUBACK)).toBe('pass');
    expect(deedOf(always('drop', { topic: '/answer' }), publish())).toBe('pass');
    expect(deedOf(always('drop', { topic: '/answer' }), PUBACK)).toBe('pass');
    expect(deedOf(always('drop', { packets: ['publish'], topic: '/report' }), publish())).toBe('drop');
  });

  it('lets the first rule that fits count', () => {
    const troubles = [always('repeat', { topic: '/report' }), always('drop')];
    expect(fateOf(troubles, 'client', publish(), randomOf(1)).deed).toBe('repeat');
    expect(fateOf(troubles, 'client', PUBACK, randomOf(1)).deed).toBe('drop');
  });

  it('keeps to the shares, and to the bounds of a delay', () => {
    const random = randomOf(7);
    const trouble: Trouble = { from: 'client', shares: { drop: 0.1, delay: 0.3, cut: 0.05 }, delayMs: [10, 30] };
    const fates = Array.from({ length: 20_000 }, () => fateOf([trouble], 'client', PUBACK, random));
    const share = (deed: string): number => fates.filter((fate) => fate.deed === deed).length / fates.length;
    expect(share('drop')).toBeCloseTo(0.1, 1);
    expect(share('delay')).toBeCloseTo(0.3, 1);
    expect(share('cut')).toBeCloseTo(0.05, 1);
    expect(share('pass')).toBeCloseTo(0.55, 1);
    const delays = fates.flatMap((fate) => (fate.deed === 'delay' ? [fate.ms] : []));
    expect([Math.min(...delays), Math.max(...delays)]).toEqual([10, 30]);
  });

  it('gives the same packets the same fates for the same seed, whatever passes between them', () => {
    const trouble: Trouble = { from: 'client', packets: ['publish'], shares: { drop: 0.3, repeat: 0.3, delay: 0.3 } };
    const fates = (seed: number, between: number) => {
      const random = randomOf(seed);
      return Array.from({ length: 50 }, () => {
        for (let n = 0; n < between; n += 1) fateOf([trouble], 'client', PUBACK, random);
        return fateOf([trouble], 'client', publish(), random);
      });
    };
    expect(fates(3, 2)).toEqual(fates(3, 0));
    expect(fates(4, 0)).not.toEqual(fates(3, 0));
  });
});
