import { InvalidArgumentError, Option, type Command } from 'commander';
import { readNamed } from './adapters/named-file.ts';
import { systemClock } from './adapters/system-clock.ts';
import { api, print, sub } from './cli-command.ts';
import { passphrases } from './cli-passphrase.ts';
import { keepRoot, makeKey, newestRoot, readKeyFolder, signedBy } from './key-folder.ts';
import { parseKey, parseOnlineKeys } from './tuf/key-files.ts';
import {
  isComplete,
  keyIdLike,
  nextRoot,
  OFFLINE_ROLES,
  progressOfRoot,
  type OfflineRole,
  type OnlineKeys,
  type Progress,
  type RootChange,
} from './tuf/root.ts';

export const PASSPHRASE = '--passphrase-file <file>';
export const PASSPHRASE_HELP =
  'a file whose first line is the passphrase of the keys (or PADDOCK_KEYS_PASSPHRASE, or asked for)';

/** Keys of a role, or how many of them sign. */
export function few(text: string): number {
  if (!/^([1-9]|[12]\d|3[0-2])$/.test(text)) throw new InvalidArgumentError('It has to be 1 to 32.');
  return Number(text);
}

export const askOnline = async (command: Command, isNew = false): Promise<OnlineKeys> => {
  const client = await api(command);
  if (isNew) return parseOnlineKeys(JSON.stringify((await client.send('POST', '/firmware/online-keys')).body));
  return parseOnlineKeys(JSON.stringify((await client.get('/firmware')).body['onlineKeys']));
};

export const onlineKeys = async (command: Command, file: string | undefined): Promise<OnlineKeys> =>
  file === undefined ? askOnline(command) : parseOnlineKeys(await readNamed(file));

export interface ChangeOptions {
  readonly role?: OfflineRole;
  readonly public?: string;
  readonly online?: string | true;
  readonly rootThreshold?: number;
  readonly targetsThreshold?: number;
  readonly key?: string[];
  readonly passphraseFile?: string;
}

/** Everything that makes the next root. Several changes go into one, until it is signed. */
export function addChanges(keys: Command): void {
  const add = change(keys, 'add <directory>', 'the next root has one key more', [
    'keys add /media/usb/firmware-keys --role targets',
    'keys add /media/usb/firmware-keys --role root --public anna.json',
  ])
    .addOption(new Option('--role <role>', 'what it is for').choices(OFFLINE_ROLES).makeOptionMandatory())
    .option('--public <file>', 'of a key that somebody made elsewhere; by default one is made here');
  add.action(async (directory: string) => {
    const options = add.optsWithGlobals<ChangeOptions>();
    const added = await keyFor(directory, options.role ?? 'targets', options);
    await draft(add, directory, { add: [added] }, options);
  });

  const revoke = change(keys, 'revoke <directory> <key-id...>', 'the next root has not these keys', [
    'keys revoke /media/usb/firmware-keys 8f3a0c41d2b7',
  ]);
  revoke.action(async (directory: string, ids: string[]) => {
    const { signed } = newestRoot(await readKeyFolder(directory));
    await draft(revoke, directory, { revoke: ids.map((id) => keyIdLike(signed, id)) }, revoke.optsWithGlobals());
  });

  const rotate = change(keys, 'rotate <directory> [key-id]', 'the next root has another key in place of this one', [
    'keys rotate /media/usb/firmware-keys 8f3a0c41d2b7',
    'keys rotate /media/usb/firmware-keys --online online.json',
  ])
    .option('--public <file>', 'of a key that somebody made elsewhere; by default one is made here')
    .option('--online [file]', "the service's own keys: what `keys online --new` printed; by default it is asked");
  rotate.action(async (directory: string, id: string | undefined) => {
    const options = rotate.optsWithGlobals<ChangeOptions>();
    const { online } = options;
    if (online !== undefined)
      return draft(
        rotate,
        directory,
        { online: online === true ? await askOnline(rotate, true) : await onlineKeys(rotate, online) },
        options,
      );
    const { signed } = newestRoot(await readKeyFolder(directory));
    const old = keyIdLike(signed, id ?? '');
    const roles = OFFLINE_ROLES.filter((role) => signed.roles[role].keyids.includes(old));
    const added = [];
    // One after the other: each may ask for a passphrase.
    for (const role of roles) added.push(await keyFor(directory, role, options));
    await draft(rotate, directory, { revoke: [old], add: added }, options);
  });

  const renew = change(keys, 'renew <directory>', 'the next root says the same and expires a year from now', [
    'keys renew /media/usb/firmware-keys --key root-1.key.pem --key root-2.key.pem',
  ]);
  renew.action((directory: string) => draft(renew, directory, {}, renew.optsWithGlobals()));

  const create = sub(keys, 'new <directory>', 'make a key for `keys add --public`, and print its public part', [
    'keys new /media/usb --role targets > anna.json',
  ])
    .addOption(new Option('--role <role>', 'what it is for').choices(OFFLINE_ROLES).makeOptionMandatory())
    .option(PASSPHRASE, PASSPHRASE_HELP);
  create.action(async (directory: string) => {
    const { role = 'targets', passphraseFile } = create.optsWithGlobals<ChangeOptions>();
    const { key, file } = await makeKey(directory, role, passphrases(passphraseFile, 'new'));
    console.error(`wrote ${file}`);
    console.log(JSON.stringify(key));
  });
}

const change = (keys: Command, usage: string, description: string, examples: readonly string[]): Command =>
  sub(keys, usage, description, examples)
    .option('--root-threshold <count>', 'so many keys sign a root from then on', few)
    .option('--targets-threshold <count>', 'so many keys sign a release from then on', few)
    .option('--key <file...>', 'keys of root to sign the draft with at once')
    .option(PASSPHRASE, PASSPHRASE_HELP);

async function keyFor(directory: string, role: OfflineRole, options: ChangeOptions) {
  if (options.public !== undefined) return { role, key: parseKey(await readNamed(options.public)) };
  const { key } = await makeKey(directory, role, passphrases(options.passphraseFile, 'new'));
  return { role, key };
}

/** Makes the next root in the folder, or changes the one that is not signed yet: then its signatures are void. */
async function draft(command: Command, directory: string, wanted: RootChange, options: ChangeOptions): Promise<void> {
  const folder = await readKeyFolder(directory);
  const before = newestRoot(folder);
  const { rootThreshold, targetsThreshold } = options;
  const thresholds = {
    ...(rootThreshold !== undefined && { root: rootThreshold }),
    ...(targetsThreshold !== undefined && { targets: targetsThreshold }),
  };
  const changed = nextRoot(folder.draft ?? before, { ...wanted, thresholds }, systemClock.wall());
  const unsigned = { ...changed, signed: { ...changed.signed, version: before.signed.version + 1 } };
  const root = await signedBy(unsigned, options.key ?? [], passphrases(options.passphraseFile, 'known'));
  const file = await keepRoot(directory, root);
  tellProgress(command, file, progressOfRoot(before, root));
}

/** How far it has come. */
export function tellProgress(command: Command, file: string, progress: readonly Progress[]): void {
  const complete = isComplete(progress);
  print(command, { file, complete, progress }, () => {
    const lines = progress.map(({ by, signed, threshold }) => `  ${signed.length} of ${threshold} by ${by}`);
    return [`wrote ${file}${complete ? ', signed by all who have to' : ', still to be signed'}`, ...lines].join('\n');
  });
}
