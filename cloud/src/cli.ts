import { writeFile } from 'node:fs/promises';
import { Command, CommanderError, Option } from 'commander';
import manifest from '../package.json' with { type: 'json' };
import { ApiError, type Item } from './adapters/api-client.ts';
import { api, EXIT, EXIT_HELP, isJson, print, printList, sub, type Options } from './cli-command.ts';
import { addAssign } from './cli-assign.ts';
import { addAssignments, addFirmware } from './cli-assignments.ts';
import { addAudit } from './cli-audit.ts';
import { addBackup } from './cli-backup.ts';
import { addFactoryList } from './cli-factory-list.ts';
import { addPast } from './cli-past.ts';
import { addPending } from './cli-pending.ts';
import { readPublicKey } from './adapters/key-file.ts';
import { addRoot } from './cli-root.ts';
import { ConfigError, readConfig } from './config.ts';
import { SETTINGS, type SettingName } from './settings.ts';
import { addCredentials } from './cli-credentials.ts';
import { addDesired } from './cli-desired.ts';
import { addInventory } from './cli-inventory.ts';
import {
  CATALOGUES,
  DEVICE_ATTRIBUTES,
  DEVICE_COLUMNS,
  INSTANCE_COLUMNS,
  TOKEN_COLUMNS,
  type Attribute,
  type CatalogueWords,
} from './terminal/words.ts';
import { deviceSheet } from './terminal/device-sheet.ts';
import { eventLine } from './terminal/event-line.ts';
import { sheet } from './terminal/table.ts';

/** Runs one command line. Sets the process's exit code. */
export async function run(argv: readonly string[]): Promise<void> {
  const inJson = argv.includes('--json');
  // A reader that has seen enough, such as head, is no failure.
  process.stdout.on('error', (error: Error) => process.exit('code' in error && error.code === 'EPIPE' ? 0 : 1));
  try {
    await (await program(argv, inJson)).parseAsync([...argv]);
  } catch (error) {
    process.exitCode = exitCodeOf(error);
    if (error instanceof CommanderError && (!inJson || error.exitCode === 0)) return;
    console.error(inJson ? failureJson(error) : `paddock: ${messageOf(error)}`);
  }
}

function exitCodeOf(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
  if (error instanceof ConfigError) return EXIT.usage;
  return error instanceof ApiError && error.code === 'service_unreachable' ? EXIT.unreachable : EXIT.failed;
}

function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return 'code' in error && typeof error.code === 'string' ? `${error.message} (${error.code})` : error.message;
}

function failureJson(error: unknown): string {
  const given = error instanceof Error && 'code' in error ? error.code : undefined;
  const code = error instanceof CommanderError ? 'usage' : given;
  return JSON.stringify({
    error: { code: code ?? 'failed', message: error instanceof Error ? error.message : String(error) },
  });
}

/** Commands that bring much with them: loaded when they are named, or when nothing is that is known without them. */
const LARGE: Readonly<Record<string, () => Promise<(root: Command) => void>>> = {
  verify: async () => (await import('./cli-verify.ts')).addVerify,
  ca: async () => (await import('./cli-ca.ts')).addCa,
  keys: async () => (await import('./cli-keys.ts')).addKeys,
  release: async () => (await import('./cli-release.ts')).addRelease,
  'broker-config': async () => (await import('./cli-broker-config.ts')).addBrokerConfig,
  bundle: async () => (await import('./cli-bundle.ts')).addBundle,
  'factory-keys': async () => (await import('./cli-factory.ts')).addFactoryKeys,
  claims: async () => (await import('./cli-factory.ts')).addClaims,
};

/** @param quiet whether wrong usage is told by us, and not in commander's own lines */
async function program(argv: readonly string[], quiet: boolean): Promise<Command> {
  const root = new Command('paddock')
    .configureOutput(quiet ? { writeErr: () => undefined } : {})
    .description('The cloud service that keeps the truth about a fleet of kiosks')
    .version(manifest.version)
    .option('--json', 'answer in JSON')
    .option('--url <url>', 'the service (PADDOCK_URL; by default the one of this machine)')
    .option('--token <token>', 'bearer token (PADDOCK_TOKEN; by default operator.token of the data directory)')
    .option(SETTINGS.dataDir.flag ?? '', `${SETTINGS.dataDir.help} (${SETTINGS.dataDir.env})`)
    .configureHelp({ showGlobalOptions: true })
    .addHelpText('after', EXIT_HELP)
    .exitOverride();
  addServe(root);
  addDevices(root);
  addDesired(root);
  for (const words of CATALOGUES) addCatalogue(root, words);
  addTokens(root);
  addAssignments(root);
  addInstances(root);
  addRoot(root);
  addAudit(root);
  addBackup(root);
  addPending(root);
  addFactoryList(root);
  const isKnown = root.commands.some((command) => argv.includes(command.name()));
  for (const [name, load] of Object.entries(LARGE)) if (!isKnown || argv.includes(name)) (await load())(root);
  return root;
}

function addServe(root: Command): void {
  const command = sub(root, 'serve', 'run the service', [
    'serve',
    'serve --http-port 9000 --data-dir /var/lib/paddock',
  ]);
  for (const { flag, help, env, fallback } of Object.values(SETTINGS)) {
    if (flag === undefined || flag === SETTINGS.dataDir.flag) continue;
    command.addOption(new Option(flag, `${help} (${env}${fallback === null ? '' : `, default ${String(fallback)}`})`));
  }
  command.action(async () => {
    const flags = command.optsWithGlobals<Partial<Record<SettingName, string>>>();
    const config = readConfig(process.env, flags);
    const { serve } = await import('./main.ts');
    const service = await serve(config);
    for (const [name, url] of Object.entries(service.urls)) console.error(`${name}: ${url}`);
    const signal = await stopSignal();
    console.error(`stopping on ${signal}`);
    endInTime();
    await service.close();
  });
}

/** Every part stops within seconds; a database or broker that hangs must not keep the process for ever. */
const STOP_WITHIN_MS = 30_000;

function endInTime(): void {
  const end = (): void => {
    console.error(`paddock: not everything stopped within ${STOP_WITHIN_MS / 1000} s: ended all the same`);
    process.exit(EXIT.failed);
  };
  setTimeout(end, STOP_WITHIN_MS).unref();
}

/** Resolves with the first signal to stop; a second one ends the process at once, as always. */
const stopSignal = (): Promise<string> =>
  new Promise((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => resolve(signal));
  });

function addDevices(root: Command): void {
  const devices = root.command('devices').description('register, list, look at, edit and retire devices');

  const register = sub(devices, 'register <device-id>', 'give a device its id and its key', [
    'devices register kiosk-0001 --public-key kiosk.pub.pem --name "Main hall" --cloud-keys-out cloud-keys.json',
    `devices register kiosk-0001 --public-key '{"kty":"EC","crv":"P-256","x":"...","y":"..."}'`,
  ])
    .requiredOption(
      '--public-key <file|jwk>',
      'the public key of the device: a file with a JWK or PEM, or the JWK itself',
    )
    .option('--cloud-keys-out <file>', 'write the keys of the cloud there, which the device pins');
  withAttributes(register, DEVICE_ATTRIBUTES, 'edit').action(async (deviceId: string) => {
    const options = register.optsWithGlobals<Options>();
    const publicKey = await readPublicKey(String(options['publicKey']));
    const { body } = await (
      await api(register)
    ).send('POST', '/devices', {
      deviceId,
      publicKey,
      ...attributesOf(options, DEVICE_ATTRIBUTES),
    });
    if (typeof options['cloudKeysOut'] === 'string')
      await writeFile(options['cloudKeysOut'], `${JSON.stringify(body['cloudKeys'], null, 2)}\n`);
    print(
      register,
      body,
      () =>
        `${deviceId} is registered. The keys of the cloud, for the device to pin:\n${JSON.stringify(body['cloudKeys'])}`,
    );
  });

  const list = sub(devices, 'list', 'devices with their last known state', [
    'devices list --presence lost',
    'devices list --search hall --json',
  ])
    .option('--customer <id>', 'of this customer')
    .option('--site <id>', 'on this site')
    .option('--model <id>', 'of this model')
    .option('--presence <state>', 'never-seen, online, late, offline, lost or retired')
    .option('--search <text>', 'part of id, name or serial number');
  list.action(async () => {
    const { customer, site, model, presence, search } = list.optsWithGlobals<Record<string, string>>();
    await printList(list, '/devices', DEVICE_COLUMNS, { customer, site, model, presence, q: search });
  });

  addShow(devices);
  addInventory(devices);
  addPast(devices);
  addFirmware(devices);
  addAssign(devices);
  addCredentials(devices);
  addEdit(devices, { one: 'device', id: 'device-id', attributes: DEVICE_ATTRIBUTES, pathOf: devicePath });

  const retire = sub(devices, 'retire <device-id>', 'retire a device for good', ['devices retire kiosk-0001']);
  retire.action(async (deviceId: string) => {
    const { body } = await (await api(retire)).send('POST', `${devicePath(deviceId)}/retire`);
    print(retire, body, () => `${deviceId} is retired`);
  });
  addWatch(devices);
}

function addWatch(devices: Command): void {
  const watch = sub(devices, 'watch [device-id...]', 'follow live what devices report', [
    'devices watch',
    'devices watch kiosk-0001 --json',
  ]);
  watch.action((deviceIds: string[]) => follow(watch, new Set(deviceIds)));
}

/** The newest, for a look. */
const CHANGES_SHOWN = 8;

const devicePath = (deviceId: string): string => `/devices/${encodeURIComponent(deviceId)}`;

function addShow(devices: Command): void {
  const show = sub(
    devices,
    'show <device-id>',
    'one device: readings, recent changes, its clock, and what became of its reports',
    ['devices show kiosk-0001'],
  );
  show.action(async (deviceId: string) => {
    const client = await api(show);
    const { body } = await client.get(devicePath(deviceId));
    if (isJson(show)) return console.log(JSON.stringify(body));
    const changes = await client.get(`${devicePath(deviceId)}/changes?limit=${CHANGES_SHOWN}`);
    print(show, body, () => deviceSheet(body, changes.body['items'] as Item[]));
  });
}

/** Until Ctrl-C. */
async function follow(command: Command, deviceIds: ReadonlySet<string>): Promise<void> {
  const stop = new AbortController();
  process.once('SIGINT', () => stop.abort());
  const client = await api(command);
  const onBreak = (error: unknown): void =>
    console.error(`paddock: the stream broke, taking it up again: ${messageOf(error)}`);
  for await (const { id, event, data } of client.events(stop.signal, onBreak)) {
    const body = JSON.parse(data) as Item;
    // What concerns no device only keeps the stream.
    const { deviceId } = body;
    if (typeof deviceId !== 'string' || (deviceIds.size > 0 && !deviceIds.has(deviceId))) continue;
    console.log(isJson(command) ? JSON.stringify({ id, event, data: body }) : eventLine(event, body));
  }
}

function addCatalogue(root: Command, { many, one, id, attributes, columns }: CatalogueWords): void {
  const group = root.command(many).description(`create, edit and list ${many}`);
  const create = sub(group, `create <${one}-id>`, `create a ${one}`, [`${many} create ${one}-1 --name "..."`]);
  withAttributes(create, attributes, 'create').action(async (value: string) => {
    const input = { [id]: value, ...attributesOf(create.optsWithGlobals(), attributes) };
    const { body } = await (await api(create)).send('POST', `/${many}`, input);
    print(create, body, () => sheet(body));
  });
  addEdit(group, { one, id: `${one}-id`, attributes, pathOf: (value) => `/${many}/${encodeURIComponent(value)}` });
  const list = sub(group, 'list', `all ${many}`, [`${many} list`]);
  list.action(() => printList(list, `/${many}`, columns));
}

interface EditWords {
  readonly one: string;
  readonly id: string;
  readonly attributes: readonly Attribute[];
  readonly pathOf: (value: string) => string;
}

/** An edit is made from what is there now, and refused when somebody else was quicker. */
function addEdit(group: Command, { one, id, attributes, pathOf }: EditWords): void {
  const edit = sub(group, `edit <${id}>`, `edit a ${one}; an empty text takes a value away`, [
    `${group.name()} edit ${one}-1 --name "..."`,
  ]);
  const editable = attributes.filter(({ fixed }) => !fixed);
  withAttributes(edit, editable, 'edit').action(async (value: string) => {
    const client = await api(edit);
    const { etag } = await client.get(pathOf(value));
    const { body } = await client.send('PATCH', pathOf(value), attributesOf(edit.optsWithGlobals(), editable), etag);
    print(edit, body, () => sheet(body));
  });
}

function addTokens(root: Command): void {
  const tokens = root.command('tokens').description('create, list and revoke API tokens');
  const create = sub(tokens, 'create', 'make a token, which is shown this once', [
    'tokens create --name console --customer acme',
  ])
    .requiredOption('--name <text>', 'what it is for')
    .option('--customer <id>', 'reaches this customer only');
  create.action(async () => {
    const { name, customer } = create.optsWithGlobals<Options>();
    const { body } = await (
      await api(create)
    ).send('POST', '/tokens', { name, ...(customer && { customerId: customer }) });
    print(create, body, () => String(body['token']));
  });
  const list = sub(tokens, 'list', 'tokens, without their secrets', ['tokens list']);
  list.action(() => printList(list, '/tokens', TOKEN_COLUMNS));
  const revoke = sub(tokens, 'revoke <token-id>', 'revoke a token for good', ['tokens revoke 0aB3dE6gH9jK']);
  revoke.action(async (tokenId: string) => {
    const { body } = await (await api(revoke)).send('DELETE', `/tokens/${encodeURIComponent(tokenId)}`);
    print(revoke, body, () => `${tokenId} is revoked`);
  });
}

function addInstances(root: Command): void {
  const command = sub(root, 'instances', 'the running instances of the service, and their clocks', ['instances']);
  command.action(() => printList(command, '/instances', INSTANCE_COLUMNS));
}

function withAttributes(command: Command, attributes: readonly Attribute[], purpose: 'create' | 'edit'): Command {
  for (const { flag, help, required } of attributes)
    command.addOption(new Option(flag, help).makeOptionMandatory(purpose === 'create' && required === true));
  return command;
}

/** What was given on the command line, by the API's names; an empty text becomes null. */
function attributesOf(options: Options, attributes: readonly Attribute[]): Record<string, string | null> {
  const given = attributes.map(({ flag, key }) => [key, options[new Option(flag).attributeName()]] as const);
  return Object.fromEntries(
    given.flatMap(([key, value]) => (typeof value === 'string' ? [[key, value === '' ? null : value]] : [])),
  );
}
