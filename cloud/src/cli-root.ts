import { rm } from 'node:fs/promises';
import type { Command } from 'commander';
import type { KeyList } from '@paddock/shared/enrolment.ts';
import { seal } from '@paddock/shared/envelope.ts';
import { ownKey, rootFileOf } from './adapters/data-dir.ts';
import { exportRoot, makeRoot, readPassphrase, readRoot } from './adapters/root-file.ts';
import { api, print, sub, type Options } from './cli-command.ts';
import { readClientConfig } from './config-client.ts';
import { table } from './terminal/table.ts';
import { KEY_LIST_COLUMNS } from './terminal/words.ts';

/** `paddock root`: whom devices believe. The fleet root's key may live anywhere but with the service. */
export function addRoot(root: Command): void {
  const commands = root.command('root').description('the fleet root: who seals the lists of keys that devices believe');

  const show = sub(commands, 'show', 'the lists that were sealed, newest first', ['root show', 'root show --json']);
  show.action(async () => {
    const { body } = await (await api(show)).get('/key-lists');
    const items = body['items'] as readonly Record<string, unknown>[];
    print(show, items, () => table(items, KEY_LIST_COLUMNS));
  });

  const exporting = sub(commands, 'export <file>', 'write the root of this data directory encrypted to a file', [
    'root export /media/usb/fleet-root.pem --passphrase-file passphrase.txt --remove',
  ])
    .requiredOption('--passphrase-file <file>', 'a file whose first line is the passphrase')
    .option('--remove', 'and take it away from the service, which then cannot seal by itself');
  exporting.action(async (file: string) => {
    const options = exporting.optsWithGlobals<Options>();
    const { dataDir } = readClientConfig(process.env, options);
    await exportRoot(rootFileOf(dataDir), file, await readPassphrase(String(options['passphraseFile'])));
    if (options['remove'] === true) await rm(rootFileOf(dataDir));
    const removed = options['remove'] === true;
    print(
      exporting,
      { file, removed },
      () => `wrote ${file}${removed ? ' and removed the root from the service' : ''}`,
    );
  });

  const making = sub(commands, 'new <file>', 'make the key of a new root, encrypted; `root sign --new-root` names it', [
    'root new /media/usb/fleet-root-2.pem --passphrase-file passphrase.txt',
  ]).requiredOption('--passphrase-file <file>', 'a file whose first line is the passphrase');
  making.action(async (file: string) => {
    await makeRoot(file, await readPassphrase(String(making.optsWithGlobals<Options>()['passphraseFile'])));
    print(making, { file }, () => `wrote ${file}`);
  });

  addSign(commands);
}

interface SignOptions {
  readonly key?: string;
  readonly passphraseFile?: string;
  readonly newRoot?: string;
  readonly newRootPassphraseFile?: string;
  readonly withoutKey?: string[];
  readonly withoutCa?: string[];
  readonly again?: boolean;
}

function addSign(commands: Command): void {
  const sign = sub(commands, 'sign', 'seal the next list: new keys of the service, a new root, keys to be forgotten', [
    'root sign --key /media/usb/fleet-root.pem --passphrase-file passphrase.txt',
    'root sign --without-key 8lVv3k2mQx1a',
    'root sign --without-ca 3f9a0c41d2b7',
    'root sign --new-root fleet-root-2.pem --new-root-passphrase-file passphrase.txt',
  ])
    .option('--key <file>', 'the root (by default the one in the data directory)')
    .option('--passphrase-file <file>', 'of the root')
    .option('--new-root <file>', 'the key of the root that seals from the next list on')
    .option('--new-root-passphrase-file <file>', 'of the new root')
    .option('--without-key <id...>', 'a key that devices must not believe any more')
    .option('--without-ca <id...>', 'an authority that devices and brokers must not believe any more, for good')
    .option('--again', 'even when devices know all of it: see the backup chapter of the operations manual');
  sign.action(async () => {
    const options = sign.optsWithGlobals<SignOptions>();
    const { dataDir } = readClientConfig(process.env, sign.optsWithGlobals());
    const root = await rootOf(options.key ?? rootFileOf(dataDir), options.passphraseFile);
    const newRoot = options.newRoot && (await rootOf(options.newRoot, options.newRootPassphraseFile));
    const client = await api(sign);
    const { body } = await client.send('POST', '/key-lists/next', {
      ...(newRoot && { root: newRoot.publicJwk }),
      withoutKeys: options.withoutKey ?? [],
      withoutAuthorities: options.withoutCa ?? [],
      again: options.again === true,
    });
    const payload = body['payload'] as KeyList | null;
    if (payload === null) return print(sign, { version: null }, () => 'Devices know all of it: nothing to seal');
    const sealed = await seal('keys', payload, root.signing);
    const added = await client.send('POST', '/key-lists', { sealed });
    print(sign, added.body, () => `sealed version ${payload.version}`);
  });
}

const rootOf = async (file: string, passphraseFile: string | undefined) =>
  ownKey(await readRoot(file, passphraseFile === undefined ? undefined : await readPassphrase(passphraseFile)));
