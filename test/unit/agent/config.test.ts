import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ConfigError, loadConfig, readConfig } from '@paddock/agent/config.ts';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

const FILE = '/etc/paddock/agent.yaml';
const HEAD = 'device: kiosk-0001\ncloud: { url: mqtt://127.0.0.1:1883 }\n';
const WHOLE = `${HEAD}ports:
  panel:
    kind: serial-lines
    path: /dev/ttyS0
    format: json
  texts:
    kind: serial-lines
    path: /dev/ttyS2
    patterns: ['^DOOR=(?<door>open|closed)$']
  meter:
    kind: modbus-rtu
    path: /dev/ttyS1
    baudRate: 19200
sensors:
  door:
    kind: binary
    source: { port: panel, field: door, on: open }
    debounceMs: 50
  power:
    kind: number
    range: [0, 22]
    source: { port: meter, unit: 1, table: input, address: 12, type: float32, scale: 0.001 }
events:
  card-swipe:
    source: { port: panel, field: event, equals: card-swipe }
`;

/** The mistakes that are found, as `line key: message`. */
function mistakes(text: string): string[] {
  try {
    readConfig(text, FILE);
    return [];
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return error.problems.map(({ line, path, message, code }) => `${line} ${path.join('.')} ${code}: ${message}`);
  }
}
/** The mistake that one change to the whole configuration makes. */
const mistakeAfter = (from: string, to: string): string[] => {
  expect(WHOLE).toContain(from);
  return mistakes(WHOLE.replace(from, to));
};

describe('configuration', () => {
  it('fills in every default and makes paths absolute', () => {
    expect(readConfig(HEAD, FILE)).toEqual({
      file: FILE,
      device: 'kiosk-0001',
      dataDir: '/etc/paddock/state',
      key: { file: '/etc/paddock/state/identity.key.pem' },
      cloud: { url: 'mqtt://127.0.0.1:1883', keys: '/etc/paddock/cloud-keys.json', keepAliveSeconds: 30 },
      report: { schedule: '*/5 * * * *', jitterSeconds: 20, urgentMinIntervalMs: 1000 },
      outbox: { routineReports: 256, diskBytes: 8_388_608, maxAgeDays: 60 },
      clock: { setSystemClock: false, stepOverMs: 1000 },
      log: { level: 'info' },
      outputs: {},
      ports: {},
      sensors: {},
      events: {},
    });
  });

  it('says of every source what kind of port it is on', () => {
    const { ports, sensors, events } = readConfig(WHOLE, FILE);
    expect(ports.panel).toMatchObject({ baudRate: 9600, delimiter: '\n', maxLineBytes: 1024, silentAfterMs: 10_000 });
    expect(sensors.door).toMatchObject({
      maxAgeMs: 60_000,
      urgent: false,
      source: { kind: 'serial-lines', on: 'open' },
    });
    expect(sensors.power).toMatchObject({ source: { kind: 'modbus-rtu', wordOrder: 'high-first', offset: 0 } });
    expect(events['card-swipe']).toEqual({ source: { port: 'panel', field: 'event', equals: 'card-swipe' } });
  });

  it('takes absolute paths as they are, and sections with nothing in them', () => {
    const config = readConfig(`${HEAD}dataDir: /var/lib/paddock\nkey: { file: /run/key.pem }\nsensors:\nlog:\n`, FILE);
    expect(config).toMatchObject({ dataDir: '/var/lib/paddock', key: { file: '/run/key.pem' }, sensors: {} });
  });

  it.each([
    [
      'debounceMs: 50',
      'debounceMS: 50',
      '20 sensors.door.debounceMS config_unknown_key: is not a known key (did you mean debounceMs?)',
    ],
    [
      'baudRate: 19200',
      'speed: 19200',
      '15 ports.meter.speed config_unknown_key: is not a known key (known here: kind, path',
    ],
    ['device: kiosk-0001', 'device: Kiosk', '1 device config_invalid: must be the id given at registration'],
    ['mqtt://127.0.0.1:1883', 'http://x', '2 cloud.url config_invalid: must be a broker such as'],
    ['mqtt://127.0.0.1:1883', 'mqtt://x:65536', '2 cloud.url config_invalid: must be a broker such as'],
    ['mqtt://127.0.0.1:1883', 'mqtt://x:port', '2 cloud.url config_invalid: must be a broker such as'],
    ['mqtt://127.0.0.1:1883', 'mqtt://x:0', '2 cloud.url config_invalid: must have a port from 1 to 65535'],
    ['mqtt://127.0.0.1:1883', 'mqtt://me:secret@x', '2 cloud.url config_invalid: must name no user and no password'],
    ['mqtt://127.0.0.1:1883', 'mqtt://@x', '2 cloud.url config_invalid: must name no user and no password'],
    ['mqtt://127.0.0.1:1883', '7', '2 cloud.url config_invalid: must be'],
    [
      'ports:\n  panel:',
      'outbox: { diskBytes: 67108865 }\nports:\n  panel:',
      '3 outbox.diskBytes config_invalid: must be <= 67108864',
    ],
    [
      'ports:\n  panel:',
      'outbox: { routineReports: 4097 }\nports:\n  panel:',
      '3 outbox.routineReports config_invalid: must be <= 4096',
    ],
    ['baudRate: 19200', 'baudRate: fast', '15 ports.meter.baudRate config_invalid: must be integer'],
    ['kind: modbus-rtu', 'kind: modbus', '13 ports.meter.kind config_invalid: names no kind of port: modbus'],
    [
      'kind: binary',
      'kind: binry',
      '18 sensors.door.kind config_invalid: names no kind of sensor: binry (did you mean binary?)',
    ],
    [
      'port: panel, field: door',
      'port: pannel, field: door',
      '19 sensors.door.source.port config_invalid: names no port: pannel (did you mean panel?)',
    ],
    ['open|closed)$', 'open|closed$', '11 ports.texts.patterns.0 config_invalid: Invalid regular expression'],
    [
      'ports:\n  panel:',
      "local: { mode: '0777' }\nports:\n  panel:",
      "3 local.mode config_invalid: must be '0600', '0660' or '0666', in quotes",
    ],
    [
      'ports:\n  panel:',
      'local: { applications: [Screen] }\nports:\n  panel:',
      '3 local.applications.0 config_invalid: must be up to 32 of a-z',
    ],
    ['format: json', 'maxLineBytes: 64', '4 ports.panel config_invalid: needs either format or patterns'],
    ['/dev/ttyS1', '/dev/ttyS0', '14 ports.meter.path config_invalid: is the device of port panel already'],
    [
      'range: [0, 22]',
      'range: [22, 0]',
      '23 sensors.power.range config_invalid: must be [lowest, highest], the lower one first',
    ],
    ['range: [0, 22]', 'range: [0]', '23 sensors.power.range'],
    ['table: input', 'table: coil', '24 sensors.power.source.type config_invalid: does not fit table coil'],
    ['address: 12', 'address: 65535', '24 sensors.power.source.address config_invalid: has no room for its type'],
    ['unit: 1, ', '', '24 sensors.power.source.unit config_invalid: is missing'],
    [
      'port: panel, field: door',
      'port: texts, field: dor',
      "19 sensors.door.source.field config_invalid: is no named group of the port's patterns: dor",
    ],
    [
      'port: panel, field: event',
      'port: meter, field: event',
      '27 events.card-swipe.source.port config_invalid: must be a port of kind serial-lines',
    ],
    [
      ', equals: card-swipe',
      '',
      '27 events.card-swipe.source config_invalid: needs either field and equals, or pattern',
    ],
    ['  card-swipe:', '  Card Swipe:', '26 events.Card Swipe config_invalid: must be named in'],
    [
      'kind: binary',
      'kind: enum\n    values: [a, b]',
      '20 sensors.door.source.on config_unknown_key: is not a known key',
    ],
  ])('names key and line: %s -> %s', (from, to, expected) => {
    const found = mistakeAfter(from, to);
    expect(found[0]).toContain(expected);
  });

  it('lists all mistakes at once, in the order of their lines', () => {
    const found = mistakes(
      WHOLE.replace('kiosk-0001', 'K').replace('debounceMs', 'debounce').replace('[0, 22]', '[1, 1]'),
    );
    expect(found.map((line) => line.split(' ')[1])).toEqual(['device', 'sensors.door.debounce', 'sensors.power.range']);
  });

  it('keeps a reading for each application of the kiosk, and room for it', () => {
    const named = WHOLE.replace('  door:', '  application.door:');
    const local = 'local: { applications: [door, screen] }\n';
    expect(mistakes(`${local}${named}`)).toEqual([
      '1 local.applications config_invalid: has an application whose reading is a sensor already: application.door',
    ]);
    const { local: read } = readConfig(`${local}${WHOLE}`, FILE);
    expect(read).toEqual({ socket: '/etc/paddock/run/agent.sock', mode: '0660', applications: ['door', 'screen'] });
    const texts = Array.from(
      { length: 116 },
      (_, n) => `  text-number-${n}: { kind: text, source: { port: p, field: f } }`,
    );
    const full = `${HEAD}ports: { p: { kind: serial-lines, path: /dev/x, format: json } }\nsensors:\n${texts.join('\n')}\n`;
    expect(mistakes(full)).toEqual([]);
    const eight = Array.from({ length: 8 }, (_, n) => `app-${n}`).join(', ');
    expect(mistakes(`${full}local: { applications: [${eight}] }\n`)).toEqual([
      expect.stringContaining('leaves no room for all sensors in a report'),
    ]);
  });

  it('reads `on`, `off` and `no` as the words that they are', () => {
    const { sensors } = readConfig(WHOLE.replace('on: open', 'on: on, off: no'), FILE);
    expect(sensors.door).toMatchObject({ source: { on: 'on', off: 'no' } });
  });

  it.each([
    ['a: [', 'config_syntax'],
    ['device: a\ndevice: b', 'config_syntax'],
    ['a: *nothing', 'config_syntax'],
    ['- a list', 'config_invalid'],
    ['', 'config_invalid'],
    ['just words', 'config_invalid'],
  ])('refuses what is no configuration: %j', (text, code) => {
    expect(() => readConfig(text, FILE)).toThrow(expect.objectContaining({ code }));
  });

  it('words its error for people: file, line, key', () => {
    expect(() => readConfig(`${HEAD}sensor: {}\n`, FILE)).toThrow(
      '/etc/paddock/agent.yaml:3: sensor is not a known key (did you mean sensors?)',
    );
  });

  it('stands any text', () => {
    const anything = fc.oneof(
      fc.string(),
      fc.json(),
      fc
        .tuple(fc.nat(WHOLE.length), fc.string({ maxLength: 6 }))
        .map(([at, junk]) => WHOLE.slice(0, at) + junk + WHOLE.slice(at + junk.length)),
    );
    fc.assert(
      fc.property(anything, (text) => {
        expect(() => mistakes(text)).not.toThrow();
      }),
      { numRuns: 300 },
    );
  });

  it('reads a file, and says when it cannot', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'paddock-config-'));
    try {
      await expect(loadConfig(join(directory, 'agent.yaml'))).rejects.toMatchObject({
        code: 'config_unreadable',
        message: expect.stringContaining('paddock-agent init makes one') as unknown,
      });
      await writeFile(join(directory, 'agent.yaml'), WHOLE);
      await expect(loadConfig(join(directory, 'agent.yaml'))).resolves.toMatchObject({
        dataDir: join(directory, 'state'),
      });
    } finally {
      await rm(directory, { recursive: true });
    }
  });
});
