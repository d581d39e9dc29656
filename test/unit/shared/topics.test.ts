import { filterOf, isDeviceId, MESSAGE_KINDS, parseTopic, topicOf, type MessageKind } from '@paddock/shared/topics.ts';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { refusalOf } from '../../harness/refusals.ts';

const kinds = Object.keys(MESSAGE_KINDS) as MessageKind[];
const deviceId = fc.stringMatching(/^[a-z0-9][a-z0-9-]{2,35}$/);

describe('topics', () => {
  it('reads back every topic that it writes', () => {
    fc.assert(
      fc.property(deviceId, fc.constantFrom(...kinds), (id, kind) => {
        expect(parseTopic(topicOf(kind, id))).toEqual({ deviceId: id, kind });
      }),
    );
  });

  it('takes no topic that it would not write', async () => {
    const part = fc.constantFrom('paddock', 'v1', 'v2', 'kiosk-1', 'report', '', '+', '#', 'KIOSK-1', 'toString');
    await fc.assert(
      fc.asyncProperty(fc.array(part, { maxLength: 6 }), async (parts) => {
        const topic = parts.join('/');
        // 'paddock' and 'report' are names that a device may have.
        const written = kinds.some((kind) =>
          ['kiosk-1', 'paddock', 'report'].some((id) => topicOf(kind, id) === topic),
        );
        expect(await refusalOf(() => parseTopic(topic))).toBe(written ? null : 'topic_foreign');
      }),
      { numRuns: 2000 },
    );
  });

  it.each([
    'paddock/v1/kiosk-1',
    'paddock/v1/kiosk-1/report/',
    'paddock/v1//report',
    'paddock/v2/kiosk-1/report',
    'Paddock/v1/kiosk-1/report',
    'paddock/v1/kiosk-1/constructor',
    'paddock/v1/KIOSK-1/report',
    '/paddock/v1/kiosk-1/report',
    '',
  ])('refuses %j', (topic) => {
    expect(() => parseTopic(topic)).toThrow(expect.objectContaining({ code: 'topic_foreign' }));
  });

  it('filters one kind of every device', () => {
    expect(filterOf('report')).toBe('paddock/v1/+/report');
  });

  it('gives every kind a type of its own', () => {
    expect(new Set(Object.values(MESSAGE_KINDS).map(({ typ }) => typ)).size).toBe(kinds.length);
  });
});

describe('device ids', () => {
  it.each(['abc', '0-0', 'kiosk-0001', 'a'.repeat(36)])('takes %j', (id) => expect(isDeviceId(id)).toBe(true));
  it.each(['', 'ab', '-ab', 'Abc', 'a_c', 'abc\n', 'a'.repeat(37), 'kiösk', 'a/b', 'a+b'])('refuses %j', (id) =>
    expect(isDeviceId(id)).toBe(false),
  );
});
