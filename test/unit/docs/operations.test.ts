import { createHmac } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { TOKEN_ERRORS } from '@paddock/agent/adapters/pkcs11/error.ts';
import { OUTPUT_ERRORS } from '@paddock/agent/act/codes.ts';
import { isOutputPort, kindsOn, outputSchema } from '@paddock/agent/act/settings.ts';
import { ConfigError, readConfig } from '@paddock/agent/config.ts';
import { EnrolSchema } from '@paddock/agent/config/cloud-rules.ts';
import { SERVICE_CODES } from '@paddock/agent/doctor-codes.ts';
import { TokenKeySchema } from '@paddock/agent/config/key-settings.ts';
import { DESIRED_KEY_ERRORS, DESIRED_NOTES, DESIRED_REFUSALS, DESIRED_WAITS } from '@paddock/agent/desired/codes.ts';
import { PASSED_ON } from '@paddock/agent/slots/environment.ts';
import { INSTALL_ERRORS } from '@paddock/agent/ports-firmware.ts';
import { EventSchema, PORT_SCHEMAS, SENSOR_KINDS, sensorSchema, type PortKind } from '@paddock/agent/sense/settings.ts';
import { FirmwareSchema } from '@paddock/agent/config/firmware-settings.ts';
import { GPIO_ERRORS, GpioError, type GpioCode } from '@paddock/agent/ports-gpio.ts';
import { DRIVER_CONTRACT, DRIVER_ERRORS } from '@paddock/agent/ports-driver.ts';
import { FETCH_ERRORS } from '@paddock/agent/ports-firmware.ts';
import { TUF_ERRORS } from '@paddock/agent/tuf/tuf-error.ts';
import { LOCK_ERRORS } from '@paddock/agent/update/lock.ts';
import { UPDATE_ERRORS } from '@paddock/agent/update/update-error.ts';
import { UPDATE_STATES } from '@paddock/shared/firmware.ts';
import { EMBEDDED_POSTGRES_ERRORS } from '@paddock/cloud/adapters/embedded-postgres/errors.ts';
import { RecipeSchema } from '@paddock/cloud/bundles/recipe.ts';
import { RECIPE_ERRORS } from '@paddock/cloud/bundles/recipe-error.ts';
import { SETTINGS } from '@paddock/cloud/settings.ts';
import { CLOCK_FAULTS } from '@paddock/cloud/clock/evidence.ts';
import { PRESENCE_WORDS } from '@paddock/cloud/devices/presence.ts';
import { NOTIFICATION_TYPES } from '@paddock/cloud/monitoring/notifications.ts';
import { CONNECTION_REFUSALS, METRICS } from '@paddock/cloud/ports.ts';
import { REPOSITORY_ERRORS } from '@paddock/cloud/tuf/repository-error.ts';
import { ROLLOUT_ERRORS } from '@paddock/cloud/rollouts/errors.ts';
import { ASSIGNMENT_STATES, DEVICE_STATES, ROLLOUT_CODES } from '@paddock/cloud/rollouts/states.ts';
import { MIGRATION_ERRORS } from '@paddock/cloud/store/migrate.ts';
import { describe, expect, it } from 'vitest';

const page = readFileSync(join(import.meta.dirname, '../../../docs/operations.md'), 'utf8');
const code = (text: string): string => `\`${text}\``;

const cellsOf = (line: string): string[] =>
  line
    .split('|')
    .slice(1, -1)
    .map((cell) => cell.trim());

/** The rows below a table's head, as lists of cells. */
function rowsUnder(head: string, on = page): string[][] {
  const lines = on.slice(on.indexOf(head)).split('\n').slice(2);
  expect(on).toContain(head);
  return lines.slice(0, lines.indexOf('')).map(cellsOf);
}

const codesIn = (cells: readonly string[]): string[] =>
  cells.flatMap((cell) => [...cell.matchAll(/`([^`]+)`/g)].map(([, word = '']) => word));

describe('the tables of the service', () => {
  it('list every setting with its option and default', () => {
    const known = Object.values(SETTINGS).map(({ env, flag, fallback, help }) => [
      code(env),
      flag === undefined ? '-' : code(flag.split(' ')[0] ?? ''),
      fallback === null ? '-' : code(String(fallback)),
      help,
    ]);
    expect(rowsUnder('| variable | option |')).toEqual(known);
  });

  it('list every metric with its type and labels', () => {
    const known = Object.entries(METRICS).map(([name, { type, labels, help }]) => [
      code(name),
      type,
      labels.length === 0 ? '-' : labels.map(code).join(', '),
      help,
    ]);
    expect(rowsUnder('| metric | type |')).toEqual(known);
  });

  it('list every reason why a connection is refused', () => {
    const known = Object.entries(CONNECTION_REFUSALS).map(([word, title]) => [code(word), title]);
    expect(rowsUnder('| code | what it means |')).toEqual(known);
  });

  it('list every state of presence', () => {
    const states = rowsUnder('| state | meaning |').map(([state]) => state);
    expect(new Set(states)).toEqual(new Set(PRESENCE_WORDS.map(code)));
  });

  it('list every notice of the webhook', () => {
    const listed = codesIn(rowsUnder('| type | `data` |').map(([types = '']) => types));
    expect(new Set(listed)).toEqual(new Set(NOTIFICATION_TYPES));
  });

  it('say what to do about every fault of a clock', () => {
    const listed = codesIn(rowsUnder('| fault | what it means').map(([codes = '']) => codes));
    expect(new Set(listed)).toEqual(new Set(Object.keys(CLOCK_FAULTS)));
  });

  it('say what to do about every code of the database', () => {
    const listed = codesIn(rowsUnder('| code | from |').map(([codes = '']) => codes));
    const codes = [...Object.keys(EMBEDDED_POSTGRES_ERRORS), ...Object.keys(MIGRATION_ERRORS)];
    expect(codes.filter((one) => !listed.includes(one))).toEqual([]);
  });

  it('show a webhook signature that is right', () => {
    const shown = (name: string): string => new RegExp(`^${name}='?(.*?)'?$`, 'm').exec(page)?.[1] ?? '';
    const key = Buffer.from(shown('secret').replace('whsec_', ''), 'base64');
    const signed = `${shown('id')}.${shown('timestamp')}.${shown('body')}`;
    expect(page).toContain(code(createHmac('sha256', key).update(signed).digest('base64')));
  });
});

interface Shape {
  readonly properties?: Readonly<Record<string, unknown>>;
  readonly default?: unknown;
}

/** Every key of a schema by its path, with its default; `kind` is told in the text. */
function keysOf(schema: Shape, prefix = ''): [path: string, fallback: unknown][] {
  return Object.entries(schema.properties ?? {}).flatMap(([key, value]): [string, unknown][] => {
    const inner = value as Shape;
    if (key === 'kind') return [];
    return inner.properties === undefined ? [[prefix + key, inner.default]] : keysOf(inner, `${prefix}${key}.`);
  });
}

const portKinds = Object.keys(PORT_SCHEMAS) as PortKind[];
const sensorSchemas = SENSOR_KINDS.flatMap((sensor) => portKinds.map((port) => sensorSchema(sensor, port)));
const outputSchemas = portKinds
  .filter(isOutputPort)
  .flatMap((port) => kindsOn(port).map((kind) => outputSchema(port, kind)));
const SECTIONS = [
  { head: '| key of `ports.<name>` |', schemas: Object.values(PORT_SCHEMAS) },
  { head: '| key of `sensors.<name>` |', schemas: sensorSchemas },
  { head: '| key of `events.<name>` |', schemas: [EventSchema] },
  { head: '| key of `outputs.<name>` |', schemas: outputSchemas },
  { head: '| key of `cloud.enrol` |', schemas: [EnrolSchema] },
  { head: '| key of `firmware` |', schemas: [FirmwareSchema] },
];

/** A default as the table writes it. */
const written = (fallback: unknown): string =>
  code(typeof fallback === 'string' ? fallback.replace('\n', '\\n') : JSON.stringify(fallback));

const leavesOf = (value: object, prefix = ''): [path: string, value: unknown][] =>
  Object.entries(value).flatMap(([key, inner]: [string, unknown]): [string, unknown][] =>
    typeof inner === 'object' && inner !== null && Object.keys(inner).length > 0
      ? leavesOf(inner, `${prefix}${key}.`)
      : [[prefix + key, inner]],
  );

describe('a key on a token', () => {
  it('has a row for every key, with its default', () => {
    const { properties } = TokenKeySchema;
    const rows = rowsUnder('| key of `key.pkcs11` |').map(([key = '', , fallback = '']) => [key, fallback]);
    const known = Object.entries(properties).map(([key, schema]): [string, string] => {
      const fallback = 'default' in schema ? written(schema.default) : undefined;
      return [code(key), fallback ?? (['module', 'pinFile'].includes(key) ? 'required' : '-')];
    });
    expect(Object.fromEntries(rows)).toEqual(Object.fromEntries(known));
  });

  it('has a row for every code, in the words of the code', () => {
    const rows = new Map(rowsUnder('| `code` of a token |').map(([key = '', text = '']) => [key, text]));
    for (const [one, text] of Object.entries(TOKEN_ERRORS)) expect(rows.get(code(one))).toBe(text);
  });
});

describe('updates', () => {
  it.each([
    ['| `code` of an update |', UPDATE_ERRORS],
    ['| `code` of fetching |', FETCH_ERRORS],
    ['| `code` of the lock |', LOCK_ERRORS],
  ])('have a row for every code, in the words of the code: %s', (head, codes) => {
    const rows = rowsUnder(head).map(([key, text]) => [key, text]);
    expect(rows).toEqual(Object.entries(codes).map(([one, text]) => [code(one), text]));
  });

  it('have every state in the table', () => {
    const listed = codesIn(rowsUnder('| state of an update |').map(([states = '']) => states));
    expect(listed).toEqual(Object.keys(UPDATE_STATES));
  });
});

describe('GPIO', () => {
  it('has a row for every code, in the words of the code, with what its readings say', () => {
    const rows = rowsUnder('| `code` of GPIO |').map(([key, text, reason]) => [key, text, reason]);
    const known = Object.entries(GPIO_ERRORS).map(([one, text]) => [
      code(one),
      text,
      code(new GpioError(one as GpioCode, '').reason),
    ]);
    expect(rows).toEqual(known);
  });
});

describe('outputs', () => {
  it('have a row for every code, in the words of the code', () => {
    const rows = rowsUnder('| `code` of an output |').map(([key, text]) => [key, text]);
    expect(rows).toEqual(Object.entries(OUTPUT_ERRORS).map(([one, text]) => [code(one), text]));
  });
});

describe('plug-in drivers', () => {
  it('have a row for every code, in the words of the code', () => {
    const drivers = readFileSync(join(import.meta.dirname, '../../../docs/drivers.md'), 'utf8');
    const rows = rowsUnder('| `code` of a driver |', drivers).map(([key, text]) => [key, text]);
    expect(rows).toEqual(Object.entries(DRIVER_ERRORS).map(([one, text]) => [code(one), text]));
    expect(drivers).toContain(`The contract, version ${DRIVER_CONTRACT}`);
  });
});

describe('desired state', () => {
  it('has a row for every code, in the words of the code', () => {
    const rows = rowsUnder('| `code` of desired state |').map(([key, text]) => [key, text]);
    const known = { ...DESIRED_REFUSALS, ...DESIRED_WAITS, ...DESIRED_NOTES, ...DESIRED_KEY_ERRORS };
    expect(rows).toEqual(Object.entries(known).map(([one, text]) => [code(one), text]));
  });
});

describe('metadata of firmware', () => {
  it('have a row for every code, in the words of the code', () => {
    const rows = rowsUnder('| `code` of metadata |').map(([key, text]) => [key, text]);
    expect(rows).toEqual(Object.entries(TUF_ERRORS).map(([one, text]) => [code(one), text]));
  });
});

describe('a recipe of a bundle', () => {
  it('has a row for every key: its default, or whether it is required', () => {
    const rows = rowsUnder('| key of `bundle.yaml` |').map(([key = '', , fallback = '']) => [key, fallback]);
    const required = new Set([...RecipeSchema.required, ...RecipeSchema.properties.health.required]);
    const known = keysOf(RecipeSchema).map(([path, fallback]) => {
      const isRequired = required.has(path.replace('health.', '') as 'name') && !path.includes('probe');
      return [code(path), fallback === undefined ? (isRequired ? 'required' : '-') : written(fallback)];
    });
    expect(rows).toEqual(known);
  });

  it('has a row for every code, in the words of the code', () => {
    const rows = rowsUnder('| `code` of a recipe |').map(([key, text]) => [key, text]);
    expect(rows).toEqual(Object.entries(RECIPE_ERRORS).map(([one, text]) => [code(one), text]));
  });
});

describe('the repository of firmware', () => {
  it('has a row for every code, in the words of the code', () => {
    const known = Object.entries(REPOSITORY_ERRORS).map(([one, { title }]) => [code(one), title]);
    expect(rowsUnder('| `code` of the repository |')).toEqual(known);
  });
});

describe('installing', () => {
  it('has a row for every code, in the words of the code', () => {
    const rows = rowsUnder('| `code` of installing |').map(([key, text]) => [key, text]);
    expect(rows).toEqual(Object.entries(INSTALL_ERRORS).map(([one, text]) => [code(one), text]));
  });

  it('says what to do about everything that the doctor finds of the service and its machine', () => {
    const rows = rowsUnder('| `code` of service and machine |').map(([key, text]) => [key, text]);
    expect(rows).toEqual(Object.entries(SERVICE_CODES).map(([one, text]) => [code(one), text]));
  });

  it('names every variable that the launcher passes on', () => {
    expect(PASSED_ON.filter((name) => !page.includes(code(name)))).toEqual([]);
  });
});

describe('assignments', () => {
  it.each([
    ['| state of an assignment | meaning |', ASSIGNMENT_STATES],
    ['| state of a device in it | meaning |', DEVICE_STATES],
    ['| `code` of an assignment or of a device in it |', ROLLOUT_CODES],
  ])('%s has a row for every word', (head, words) => {
    expect(rowsUnder(head)).toEqual(Object.entries(words).map(([one, text]) => [code(one), text]));
  });

  it('are refused with codes of which each has a row', () => {
    const rows = rowsUnder('| `code` of a refused request |');
    expect(rows).toEqual(Object.entries(ROLLOUT_ERRORS).map(([one, { title }]) => [code(one), title]));
  });
});

describe('the tables of agent.yaml', () => {
  it.each(SECTIONS)('$head lists every key, and no other', ({ head, schemas }) => {
    const known = new Set(schemas.flatMap((schema) => keysOf(schema).map(([path]) => code(path))));
    expect(new Set(rowsUnder(head).map(([key]) => key))).toEqual(known);
  });

  it.each(SECTIONS)('$head has the defaults', ({ head, schemas }) => {
    const known = schemas.flatMap((schema) => keysOf(schema)).filter(([, fallback]) => fallback !== undefined);
    const expected = new Map(known.map(([path, fallback]) => [code(path), written(fallback)]));
    const names = cellsOf(page.split('\n').find((line) => line.startsWith(head)) ?? '');
    const listed = rowsUnder(head).map((cells) => [cells[0] ?? '', cells[names.indexOf('default')] ?? ''] as const);
    expect(new Map(listed.filter(([key]) => expected.has(key)))).toEqual(expected);
  });

  it('lists every other key with its default', () => {
    const rows = rowsUnder('| key | type | default |').map(([key = '', , fallback = '']) => [key, fallback]);
    const required = { device: 'kiosk-0417', cloud: { url: 'mqtt://127.0.0.1:1883' } };
    const { file: _, ...config } = readConfig(JSON.stringify(required), '/etc/paddock/agent.yaml');
    const asWritten = {
      ...config,
      dataDir: `./${basename(config.dataDir)}`,
      key: { file: basename(config.key.file ?? '') },
      cloud: { ...config.cloud, keys: basename(config.cloud.keys) },
    };
    const given = new Map(leavesOf(required));
    const known = leavesOf(asWritten).map(([key, value]) => [code(key), given.has(key) ? 'required' : written(value)]);
    expect(Object.fromEntries(rows)).toEqual(Object.fromEntries(known));
  });

  it('names the codes of a configuration that cannot be read', () => {
    expect(() => readConfig('device: [', 'agent.yaml')).toThrow(ConfigError);
    for (const one of ['config_syntax', 'config_unknown_key', 'config_unreadable', 'config_invalid'])
      expect(page).toContain(code(one));
  });
});
