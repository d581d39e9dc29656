import fc from 'fast-check';
import { expect, test } from 'vitest';
import { readEvents, type ServerEvent } from '@paddock/cloud/adapters/api-client-events.ts';

async function* pieces(texts: readonly string[]): AsyncGenerator<string> {
  yield* texts;
}

async function read(...texts: string[]): Promise<ServerEvent[]> {
  const events: ServerEvent[] = [];
  for await (const event of readEvents(pieces(texts))) events.push(event);
  return events;
}

const STREAM =
  'retry: 1000\n\n: hello\n\nid: 1\nevent: state\ndata: {"a":1}\n\ndata:two\ndata: lines\n\nid: 3\nevent: half';

test('an event has its id, or the one before; comments and what is cut off are none', async () => {
  expect(await read(STREAM)).toEqual([
    { id: '1', event: 'state', data: '{"a":1}' },
    { id: '1', event: 'message', data: 'two\nlines' },
  ]);
});

test('pieces may be cut anywhere', async () => {
  const whole = await read(STREAM);
  await fc.assert(
    fc.asyncProperty(fc.array(fc.integer({ min: 0, max: STREAM.length })), async (cuts) => {
      const edges = [0, ...cuts.toSorted((a, b) => a - b), STREAM.length];
      expect(await read(...edges.map((edge, at) => STREAM.slice(edges[at - 1] ?? 0, edge)))).toEqual(whole);
    }),
  );
});
