import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DICTIONARIES } from '@paddock/shared/dictionary.ts';
import { MAX_BREADCRUMBS, MAX_CRASH_BYTES, MAX_CRASHES, parseCrash, type Crash } from '@paddock/shared/crash.ts';
import { uptimeMs } from '@paddock/shared/time.ts';
import { deflater } from '@paddock/agent/adapters/deflate.ts';
import {
  EMPTY_BOOK,
  formatBook,
  parseBook,
  tried,
  withCrash,
  without,
  type CrashBook,
} from '@paddock/agent/past/book.ts';
import { buildCrash, isWorthTelling } from '@paddock/agent/past/crash.ts';
import { formatEntry, parseEntry, type Entry } from '@paddock/agent/past/entry.ts';
import type { Kept } from '@paddock/agent/past/recorder.ts';
import { lastRun } from '@paddock/agent/past/runs.ts';
import { randomOf } from '../../../harness/random.ts';

const packed = (content: object): number =>
  deflater.deflate(new TextEncoder().encode(JSON.stringify(content)), DICTIONARIES.d1).length;
/** Text that does not deflate. */
function randomText(seed: number, length: number): string {
  const random = randomOf(seed);
  return Array.from({ length }, () => String.fromCharCode(0x4e00 + Math.floor(random() * 8_000))).join('');
}
const QUIET = { panics: [], fatal: null, kernel: '' };
const kept = (sequence: number, fields: Partial<Kept> = {}): Kept => ({
  sequence,
  kind: 'note',
  boot: 'c9a646d3',
  segment: 0,
  start: 4,
  at: uptimeMs(1_000 * sequence),
  level: 'info',
  what: 'Connected',
  more: {},
  ...fields,
});
const whole = (content: object): Crash =>
  parseCrash({
    v: 1,
    device: 'kiosk-0417',
    id: 'SG8AyD5oZSZZt-4PDQuWw_',
    incarnation: 'Zp3vK8s0LqE',
    start: 5,
    boot: { id: 'b' },
    uptimeMs: 1,
    began: { agent: { reason: 'agent_crash', basedOn: [] } },
    ...content,
  });

describe('a crash report', () => {
  it('has the error with its stack, and what the agent did before, without secrets', () => {
    const entries = [
      kept(1, { kind: 'begin', what: 'The agent starts', more: { version: '1.0.0' } }),
      kept(2, { more: { token: 'abc', password: 'x', start: 3, code: 'link_lost' } }),
      kept(3, {
        kind: 'error',
        level: 'error',
        what: 'no password=hunter2',
        more: { name: 'TypeError', stack: 'TypeError: password=hunter2\n at x' },
      }),
    ];
    const content = buildCrash(lastRun(entries), QUIET, packed);
    expect(JSON.stringify(content)).not.toMatch(/hunter2|"abc"|"x"/);
    expect(whole(content)).toMatchObject({
      agent: { version: '1.0.0' },
      error: { name: 'TypeError', message: 'no password=[redacted]', stack: 'TypeError: password=[redacted]\n at x' },
      breadcrumbs: [{ what: 'The agent starts' }, { more: { start: 3, code: 'link_lost' } }, { level: 'error' }],
    });
  });

  it('fits its bounds and the wire, whatever the recorder and the machine hold', () => {
    const value = fc.oneof(fc.string({ unit: 'binary', maxLength: 300 }), fc.integer(), fc.boolean());
    const entry = fc.record({
      kind: fc.constantFrom('note', 'pulse', 'error', 'end', 'begin'),
      level: fc.constantFrom('info', 'warn', 'error'),
      what: fc.string({ unit: 'binary', maxLength: 300 }),
      more: fc.dictionary(fc.string({ maxLength: 40 }), value, { maxKeys: 12 }),
    });
    fc.assert(
      fc.property(fc.array(entry, { maxLength: 40 }), fc.string({ unit: 'binary', maxLength: 400 }), (few, line) => {
        const entries = Array.from({ length: 8 }, () => few).flat();
        const kernel = line.repeat(80);
        const run = lastRun(entries.map((fields, at) => kept(at, fields as Partial<Kept>)));
        const content = buildCrash(run, { ...QUIET, kernel }, packed);
        expect(packed(content)).toBeLessThanOrEqual(MAX_CRASH_BYTES);
        expect(whole(content).breadcrumbs.length).toBeLessThanOrEqual(MAX_BREADCRUMBS);
      }),
      { numRuns: 12 },
    );
  });

  it('leaves out the oldest of what is too much, and says so', () => {
    const entries = Array.from({ length: 128 }, (_, at) => kept(at, { what: `${at} ${randomText(at, 150)}` }));
    const content = buildCrash(lastRun(entries), { ...QUIET, kernel: randomText(1, 30_000) }, packed);
    expect(content.shortened).toBe(true);
    expect(content.breadcrumbs.at(-1)?.what).toMatch(/^127 /);
  });

  it('is made of ends that were not in good order', () => {
    const why = (reason: string, ...basedOn: string[]) => ({ reason, basedOn });
    expect(isWorthTelling(why('clean'), null)).toBe(false);
    expect(isWorthTelling(why('unknown', 'first-start'), null)).toBe(false);
    expect(isWorthTelling(why('update'), why('update'))).toBe(false);
    expect(isWorthTelling(why('power'), why('power'))).toBe(true);
    expect(isWorthTelling(why('agent_crash'), null)).toBe(true);
  });
});

describe('an entry of the recorder', () => {
  it('comes back as it was, but for what is too long', () => {
    const entry: Entry = kept(0, { kind: 'error', more: { name: 'E', stack: '"\\\u0001'.repeat(20_000) } });
    const back = parseEntry(formatEntry(entry));
    expect(back).toMatchObject({ kind: 'error', boot: 'c9a646d3', start: 4, what: 'Connected', more: { name: 'E' } });
    expect(Buffer.byteLength(formatEntry(entry))).toBeLessThan(16_369);
  });

  it('is nothing where another program wrote it', () => {
    fc.assert(
      fc.property(fc.json(), (text) => {
        expect(parseEntry(text)).toBeNull();
      }),
    );
    for (const text of ['', '[', '["note"]', '["note","b",0,1,"x","info","w",{}]']) expect(parseEntry(text)).toBeNull();
  });
});

const waiting = (id: string, reason = 'agent_crash') => {
  const { device: _, ...crash } = whole({
    id: id.padEnd(22, 'x'),
    began: { agent: { reason, basedOn: [] } },
    breadcrumbs: [],
  });
  return { crash, tries: 0, panics: [] };
};
const idsOf = (book: CrashBook): string[] => book.waiting.map(({ crash }) => crash.id.replaceAll('x', ''));

describe('the crash reports that wait', () => {
  it('are the first ones and the newest, when there are too many', () => {
    const reasons = ['1', '2', '3', '4', '5', '6'];
    const book = reasons.reduce((before, id) => withCrash(before, waiting(id, `reason_${id}`), []), EMPTY_BOOK);
    expect(idsOf(book)).toEqual(['1', '2', '3', '6']);
    expect(book.waiting).toHaveLength(MAX_CRASHES);
  });

  it('are not written again for a crash that says what the newest one says', () => {
    const full = ['1', '2', '3', '4'].reduce((before, id) => withCrash(before, waiting(id), []), EMPTY_BOOK);
    expect(withCrash(full, waiting('5'), [])).toBe(full);
  });

  it('go when the cloud has them, or never takes them', () => {
    let book = withCrash(withCrash(EMPTY_BOOK, waiting('1'), ['p'.repeat(22)]), waiting('2'), []);
    book = without(book, [waiting('1').crash.id]);
    expect(idsOf(book)).toEqual(['2']);
    expect(book.told).toEqual(['p'.repeat(22)]);
    for (let n = 0; n < 20; n += 1) book = tried(book, waiting('2').crash.id);
    expect(idsOf(book)).toEqual([]);
  });

  it('are believed as they were written, and not at all otherwise', async () => {
    const book = withCrash(EMPTY_BOOK, waiting('1'), []);
    const bytes = await formatBook(book);
    expect(await parseBook(bytes)).toEqual(book);
    expect(await parseBook(null)).toBe('missing');
    expect(await parseBook(bytes.slice(0, -5))).toBe('damaged');
    expect(await parseBook(new Uint8Array())).toBe('damaged');
    expect(
      await parseBook(new TextEncoder().encode(new TextDecoder().decode(bytes).replace('agent_crash', 'power'))),
    ).toBe('damaged');
  });
});
