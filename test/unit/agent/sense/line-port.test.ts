import { LinePort } from '@paddock/agent/sense/line-port.ts';
import { lossOf, reopenDelayMs } from '@paddock/agent/sense/port-life.ts';
import type { LineSource, SerialLinesConfig } from '@paddock/agent/sense/settings.ts';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FakeClock } from '../../../harness/agent/fake-clock.ts';
import { configOf, FakeStream, Listener } from '../../../harness/agent/sense.ts';

const DOOR: LineSource = { kind: 'serial-lines', port: 'panel', field: 'door' };
const LID: LineSource = { kind: 'serial-lines', port: 'panel', field: 'lid' };

async function bench(settings = '') {
  const { ports } = configOf(`ports: { panel: { kind: serial-lines, path: /dev/x, format: json ${settings} } }`);
  const config = ports.panel as SerialLinesConfig;
  const [clock, stream, listener] = [new FakeClock(), new FakeStream(), new Listener()];
  const sensors = new Map([
    ['door', DOOR],
    ['lid', LID],
  ]);
  const port = new LinePort({ name: 'panel', config, stream, clock, sensors, events: new Map(), random: () => 1 });
  const say = (text: string): void => stream.say(text, clock.monotonic());
  port.open(listener);
  await clock.advance(0);
  return { port, stream, clock, listener, say };
}
const allFail = (reason: string) => [
  { sensor: 'door', reason },
  { sensor: 'lid', reason },
];

describe('a port of lines', () => {
  it('tells samples as they come', async () => {
    const { listener, say, port } = await bench();
    say('{"door":1}\n{"lid"');
    say(':0}\n');
    expect(listener.take()).toEqual([
      { sensor: 'door', value: 1 },
      { sensor: 'lid', value: 0 },
    ]);
    expect(port.status()).toEqual({ state: 'open', detail: null });
    await port.close();
  });

  it('believes none of its sensors after a line that it did not understand', async () => {
    const { listener, say, port } = await bench();
    say('{"door":1}\n%&/\n');
    expect(listener.take()).toEqual([{ sensor: 'door', value: 1 }, ...allFail('malformed')]);
    expect(port.status().detail).toContain('%&/');
    await port.close();
  });

  it('forgives the first line, which it may have come into the middle of', async () => {
    const { listener, say, port } = await bench();
    say('or":1}\n{"door":1}\n');
    expect(listener.take()).toEqual([{ sensor: 'door', value: 1 }]);
    await port.close();
  });

  it('says that a port is silent, once, and that it is heard again', async () => {
    const { listener, clock, say, port } = await bench(', silentAfterMs: 1000');
    await clock.advance(900);
    say('{"door":1}\n');
    await clock.advance(999);
    expect(listener.take()).toEqual([{ sensor: 'door', value: 1 }]);
    await clock.advance(5000);
    expect(listener.take()).toEqual(allFail('silent-port'));
    expect(port.status().state).toBe('silent');
    say('{"door":1}\n');
    expect(port.status().state).toBe('open');
    await clock.advance(2000);
    expect(listener.take()).toEqual([{ sensor: 'door', value: 1 }, ...allFail('silent-port')]);
    await port.close();
  });

  it('is never silent when that is allowed', async () => {
    const { listener, clock, port } = await bench(', silentAfterMs: 0');
    await clock.advance(1_000_000);
    expect(listener.take()).toEqual([]);
    await port.close();
  });

  it('opens a lost port again, and forgets the half line from before', async () => {
    const { listener, clock, stream, say, port } = await bench();
    say('{"door":1}\n{"door":');
    stream.lose();
    await clock.advance(0);
    expect(listener.take()).toEqual([{ sensor: 'door', value: 1 }, ...allFail('unplugged')]);
    expect(port.status()).toEqual({ state: 'lost', detail: 'pulled' });
    await clock.advance(500);
    expect(stream).toMatchObject({ opened: 2, closed: 1 });
    say('0}\n{"door":0}\n');
    expect(listener.take()).toEqual([{ sensor: 'door', value: 0 }]);
    await port.close();
  });

  it('says why a port cannot be opened, and asks less and less often', async () => {
    const { listener, clock, stream, port } = await bench();
    stream.lose();
    stream.isMissing = true;
    await clock.advance(600);
    expect(port.status()).toMatchObject({ state: 'lost', detail: expect.stringContaining('is it plugged in') });
    listener.take();
    await clock.advance(600_000);
    expect(listener.take().length / 2).toBeLessThan(30);
    stream.isMissing = false;
    await clock.advance(30_000);
    expect(stream.opened).toBe(2);
    await port.close();
  });

  it('leaves nothing behind when it is closed, whatever it is doing', async () => {
    for (const doing of ['open', 'lost', 'closed'] as const) {
      const { clock, stream, listener, port } = await bench();
      if (doing === 'lost') stream.lose();
      await clock.advance(0);
      await port.close();
      await port.close();
      listener.take();
      stream.say('{"door":1}\n', 0);
      await clock.advance(100_000);
      expect(listener.take()).toEqual([]);
      expect(port.status().state).toBe('closed');
      expect(stream.closed).toBe(stream.opened);
    }
  });
});

describe('opening again', () => {
  it('waits between a quarter of a second and half a minute, longer every time, within half of it', () => {
    fc.assert(
      fc.property(fc.nat({ max: 5000 }), fc.double({ min: 0, max: 1, noNaN: true }), (attempt, random) => {
        const delay = reopenDelayMs(attempt, random);
        expect(delay).toBeGreaterThanOrEqual(125);
        expect(delay).toBeLessThanOrEqual(30_000);
        expect(delay).toBeGreaterThanOrEqual(reopenDelayMs(attempt, 0));
        expect(reopenDelayMs(attempt + 1, random)).toBeGreaterThanOrEqual(delay);
      }),
    );
  });

  it.each([
    ['Error: No such file or directory, cannot open /dev/x', 'unplugged', 'is it plugged in'],
    ['Error: Permission denied, cannot open /dev/x', 'denied', 'dialout'],
    ['Error: Operation not permitted, cannot open /dev/x', 'denied', 'DeviceAllow'],
    ['Error Resource temporarily unavailable Cannot lock port', 'busy', 'another program'],
    ['Error: Inappropriate ioctl for device setting custom baud rate', 'refused', 'not a serial device'],
    ['something new', 'unplugged', 'something new'],
  ])('knows what it means that %j, and what to do', (said, reason, advice) => {
    const loss = lossOf(new Error(said));
    expect(loss.reason).toBe(reason);
    expect(loss.detail).toContain(advice);
  });
});
