import { basename } from 'node:path';
import type { Command } from 'commander';
import type { ApiClient } from './adapters/api-client.ts';
import { readNamed } from './adapters/named-file.ts';
import { RoleKeyError } from './adapters/role-key-file.ts';
import { systemClock } from './adapters/system-clock.ts';
import {
  addChanges,
  askOnline,
  few,
  onlineKeys,
  PASSPHRASE,
  PASSPHRASE_HELP,
  tellProgress,
  type ChangeOptions,
} from './cli-keys-change.ts';
import { api, print, sub } from './cli-command.ts';
import { passphrases } from './cli-passphrase.ts';
import { publishedBy, withdrawnBy } from './cli-publish.ts';
import {
  keepRoot,
  makeKey,
  newestRoot,
  readKeyFolder,
  readOffline,
  rootBefore,
  SHOWN_ID,
  signedBy,
  signedWith,
  writeMetadata,
  type KeyFolder,
} from './key-folder.ts';
import { table, type Column } from './terminal/table.ts';
import { formatMetadata, parseRoot, parseTargets, type Metadata } from './tuf/formats.ts';
import { RepositoryError } from './tuf/repository-error.ts';
import { newRoot, progressOfRoot, type OfflineRole } from './tuf/root.ts';

/** `paddock keys`: who may sign firmware. What is secret here never goes to the service. */
export function addKeys(root: Command): void {
  const keys = root.command('keys').description('keys that firmware is signed with: root and targets, held by people');
  addInit(keys);
  addOnline(keys);
  addChanges(keys);
  addSign(keys);
  addInstall(keys);
  addList(keys);
}

interface InitOptions {
  readonly rootKeys: number;
  readonly rootThreshold: number;
  readonly targetsKeys: number;
  readonly targetsThreshold: number;
  readonly online?: string;
  readonly passphraseFile?: string;
}

function addInit(keys: Command): void {
  const init = sub(keys, 'init <directory>', 'the key ceremony: make keys of root and targets, and root 1', [
    'keys online > online.json',
    'keys init /media/usb/firmware-keys --online online.json',
  ])
    .option('--root-keys <count>', 'keys of root', few, 3)
    .option('--root-threshold <count>', 'of which so many sign a root', few, 2)
    .option('--targets-keys <count>', 'keys of targets', few, 3)
    .option('--targets-threshold <count>', 'of which so many sign a release', few, 2)
    .option('--online <file>', 'what `keys online` printed; by default the service is asked')
    .option(PASSPHRASE, PASSPHRASE_HELP);
  init.action(async (directory: string) => {
    const options = init.optsWithGlobals<InitOptions>();
    const folder = await readKeyFolder(directory);
    if (folder.roots.length > 0 || folder.draft) throw new RepositoryError('firmware_root_exists', directory);
    if (folder.keyFiles.length > 0) throw new RoleKeyError('role_key_exists', brokenOff(directory));
    checkCounts(options);
    const online = await onlineKeys(init, options.online);
    const passphrase = passphrases(options.passphraseFile, 'new');
    const make = async (role: OfflineRole, count: number) => {
      const made = [];
      for (let n = 0; n < count; n += 1) made.push(await makeKey(directory, role, passphrase));
      return made;
    };
    const [rootKeys, targetsKeys] = [await make('root', options.rootKeys), await make('targets', options.targetsKeys)];
    const ceremony = {
      root: { keys: rootKeys.map(({ key }) => key), threshold: options.rootThreshold },
      targets: { keys: targetsKeys.map(({ key }) => key), threshold: options.targetsThreshold },
      online,
    };
    const unsigned = newRoot(ceremony, systemClock.wall());
    const file = await keepRoot(
      directory,
      signedWith(
        unsigned,
        rootKeys.map(({ secret }) => secret),
      ),
    );
    const files = [...rootKeys, ...targetsKeys].map((made) => made.file);
    print(init, { root: file, keys: files }, () =>
      [`wrote ${file} and ${files.length} keys:`, ...files.map((each) => `  ${each}`), HANDED_OUT].join('\n'),
    );
  });
}

const brokenOff = (directory: string): string =>
  `${directory} holds keys of a ceremony that came to no root: remove them and begin anew, or name another directory`;

/** Before the first key is made. @throws RepositoryError `firmware_root_invalid` */
function checkCounts({ rootKeys, rootThreshold, targetsKeys, targetsThreshold }: InitOptions): void {
  if (rootThreshold > rootKeys || targetsThreshold > targetsKeys)
    throw new RepositoryError('firmware_root_invalid', 'a threshold is greater than the count of keys');
}

const HANDED_OUT = 'Give each key to another person, keep copies elsewhere, and leave none on this machine.';

function addOnline(keys: Command): void {
  const online = sub(keys, 'online', "print the public parts of the service's own keys, for a root to name", [
    'keys online > online.json',
    'keys online --new > online.json',
  ]).option('--new', 'make new ones first, because the old ones may be stolen');
  online.action(async () => {
    const isNew = online.optsWithGlobals<{ new?: boolean }>().new === true;
    console.log(JSON.stringify(await askOnline(online, isNew)));
  });
}

function addSign(keys: Command): void {
  const sign = sub(keys, 'sign <root-file>', 'add signatures to a root: by keys of the one before, and by its own', [
    'keys sign /media/usb/firmware-keys/2.root.json --key /media/usb/root-8f3a0c41d2b7.key.pem',
  ])
    .requiredOption('--key <file...>', 'a key of root')
    .option(PASSPHRASE, PASSPHRASE_HELP);
  sign.action(async (file: string) => {
    const { key = [], passphraseFile } = sign.optsWithGlobals<ChangeOptions>();
    const root = await readOffline(file);
    if (root.signed._type !== 'root') throw new RepositoryError('metadata_malformed', `${file} is no root`);
    const own = parseRoot(formatMetadata(root));
    const before = await rootBefore(file, own);
    const known = [own, ...(before ? [before] : [])].flatMap(({ signed }) => signed.roles.root.keyids);
    const check = (id: string): void => {
      if (before && !known.includes(id)) throw new RepositoryError('key_unlisted', `root, ${id}`);
    };
    const signed = await signedBy(own, key, passphrases(passphraseFile, 'known'), check);
    await writeMetadata(file, signed);
    tellProgress(sign, file, progressOfRoot(before, signed));
  });
}

function addInstall(keys: Command): void {
  const install = sub(keys, 'install <root-file...>', 'give signed roots to the service, which publishes them', [
    'keys install /media/usb/firmware-keys/1.root.json',
    'keys install 2.root.json --targets 1795866000.targets.json',
  ])
    .option('--targets <file>', 'signed with the keys that the new root names, when it names others')
    .option('--withdraw', 'releases that are not in these targets any more are to be withdrawn');
  install.action(async (files: string[]) => {
    const { targets, withdraw } = install.optsWithGlobals<{ targets?: string; withdraw?: boolean }>();
    const read = await Promise.all(files.map(async (file) => parseRoot(await readNamed(file))));
    const roots = read.toSorted((a, b) => a.signed.version - b.signed.version).map(formatMetadata);
    const client = await api(install);
    const offered = targets === undefined ? {} : await offeredIn(client, targets, withdraw === true);
    const { body: standing } = await client.send('POST', '/firmware/roots', { roots, ...offered });
    print(
      install,
      standing,
      () => `installed root ${String(standing['version'])}, sha256 ${String(standing['sha256'])}`,
    );
  });
}

async function offeredIn(client: ApiClient, file: string, mayWithdraw: boolean): Promise<object> {
  const targets = parseTargets(await readNamed(file));
  const { targets: before } = await publishedBy(client);
  return { targets: formatMetadata(targets), withdraw: withdrawnBy(before, targets, mayWithdraw) };
}

interface KeyRow {
  readonly role: string;
  readonly keyId: string;
  readonly threshold: string;
  readonly file: string;
}

function addList(keys: Command): void {
  const list = sub(keys, 'list [directory]', 'who may sign, as the newest root says; by default of the service', [
    'keys list',
    'keys list /media/usb/firmware-keys',
  ]);
  list.action(async (directory: string | undefined) => {
    const folder = directory === undefined ? await folderOfService(list) : await readKeyFolder(directory);
    const root = newestRoot(folder);
    const rows = [...rowsOf(root, folder.keyFiles)];
    const { version, expires } = root.signed;
    const next = folder.draft && progressOfRoot(root, folder.draft);
    print(list, { version, expires, keys: rows, draft: next }, () =>
      [
        `root ${version}, expires ${expires}`,
        table(rows, KEY_COLUMNS),
        ...(next ?? []).map(({ by, signed, threshold }) => `draft: ${signed.length} of ${threshold} by ${by}`),
      ].join('\n'),
    );
  });
}

const KEY_COLUMNS: readonly Column<KeyRow>[] = [
  { heading: 'ROLE', show: ({ role }) => role },
  { heading: 'KEY', show: ({ keyId }) => keyId },
  { heading: 'THRESHOLD', show: ({ threshold }) => threshold },
  { heading: 'FILE', show: ({ file }) => file },
];

async function folderOfService(command: Command): Promise<KeyFolder> {
  const { body } = await (await api(command)).get('/firmware');
  const roots = Array.isArray(body['roots']) ? body['roots'].map((text) => parseRoot(String(text))) : [];
  return { directory: 'the service', roots, draft: null, keyFiles: [] };
}

function* rowsOf({ signed }: Metadata<'root'>, files: readonly string[]): Generator<KeyRow> {
  for (const [role, { keyids, threshold }] of Object.entries(signed.roles))
    for (const keyId of keyids) {
      const file = files.find((name) => basename(name).includes(keyId.slice(0, SHOWN_ID))) ?? '';
      yield { role, keyId: keyId.slice(0, SHOWN_ID), threshold: `${threshold} of ${keyids.length}`, file };
    }
}
