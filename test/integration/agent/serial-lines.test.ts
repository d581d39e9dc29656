import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Kiosk } from '../../harness/agent/kiosk.ts';
import type { PtyMaster } from '../../harness/pty.ts';

const JSON_PANEL = `
ports: { panel: { kind: serial-lines, path: TTY, format: json, silentAfterMs: 0 } }
sensors:
  door: { kind: binary, source: { port: panel, field: door, on: open, off: closed }, urgent: true }
  level: { kind: number, source: { port: panel, field: level }, range: [0, 100] }
events: { card-swipe: { source: { port: panel, field: event, equals: card-swipe } } }
`;
const TEXT_PANEL = `
ports: { panel: { kind: serial-lines, path: TTY, patterns: ['^DOOR=(?<door>open|closed)$'], delimiter: "\\r\\n" } }
sensors: { door: { kind: binary, source: { port: panel, field: door, on: open } } }
events: { card-swipe: { source: { port: panel, pattern: '^CARD (?<card>[0-9A-F]+)$' } } }
`;

let kiosk: Kiosk;
beforeEach(async () => {
  kiosk = await Kiosk.create();
});
afterEach(() => kiosk.stop());

const isOpen = ({ value }: { value: unknown }): boolean => value === true;
const isClosed = ({ value }: { value: unknown }): boolean => value === false;
const because =
  (wanted: string) =>
  ({ reason }: { reason?: string }): boolean =>
    reason === wanted;

async function opened(sense: string, line: string): Promise<PtyMaster> {
  const master = await kiosk.plug();
  kiosk.start(sense);
  await kiosk.opens();
  await master.write(line);
  await kiosk.sees('door', isClosed);
  return master;
}

describe('lines over a real terminal', () => {
  it('become readings, urgent changes and events', async () => {
    const master = await opened(JSON_PANEL, '{"door":"closed","level":42.5}\n');
    await master.write('{"door":"open","level":43}\n{"event":"card-swipe","card":"04A1"}\n');
    expect(await kiosk.sees('door', isOpen)).toMatchObject({ changes: 1 });
    expect(await kiosk.sees('level', ({ value }) => value === 43)).not.toHaveProperty('quality');
    expect(kiosk.urgent).toEqual(['door']);
    expect(kiosk.events).toEqual([{ name: 'card-swipe', data: { card: '04A1' } }]);
  });

  it('may be texts with any delimiter, in halves', async () => {
    const master = await opened(TEXT_PANEL, 'DOOR=closed\r\n');
    await master.write('DOOR=o');
    await master.write('pen\r');
    await master.write('\nCARD 04A1\r\n');
    await kiosk.sees('door', isOpen);
    expect(kiosk.events).toEqual([{ name: 'card-swipe', data: { card: '04A1' } }]);
  });

  it('that are garbage make every sensor of the port bad, and the next good one well again', async () => {
    const master = await opened(JSON_PANEL, '{"door":"closed","level":1}\n');
    await master.write(Uint8Array.of(0xff, 0x00, 0x80, 0x13, 0x11, 0x03, 0x04, 0x0a));
    expect(await kiosk.sees('door', because('malformed'))).toMatchObject({ value: null, quality: 'bad', changes: 0 });
    await kiosk.sees('level', because('malformed'));
    await master.write('{"door":"open"}\n');
    expect(await kiosk.sees('door', isOpen)).toMatchObject({ changes: 1 });
    expect(await kiosk.sees('level', () => true)).toMatchObject({ value: null, reason: 'malformed' });
  });

  it('that are a megabyte long cost a fault and no memory', async () => {
    const master = await opened(JSON_PANEL, '{"door":"closed"}\n');
    const before = process.memoryUsage().arrayBuffers;
    for (let i = 0; i < 1024; i += 1) await master.write('x'.repeat(1024));
    await kiosk.sees('door', because('malformed'));
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(8_000_000);
    await master.write('\n{"door":"open"}\n');
    await kiosk.sees('door', isOpen);
  });

  it('with a value that cannot be true have no value', async () => {
    const master = await opened(JSON_PANEL, '{"door":"closed","level":1}\n');
    await master.write('{"door":"ajar","level":101}\n');
    expect(await kiosk.sees('door', because('malformed'))).toMatchObject({ value: null, quality: 'bad' });
    expect(await kiosk.sees('level', because('out-of-range'))).toMatchObject({ value: null, quality: 'bad' });
  });
});

describe('a port', () => {
  it('that does not exist is opened when it appears', async () => {
    const sensors = kiosk.start(JSON_PANEL);
    expect(await kiosk.sees('door', because('unplugged'))).toMatchObject({ value: null, ageMs: null });
    expect(sensors.ports()).toMatchObject([{ state: 'lost', detail: expect.stringContaining('is it plugged in') }]);
    const master = await kiosk.plug();
    await kiosk.opens();
    await master.write('{"door":"open"}\n');
    await kiosk.sees('door', isOpen);
    expect(sensors.ports()).toMatchObject([{ name: 'panel', state: 'open', detail: null }]);
  });

  it('that is pulled says so at once, and goes on when it is plugged in again', async () => {
    const first = await opened(JSON_PANEL, '{"door":"closed"}\n');
    await first.write('{"door":"op');
    await kiosk.pull();
    expect(await kiosk.sees('door', because('unplugged'))).toMatchObject({ value: null, quality: 'bad' });
    const second = await kiosk.plug();
    await kiosk.opens();
    await second.write('{"door":"open"}\n');
    expect(await kiosk.sees('door', isOpen)).toMatchObject({ changes: 1 });
  });

  // The device may go while nobody reads, while somebody waits, and in the middle of a read.
  it.each(Array.from({ length: 12 }, (_, i) => i % 4))('that is pulled %i ms after it spoke says so', async (ms) => {
    const master = await opened(JSON_PANEL, '{"door":"closed"}\n');
    await master.write('{"door":"closed"}\n');
    if (ms > 0) await new Promise((resolve) => setTimeout(resolve, ms));
    await kiosk.pull();
    expect(await kiosk.sees('door', because('unplugged'))).toMatchObject({ value: null, quality: 'bad' });
  });

  it('that falls silent makes its sensors bad', async () => {
    const silent = JSON_PANEL.replace('silentAfterMs: 0', 'silentAfterMs: 150');
    const master = await opened(silent, '{"door":"closed"}\n');
    expect(await kiosk.sees('door', because('silent-port'))).toMatchObject({ value: null, quality: 'bad' });
    await master.write('{"door":"closed"}\n');
    expect(await kiosk.sees('door', isClosed)).toMatchObject({ changes: 0 });
  });

  it('that another program holds is not taken', async () => {
    await opened(JSON_PANEL, '{"door":"closed"}\n');
    const rival = await Kiosk.create();
    try {
      const sensors = rival.start(JSON_PANEL.replace('TTY', kiosk.path));
      await rival.sees('door', because('busy'));
      expect(sensors.ports()[0]?.detail).toContain('another program');
    } finally {
      await rival.stop();
    }
  });
});

const GPS = `
ports: { gps: { kind: serial-lines, path: TTY, format: nmea, silentAfterMs: 0 } }
sensors:
  latitude: { kind: number, source: { port: gps, field: GGA.latitude }, range: [-90, 90], maxAgeMs: 300 }
  heading: { kind: number, source: { port: gps, field: HDT.1 } }
`;

describe('sentences of NMEA 0183 over a real terminal', () => {
  const GGA = '$GPGGA,123519,4807.038,N,01131.000,E,1,08,0.9,545.4,M,46.9,M,,*47\r\n';
  const HDT = '$HEHDT,274.07,T*19\r\n';

  it('are readings, damaged ones are not, and a fix that is gone grows stale', async () => {
    const master = await kiosk.plug();
    kiosk.start(GPS);
    await kiosk.opens();
    await master.write(GGA.slice(20) + GGA + HDT);
    await kiosk.sees('latitude', ({ value }) => value === 48.1173);
    await kiosk.sees('heading', ({ value }) => value === 274.07);
    await master.write(HDT.replace('274', '275'));
    await kiosk.sees('heading', because('checksum'));
    await master.write(HDT);
    await kiosk.sees('heading', ({ value }) => value === 274.07);
    await kiosk.sees('latitude', because('checksum'));
    await master.write(GGA);
    await kiosk.sees('latitude', ({ value }) => value === 48.1173);
    await master.write(HDT);
    expect(await kiosk.sees('latitude', because('stale'))).toMatchObject({ value: null, quality: 'bad' });
  });
});
