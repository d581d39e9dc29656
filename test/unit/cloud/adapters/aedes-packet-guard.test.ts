import fc from 'fast-check';
import { generate } from 'mqtt-packet';
import { describe, expect, it } from 'vitest';
import { PacketGuard } from '@paddock/cloud/adapters/aedes-packet-guard.ts';

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

/** One whose first packet is over. */
function letIn(): PacketGuard {
  const guard = new PacketGuard();
  guard.admit(publish(1));
  return guard;
}

describe('the guard of a connection', () => {
  it('lets packets through however they are cut, and counts them', () => {
    const sizes = fc.array(fc.constantFrom(0, 1, 125, 126, 20_000, 70_000), { minLength: 1, maxLength: 6 });
    fc.assert(
      fc.property(sizes, fc.integer({ min: 1, max: 30_000 }), (packets, cut) => {
        const guard = new PacketGuard();
        const bytes = Buffer.concat(packets.map(publish));
        const breaches = new Set<unknown>();
        for (let at = 0; at < bytes.length; at += cut) breaches.add(guard.admit(bytes.subarray(at, at + cut)));
        expect(breaches).toEqual(new Set([null]));
        expect([guard.number, guard.isBegun, guard.bytes]).toEqual([packets.length, false, 0]);
      }),
    );
  });

  it('knows a packet that was begun from its first byte on, and its length from the header on', () => {
    const guard = letIn();
    const [first = 0, ...rest] = header(20_000);
    guard.admit(Uint8Array.of(first));
    expect([guard.number, guard.isBegun, guard.bytes]).toEqual([2, true, 0]);
    guard.admit(Uint8Array.from(rest));
    expect([guard.number, guard.isBegun, guard.bytes]).toEqual([2, true, 20_000]);
    guard.admit(Buffer.alloc(20_000));
    expect(guard.isBegun).toBe(false);
  });

  it('ends who announces more than 2 MiB, with the header and not with the body', () => {
    expect(letIn().admit(header(2_097_152))).toBe(null);
    expect(letIn().admit(header(2_097_153))).toBe('too_large');
    expect(letIn().admit(header(200_000_000))).toBe('too_large');
  });

  it('takes a first packet of 128 KiB only: it says who comes', () => {
    expect(new PacketGuard().admit(header(131_072))).toBe(null);
    expect(new PacketGuard().admit(header(131_073))).toBe('too_large');
  });

  it('finds the second packet of a chunk', () => {
    expect(letIn().admit(Buffer.concat([publish(10_000), header(200_000_000)]))).toBe('too_large');
  });

  it('ends a length of five bytes', () => {
    expect(letIn().admit(Uint8Array.of(0x30, 255, 255, 255, 255))).toBe('malformed');
  });
});
