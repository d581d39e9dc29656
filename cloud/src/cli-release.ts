import { join } from 'node:path';
import type { Command } from 'commander';
import type { Manifest } from '@paddock/shared/manifest.ts';
import { openAsBlob } from 'node:fs';
import { ApiError, type ApiClient, type Item } from './adapters/api-client.ts';
import { copyRepository } from './adapters/repository-copy.ts';
import { systemClock } from './adapters/system-clock.ts';
import { makeAssignment } from './cli-assign.ts';
import { withBundle } from './bundle-run.ts';
import { api, isJson, print, printList, sub } from './cli-command.ts';
import { PASSPHRASE, PASSPHRASE_HELP, tellProgress } from './cli-keys-change.ts';
import { passphrases } from './cli-passphrase.ts';
import { readClientConfig } from './config-client.ts';
import { signedBy, textOf, writeMetadata } from './key-folder.ts';
import { firmwareDirectoryOf } from './open-firmware.ts';
import { sheet } from './terminal/table.ts';
import { assignmentSheet } from './terminal/rollout-words.ts';
import { RELEASE_COLUMNS } from './terminal/words.ts';
import { formatMetadata, parseRoot, parseTargets, type Metadata } from './tuf/formats.ts';
import { RepositoryError } from './tuf/repository-error.ts';
import { nextTargets, progressOfTargets, type TargetsChange } from './tuf/targets.ts';

/** `paddock release`: what people sign so that devices may run it, and what they publish. */
export function addRelease(root: Command): void {
  const release = root.command('release').description('sign, publish and withdraw releases of firmware');
  addDrafts(release);
  addSignature(release);
  addPublish(release);
  addViews(release);
  addExport(release);
}

interface DraftOptions {
  readonly key?: string[];
  readonly passphraseFile?: string;
  readonly root?: string;
  readonly targets?: string;
  readonly out?: string;
}

/** Everything that makes the next targets. */
function addDrafts(release: Command): void {
  const sign = drafting(release, 'sign <bundle...>', 'make the targets that release these bundles, and sign them', [
    'release sign kiosk-2.bundle --key /media/usb/targets-8f3a0c41d2b7.key.pem',
  ]);
  sign.action(async (files: string[]) => {
    const add = [];
    for (const file of files)
      add.push(await withBundle(file, ({ manifest, manifestBytes }) => ({ manifest, manifestBytes })));
    await draft(sign, { add });
  });

  const withdraw = drafting(
    release,
    'withdraw <name> <counter>',
    'make the targets without a release, and sign them: devices do not find it any more',
    ['release withdraw kiosk 2 --key /media/usb/targets-8f3a0c41d2b7.key.pem'],
  );
  withdraw.action((name: string, counter: string) => draft(withdraw, { withdraw: [idOf(name, counter)] }));

  const renew = drafting(release, 'renew', 'make targets that say the same and expire later, and sign them', [
    'release renew --key /media/usb/targets-8f3a0c41d2b7.key.pem',
    'release renew --root 2.root.json --key /media/usb/targets-1c0ffee41d2b.key.pem',
  ]);
  renew.action(() => draft(renew, {}));
}

const idOf = (name: string, counter: string): Pick<Manifest, 'name' | 'counter'> => {
  if (!/^[1-9]\d{0,14}$/.test(counter)) throw new RepositoryError('release_unknown', `${name} ${counter}`);
  return { name, counter: Number(counter) };
};

const drafting = (release: Command, usage: string, description: string, examples: readonly string[]): Command =>
  sub(release, usage, description, examples)
    .option('--key <file...>', 'keys of targets')
    .option(PASSPHRASE, PASSPHRASE_HELP)
    .option('--root <file>', 'the newest root; by default the one of the service')
    .option('--targets <file>', 'the newest targets, where the service is not asked')
    .option('--out <file>', 'where to write them; by default VERSION.targets.json');

async function draft(command: Command, change: TargetsChange): Promise<void> {
  const options = command.optsWithGlobals<DraftOptions>();
  const { root, targets } = await standing(command, options);
  const unsigned = nextTargets(targets, change, systemClock.wall());
  const file = options.out ?? `${unsigned.signed.version}.targets.json`;
  await signAndWrite(command, file, unsigned, root, options);
}

async function signAndWrite(
  command: Command,
  file: string,
  targets: Metadata<'targets'>,
  root: Metadata<'root'>,
  { key = [], passphraseFile }: DraftOptions,
): Promise<void> {
  const { keyids } = root.signed.roles.targets;
  const check = (id: string): void => {
    if (!keyids.includes(id)) throw new RepositoryError('key_unlisted', `targets, ${id}`);
  };
  const signed = await signedBy(targets, key, passphrases(passphraseFile, 'known'), check);
  await writeMetadata(file, signed);
  tellProgress(command, file, progressOfTargets(root, signed));
}

/** Root and targets from files, where somebody signs away from the service; from the service otherwise. */
async function standing(
  command: Command,
  { root, targets }: DraftOptions,
): Promise<{ root: Metadata<'root'>; targets: Metadata<'targets'> | null }> {
  const given = targets === undefined ? null : parseTargets(await textOf(targets));
  if (root !== undefined && given !== null) return { root: parseRoot(await textOf(root)), targets: given };
  const { body } = await (await api(command)).get('/firmware');
  const newest: unknown = Array.isArray(body['roots']) ? body['roots'].at(-1) : undefined;
  const published = typeof body['targets'] === 'string' ? parseTargets(body['targets']) : null;
  if (root !== undefined) return { root: parseRoot(await textOf(root)), targets: published };
  if (typeof newest !== 'string') throw new RepositoryError('firmware_root_missing');
  return { root: parseRoot(newest), targets: given ?? published };
}

function addSignature(release: Command): void {
  const add = sub(release, 'add-signature <targets-file>', 'sign targets that somebody else made', [
    'release add-signature 1795866000.targets.json --key /media/usb/targets-1c0ffee41d2b.key.pem',
  ])
    .requiredOption('--key <file...>', 'keys of targets')
    .option(PASSPHRASE, PASSPHRASE_HELP)
    .option('--root <file>', 'the newest root; by default the one of the service');
  add.action(async (file: string) => {
    const options = add.optsWithGlobals<DraftOptions>();
    const targets = parseTargets(await textOf(file));
    const root = options.root === undefined ? (await standing(add, {})).root : parseRoot(await textOf(options.root));
    await signAndWrite(add, file, targets, root, options);
  });
}

function addPublish(release: Command): void {
  const publish = sub(
    release,
    'publish <file...>',
    'give signed targets to the service, and the bundles they release',
    [
      'release publish 1795866000.targets.json kiosk-2.bundle',
      'release publish 1795866000.targets.json kiosk-2.bundle --assign kiosk-0001 --wait',
    ],
  )
    .option('--assign <device-id...>', 'let these devices run what is released, as `devices assign` does by default')
    .option('--wait', 'with --assign: tell how far it is until it ends; exits with 1 unless all were updated');
  publish.action(async (files: string[]) => {
    const metadata = files.filter((file) => file.endsWith('.json'));
    const [targets] = await Promise.all(metadata.map(async (file) => parseTargets(await textOf(file))));
    if (targets === undefined || metadata.length > 1)
      throw new RepositoryError('metadata_malformed', 'name one file of targets (.json)');
    const client = await api(publish);
    for (const file of files) if (!file.endsWith('.json')) await upload(publish, client, file);
    const { body } = await client.send('POST', '/firmware/targets', { targets: formatMetadata(targets) });
    const { assign: devices, wait = false } = publish.optsWithGlobals<{ assign?: string[]; wait?: boolean }>();
    if (!isJson(publish)) console.log(publishedText(body));
    const assignments = [];
    for (const { name, counter } of devices ? releasedOf(body) : [])
      assignments.push(await makeAssignment(publish, client, { release: { name, counter }, devices }, wait));
    if (isJson(publish)) console.log(JSON.stringify({ ...body, ...(devices && { assignments }) }));
    else for (const made of assignments) console.log(assignmentSheet(made));
  });
}

const releasedOf = ({ released }: Item): Item[] => (Array.isArray(released) ? (released as Item[]) : []);

const publishedText = (body: Item): string =>
  [
    `published targets ${String(body['version'])}`,
    ...lines('released', body['released']),
    ...lines('withdrawn', body['withdrawn']),
  ].join('\n');

const lines = (word: string, items: unknown): string[] =>
  (Array.isArray(items) ? (items as Item[]) : []).map(
    ({ name, version, counter }) => `  ${word} ${String(name)} ${String(version)} (counter ${String(counter)})`,
  );

/** @throws ApiError with the code that the service told */
async function upload(command: Command, client: ApiClient, file: string): Promise<void> {
  const tell = (text: string): void => {
    if (!isJson(command)) console.error(`${file}: ${text}`);
  };
  // What is wrong with it is better told before it is sent.
  const bytes = await withBundle(file, ({ bytes: archived }) => archived);
  tell(`sending ${bytes} bytes`);
  let isDone = false;
  for await (const event of client.upload('/firmware/bundles', await openAsBlob(file, { type: OCTETS }))) {
    const { kind, code, detail } = event;
    if (kind === 'failed') throw new ApiError(String(code), String(detail));
    if (kind === 'checked') tell('it is whole');
    if (kind === 'packed') tell(packLine(event));
    isDone ||= kind === 'done';
  }
  if (!isDone) throw new ApiError('service_unreachable', 'The service broke off its answer');
}
const packLine = ({ from, bytes }: Item): string =>
  `a pack of ${String(bytes)} bytes ${typeof from === 'number' ? `from counter ${from}` : 'with everything'}`;
const OCTETS = 'application/octet-stream';

function addViews(release: Command): void {
  const list = sub(release, 'list [name]', 'bundles that the service has, with what became of them', [
    'release list',
    'release list kiosk --json',
  ]);
  list.action((name?: string) => printList(list, '/releases', RELEASE_COLUMNS, { name }));

  const show = sub(release, 'show <name> <counter>', 'one release', ['release show kiosk 2']);
  show.action(async (name: string, counter: string) => {
    const path = `/releases/${encodeURIComponent(name)}/${encodeURIComponent(counter)}`;
    const { body } = await (await api(show)).get(path);
    print(show, body, () => sheet(body));
  });

  const status = sub(release, 'status', 'which metadata are published, and until when they are good', [
    'release status',
  ]);
  status.action(async () => {
    const { body } = await (await api(status)).get('/firmware');
    const standings = body['standing'] as Readonly<Record<string, Item | null>>;
    print(status, standings, () =>
      sheet(
        Object.fromEntries(
          Object.entries(standings).map(([role, one]) => [
            role,
            one ? `version ${String(one['version'])}, expires ${String(one['expires'])}` : 'none',
          ]),
        ),
      ),
    );
  });
}

function addExport(release: Command): void {
  const exporting = sub(release, 'export <directory>', 'copy the repository of this data directory, for a web server', [
    'release export /srv/www/firmware',
  ]);
  exporting.action(async (directory: string) => {
    const { dataDir } = readClientConfig(process.env, exporting.optsWithGlobals());
    const from = firmwareDirectoryOf(dataDir);
    const copied = await copyRepository(from, directory, (path) => {
      if (!isJson(exporting)) console.error(join(directory, path));
    });
    if (copied === null) throw new RepositoryError('firmware_root_missing', `nothing is published in ${from}`);
    print(exporting, { directory, copied }, () => `${copied} files copied to ${directory}`);
  });
}
