import fc from 'fast-check';
import { generate } from 'mqtt-packet';
import { describe, expect, it } from 'vitest';
import { PacketBudget, PacketGuard } from '@paddock/cloud/adapters/aedes-packet-guard.ts';

/** A fixed header that announces a length (MQTT 3.1.1, section 2.2.3). */
function header(length: number): Uint8Array {
  const bytes = [0x30];
  for (let rest = length; ; rest = Math.floor(rest / 128)) {
    bytes.push(rest < 128 ? rest : (rest % 128) | 128);
    if (rest < 128) return Uint8Array.from(bytes);
  }
}

const publish = (bytes: number): Buffer =>
  generate({ cmd: 'publish', topic: 't', payload: Buffer.alloc(bytes), qos: 0, dup: false, retain: false });

describe('the guard of a connection', () => {
  it('lets packets through however they are cut', () => {
    const sizes = fc.array(fc.constantFrom(0, 1, 125, 126, 20_000, 70_000), { minLength: 1, maxLength: 6 });
    fc.assert(
      fc.property(sizes, fc.integer({ min: 1, max: 30_000 }), (packets, cut) => {
        const budget = new PacketBudget();
        const guard = new PacketGuard(budget);
        const bytes = Buffer.concat(packets.map(publish));
        let admitted = true;
        for (let at = 0; at < bytes.length; at += cut) admitted &&= guard.admit(bytes.subarray(at, at + cut));
        expect(admitted).toBe(true);
        // All that was taken was given back: the whole budget is there.
        expect(budget.take(67_108_864)).toBe(true);
      }),
    );
  });

  it('ends who announces more than 2 MiB, with the header and not with the body', () => {
    expect(new PacketGuard(new PacketBudget()).admit(header(2_097_152))).toBe(true);
    expect(new PacketGuard(new PacketBudget()).admit(header(2_097_153))).toBe(false);
    expect(new PacketGuard(new PacketBudget()).admit(header(200_000_000))).toBe(false);
  });

  it('finds the second packet of a chunk', () => {
    const chunk = Buffer.concat([publish(10_000), header(200_000_000)]);
    expect(new PacketGuard(new PacketBudget()).admit(chunk)).toBe(false);
  });

  it('ends a length of five bytes', () => {
    expect(new PacketGuard(new PacketBudget()).admit(Uint8Array.of(0x30, 255, 255, 255, 255))).toBe(false);
  });

  it('bounds what all connections have on their way, and frees what a connection held', () => {
    const budget = new PacketBudget();
    const guards = Array.from({ length: 32 }, () => new PacketGuard(budget));
    for (const guard of guards) expect(guard.admit(header(2_097_152))).toBe(true);
    expect(new PacketGuard(budget).admit(header(8_193))).toBe(false);
    expect(new PacketGuard(budget).admit(header(8_192))).toBe(true);
    guards[0]?.end();
    expect(new PacketGuard(budget).admit(header(8_193))).toBe(true);
  });
});
