import { beginStart } from '@paddock/agent/identity/identity.ts';
import { formatState, parseState, STATE_FILE } from '@paddock/agent/identity/state-file.ts';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MemoryDisk } from '../../../harness/agent/memory-disk.ts';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const Incarnation = fc.uint8Array({ minLength: 8, maxLength: 8 }).map((raw) => Buffer.from(raw).toString('base64url'));
const Start = fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER });

describe('the state file', () => {
  it('gives back what was written', async () => {
    await fc.assert(
      fc.asyncProperty(Incarnation, Start, async (incarnation, start) => {
        expect(await parseState(bytes(await formatState({ incarnation, start })))).toEqual({ incarnation, start });
      }),
    );
  });

  it('never believes a part of itself, nor a changed byte', async () => {
    const whole = bytes(await formatState({ incarnation: 'AAAAAAAAAAA', start: 41 }));
    const text = new TextDecoder().decode(whole);
    await fc.assert(
      fc.asyncProperty(fc.nat(whole.length - 1), fc.nat(255), async (at, value) => {
        const torn = await parseState(whole.slice(0, at));
        // Without its newline it still says everything.
        expect(typeof torn === 'string' || at === whole.length - 1).toBe(true);
        const changed = whole.with(at, value);
        const found = await parseState(changed);
        const isSame = JSON.stringify(found) === JSON.stringify(await parseState(bytes(text)));
        expect(typeof found === 'string' || isSame).toBe(true);
      }),
      { numRuns: 500 },
    );
  });

  it.each([
    ['missing', null],
    ['empty', ''],
    ['damaged', '{"incarnation":"AAAA'],
    ['damaged', '\u0000\u0000\u0000'],
    ['foreign', '[]'],
    ['foreign', 'null'],
    ['foreign', '{"hello":"world"}'],
    ['damaged', '{"incarnation":"AAAAAAAAAAA","start":2,"check":"AAAAAAAAAAAAAAAAAAAAAA"}'],
  ])('is %s when it holds %j', async (loss, text) => {
    expect(await parseState(text === null ? null : bytes(text))).toBe(loss);
  });
});

describe('a start', () => {
  it('counts on in the same incarnation', async () => {
    const disk = new MemoryDisk();
    const first = await beginStart(disk);
    const second = await beginStart(disk);
    expect(first).toMatchObject({ start: 1, loss: 'missing' });
    expect(second).toEqual({ incarnation: first.incarnation, start: 2, loss: null });
    expect(first.incarnation).toMatch(/^[A-Za-z0-9_-]{11}$/);
  });

  it('begins a new incarnation when the state is lost, and says why', async () => {
    const disk = new MemoryDisk();
    const first = await beginStart(disk);
    disk.files.set(STATE_FILE, new Uint8Array());
    const after = await beginStart(disk);
    expect(after).toMatchObject({ start: 1, loss: 'empty' });
    expect(after.incarnation).not.toBe(first.incarnation);
  });

  it('does not begin when it cannot be made durable', async () => {
    const disk = new MemoryDisk();
    disk.failNext(1);
    await expect(beginStart(disk)).rejects.toMatchObject({ code: 'ENOSPC' });
  });
});
