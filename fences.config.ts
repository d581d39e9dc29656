import type { IRegularForbiddenRuleType } from 'dependency-cruiser';

/** Where code lives. What is not here is not fenced, so a new workspace gets its line here. */
export const ROOTS = ['shared/src', 'agent/src', 'cloud/src', 'demo/src', 'test'] as const;

/**
 * The arrows between features: every import of one feature by another that the architecture draws.
 * A row of this table or of the next ones that nobody uses any more fails the fences' own test.
 */
export const ARROWS: Readonly<Record<string, readonly string[]>> = {
  'agent/act': ['clock', 'report', 'sense'],
  'agent/config': ['act', 'enrol', 'local', 'sense'],
  'agent/desired': ['clock', 'report'],
  'agent/enrol': ['clock', 'report'],
  'agent/inventory': ['report'],
  'agent/launcher': ['report', 'slots'],
  'agent/local': ['report', 'update'],
  'agent/past': ['report'],
  'agent/rauc': ['report', 'slots'],
  'agent/report': ['clock'],
  'agent/start': ['slots'],
  'agent/tuf': ['report'],
  'agent/update': ['clock', 'report', 'tuf'],
  'agent/watchdog': ['report'],
  'cloud/audit': ['customers'],
  'cloud/aws': ['trust'],
  'cloud/backup': ['store'],
  'cloud/crashes': ['customers', 'devices', 'ingest', 'monitoring'],
  'cloud/desired': ['customers', 'devices'],
  'cloud/devices': ['clock', 'customers'],
  'cloud/enrolment': ['audit', 'aws', 'customers', 'devices', 'trust'],
  'cloud/firmware': ['bundles', 'customers', 'tuf'],
  'cloud/ingest': ['clock', 'monitoring'],
  'cloud/instances': ['monitoring'],
  'cloud/inventory': ['clock', 'customers', 'devices', 'ingest', 'monitoring'],
  'cloud/monitoring': ['devices'],
  'cloud/rollouts': ['customers', 'desired', 'devices', 'firmware', 'monitoring'],
};

/** The vendor library of each adapter, its parts (`name-part.ts`, `name/part.ts`) included. Without a row: none. */
export const ADAPTER_LIBRARIES: Readonly<Record<string, readonly string[]>> = {
  'agent/agent-log': ['pino'],
  'agent/allocator': ['koffi'],
  'agent/own-memory': ['koffi'],
  'agent/cron': ['node-cron'],
  'agent/data-dir-lock': ['koffi'],
  'agent/gpio': ['koffi'],
  'agent/machine-facts': ['systeminformation'],
  'agent/modbus': ['modbus-serial'],
  'agent/mqtt': ['mqtt'],
  'agent/pkcs11': ['pkcs11js'],
  'agent/serial': ['serialport'],
  'agent/service-manager': ['koffi'],
  'agent/system-clock': ['koffi'],
  'agent/tree-calls': ['koffi'],
  'cloud/aedes': ['aedes'],
  'cloud/aws-iot': ['@aws-sdk/client-iot'],
  'cloud/kernel-clock': ['koffi'],
  'cloud/log': ['pino'],
  'cloud/mqtt': ['mqtt'],
  'cloud/postgres': ['pg'],
  'cloud/prometheus': ['prom-client'],
};

/** Libraries that compute and touch nothing: for the contract and for every room. */
const PURE_LIBRARIES = ['jose', 'typebox'];

/** What single rooms need besides. Each of these computes and touches nothing, too. */
export const ROOM_LIBRARIES: Readonly<Record<string, readonly string[]>> = {
  'agent/config': ['yaml'],
  // The part of lowdb that stores nothing itself: what it writes goes through the Disk port.
  'agent/identity': ['lowdb/lib/index[.](js|d[.]ts)'],
  'cloud/bundles': ['yaml'],
  'cloud/http': ['fastify', '@fastify/[^/]+'],
  'cloud/trust': ['@peculiar/x509'],
  'cloud/tuf': ['@tufjs/canonical-json'],
};

/** Parts of Node that compute and touch nothing but memory. */
const PURE_BUILTINS = ['assert', 'buffer', 'crypto', 'events', 'util', 'zlib'];

const PROGRAM = '^(agent|cloud)/src/';
const ADAPTER = `${PROGRAM}adapters/`;
/** An adapter of several files: `name.ts`, and its parts `name-part.ts` or `name/part.ts`. */
const ADAPTER_NAME = `${ADAPTER}([^/.]+)`;
/** Everything with decisions in it: the features and the HTTP room. */
const ROOM = `${PROGRAM}(?!adapters/)([^/]+)/`;
const HTTP = '^cloud/src/http/';
const PORTS = '^$1/src/ports(-driver|-firmware|-gpio|-local|-past|-rauc|-systemd)?[.]ts$';
const BUILTIN = '^(node:)?[a-z_/]+$';

/** Patterns of the files of a room, and of an adapter with its parts. */
export const roomPath = (room: string): string => `^${room.replace('/', '/src/')}/`;
export const adapterPath = (adapter: string): string => `^${adapter.replace('/', '/src/adapters/')}[-/.]`;
const libraries = (names: readonly string[]): string => `(^|/)node_modules/(@types/)?(${names.join('|')})(/|$)`;
const anyLibraryBut = (names: readonly string[]) => ({
  path: '(^|/)node_modules/',
  ...(names.length > 0 && { pathNot: libraries(names) }),
});

type Fence = IRegularForbiddenRuleType & { readonly name: string; readonly comment: string };
type FenceBody = Pick<Fence, 'comment' | 'from' | 'to'>;

const FIXED = {
  'shared-imports-no-program': {
    comment: 'The wire contract knows neither the agent nor the cloud.',
    from: { path: '^shared/src/' },
    to: { path: '^(agent|cloud)/' },
  },
  'shared-imports-pure-libraries-only': {
    comment: 'The wire contract runs in a browser too.',
    from: { path: '^shared/src/' },
    to: anyLibraryBut(PURE_LIBRARIES),
  },
  'shared-imports-nothing-of-node': {
    comment: 'The wire contract runs in a browser too: what needs Node is handed in.',
    from: { path: '^shared/src/' },
    to: { dependencyTypes: ['core'] },
  },
  'agent-never-imports-cloud': {
    comment: 'They meet on the wire only; what both need is in shared.',
    from: { path: '^agent/' },
    to: { path: '^cloud/' },
  },
  'cloud-never-imports-agent': {
    comment: 'They meet on the wire only; what both need is in shared.',
    from: { path: '^cloud/' },
    to: { path: '^agent/' },
  },
  'nothing-imports-demo': {
    comment: 'The demonstration shows the product and is no part of it.',
    from: { path: '^(shared|agent|cloud)/' },
    to: { path: '^demo/' },
  },
  'nothing-imports-test': {
    comment: 'What only tests need stays with the tests.',
    from: { path: '^(shared|agent|cloud|demo)/' },
    to: { path: '^test/' },
  },
  'feature-imports-no-other-feature': {
    comment: 'A feature knows another one only where the architecture draws an arrow (ARROWS).',
    from: { path: ROOM, pathNot: [HTTP, ...Object.keys(ARROWS).map(roomPath)] },
    to: { path: '^$1/src/(?!adapters/)[^/]+/', pathNot: '^$1/src/$2/' },
  },
  'room-imports-no-adapter': {
    comment: 'Decisions know technology as ports only; main.ts hands the adapters over.',
    from: { path: ROOM },
    to: { path: '^$1/src/adapters/' },
  },
  'room-imports-no-program-file': {
    comment: 'Of the files beside the rooms only the ports are for them; what is configured comes as values.',
    from: { path: ROOM },
    to: { path: '^$1/src/[^/]+$', pathNot: PORTS },
  },
  'room-does-no-io': {
    comment: 'Files, sockets, processes and timers are behind ports.',
    from: { path: ROOM },
    to: { dependencyTypes: ['core'], pathNot: `^(node:)?(${PURE_BUILTINS.join('|')})(/|$)` },
  },
  'room-imports-pure-libraries-only': {
    comment: 'A vendor library is behind a port. Pure ones that a room needs stand in ROOM_LIBRARIES.',
    from: { path: ROOM, pathNot: Object.keys(ROOM_LIBRARIES).map(roomPath) },
    to: anyLibraryBut(PURE_LIBRARIES),
  },
  'adapter-imports-no-decision': {
    comment: 'An adapter carries out what a port says; what to do is decided elsewhere.',
    from: { path: ADAPTER },
    to: { path: '^$1/src/', pathNot: [PORTS, '^$1/src/adapters/'] },
  },
  'adapter-imports-no-other-adapter': {
    comment: 'Each adapter can be replaced alone. Its own parts are name-part.ts or name/part.ts.',
    from: { path: ADAPTER_NAME },
    to: { path: '^$1/src/adapters/', pathNot: '^$1/src/adapters/$2[-/.]' },
  },
  'adapter-without-library': {
    comment: 'An adapter that wraps a vendor library has its row in ADAPTER_LIBRARIES.',
    from: { path: ADAPTER, pathNot: Object.keys(ADAPTER_LIBRARIES).map(adapterPath) },
    to: anyLibraryBut(PURE_LIBRARIES),
  },
  'ports-import-shared-only': {
    comment: 'A port speaks the words of the contract, not those of a feature or a vendor.',
    from: { path: `${PROGRAM}ports(-driver|-firmware|-gpio|-local|-past|-rauc|-systemd)?[.]ts$` },
    to: { path: ['^$1/src/', '(^|/)node_modules/', BUILTIN] },
  },
  'no-cycles': {
    comment: 'Type-only cycles included.',
    from: {},
    to: { circular: true },
  },
  'every-import-resolves': {
    comment: 'A fence cannot hold what it does not see.',
    from: {},
    to: { couldNotResolve: true },
  },
} as const satisfies Record<string, FenceBody>;

/** The names of the rules that are derived from a row of a table. */
export const arrowFence = (room: string): string => `feature-keeps-its-arrows:${room}`;
export const roomLibraryFence = (room: string): string => `room-keeps-its-libraries:${room}`;
export const adapterLibraryFence = (adapter: string): string => `adapter-keeps-its-library:${adapter}`;

const ARROW_FENCES = Object.entries(ARROWS).map(([room, known]): Fence => {
  const [program = '', feature = ''] = room.split('/');
  return {
    name: arrowFence(room),
    comment: `${room} knows ${known.join(' and ')}, and no other feature.`,
    from: { path: roomPath(room) },
    to: { path: `^${program}/src/(?!adapters/)[^/]+/`, pathNot: `^${program}/src/(${[feature, ...known].join('|')})/` },
  };
});

const ROOM_LIBRARY_FENCES = Object.entries(ROOM_LIBRARIES).map(([room, names]): Fence => ({
  name: roomLibraryFence(room),
  comment: `${room} needs ${names.join(' and ')}, and no other technology.`,
  from: { path: roomPath(room) },
  to: anyLibraryBut([...PURE_LIBRARIES, ...names]),
}));

const ADAPTER_LIBRARY_FENCES = Object.entries(ADAPTER_LIBRARIES).map(([adapter, names]): Fence => ({
  name: adapterLibraryFence(adapter),
  comment: `This adapter wraps ${names.join(' and ')}, and nothing else.`,
  from: { path: adapterPath(adapter) },
  to: anyLibraryBut([...PURE_LIBRARIES, ...names]),
}));

export type FixedFence = keyof typeof FIXED;

/** Every rule, in dependency-cruiser's form. */
export const FENCES: readonly Fence[] = [
  ...Object.entries<FenceBody>(FIXED).map(([name, body]) => ({ name, ...body })),
  ...ARROW_FENCES,
  ...ROOM_LIBRARY_FENCES,
  ...ADAPTER_LIBRARY_FENCES,
].map((fence) => ({ ...fence, severity: 'error' }));
