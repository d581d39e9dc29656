import { join } from 'node:path';
import type { Command } from 'commander';
import type { Manifest } from '@paddock/shared/manifest.ts';
import type { Item } from './adapters/api-client.ts';
import { copyRepository } from './adapters/repository-copy.ts';
import { readNamed } from './adapters/named-file.ts';
import { systemClock } from './adapters/system-clock.ts';
import { withBundle } from './bundle-run.ts';
import { api, isJson, print, printList, sub } from './cli-command.ts';
import { addPublish, publishedBy } from './cli-publish.ts';
import { PASSPHRASE, PASSPHRASE_HELP, tellProgress } from './cli-keys-change.ts';
import { passphrases } from './cli-passphrase.ts';
import { readClientConfig } from './config-client.ts';
import { signedBy, writeMetadata } from './key-folder.ts';
import { firmwareDirectoryOf } from './open-firmware.ts';
import { sheet } from './terminal/table.ts';
import { RELEASE_COLUMNS } from './terminal/words.ts';
import { parseRoot, parseTargets, type Metadata } from './tuf/formats.ts';
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
  const given = targets === undefined ? null : parseTargets(await readNamed(targets));
  if (root !== undefined && given !== null) return { root: parseRoot(await readNamed(root)), targets: given };
  const published = await publishedBy(await api(command));
  if (root !== undefined) return { root: parseRoot(await readNamed(root)), targets: published.targets };
  if (published.root === null) throw new RepositoryError('firmware_root_missing');
  return { root: published.root, targets: given ?? published.targets };
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
    const targets = parseTargets(await readNamed(file));
    const root = options.root === undefined ? (await standing(add, {})).root : parseRoot(await readNamed(options.root));
    await signAndWrite(add, file, targets, root, options);
  });
}

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
