import { readFile, writeFile } from 'node:fs/promises';
import type { Command } from 'commander';
import type { Progress } from './backup-run.ts';
import { BackupError } from './backup/errors.ts';
import { newIdentity, parseIdentity, parseRecipient, type LockWith, type OpenWith } from './backup/keys.ts';
import { isJson, print, sub, type Options } from './cli-command.ts';
import { readBackupConfig, type BackupConfig } from './config-client.ts';
import { sheet } from './terminal/table.ts';

const PASSPHRASE_HELP = `
The passphrase is read from PADDOCK_BACKUP_PASSPHRASE or --passphrase-file, never from the command line.`;
const TOLD_EVERY_MS = 1_000;
const MIB = 1024 * 1024;

/** `paddock backup` and `paddock restore`: they work on the database and the data directory themselves. */
export function addBackup(root: Command): void {
  const backup = sub(root, 'backup <file>', 'back up database, keys and files, encrypted, while the service runs', [
    'backup /mnt/backups/paddock-1.backup',
    'backup paddock.backup --recipient backup-key.pem.pub',
    'backup verify paddock.backup',
    'backup keygen backup-key.pem',
  ])
    .option('--passphrase-file <file>', 'a file whose first line is the passphrase')
    .option('--recipient <file>', 'the public key of whoever shall be able to read it')
    .option('--force', 'write over a file that is there')
    .addHelpText('after', PASSPHRASE_HELP);
  backup.action(async (file: string) => {
    const options = backup.optsWithGlobals<Options>();
    const place = configOf(backup);
    const { backUp } = await import('./backup-run.ts');
    const lock = await lockOf(place, options);
    const made = await backUp(place, file, { lock, replace: options['force'] === true, progress: progressOf(backup) });
    print(backup, made, () => sheet({ ...made }));
  });
  addVerify(backup);
  addKeygen(backup);
  addRestore(root);
}

function addVerify(backup: Command): void {
  const verify = opening(
    sub(backup, 'verify <file>', 'read all of a backup and check all of it', ['backup verify paddock.backup']),
  );
  verify.action(async (file: string) => {
    const { verifyBackup } = await import('./backup-run.ts');
    const { head: _, ...read } = await verifyBackup(file, await openOf(verify), progressOf(verify));
    print(verify, { verified: true, ...read }, () => sheet({ verified: true, ...read }));
  });
}

function addKeygen(backup: Command): void {
  const keygen = sub(backup, 'keygen <file>', 'make a key pair for backups: FILE, and FILE.pub for the service', [
    'backup keygen backup-key.pem',
  ]);
  keygen.action(async (file: string) => {
    const { privatePem, publicPem } = newIdentity();
    await writeFile(file, privatePem, { mode: 0o600, flag: 'wx' });
    await writeFile(`${file}.pub`, publicPem, { flag: 'wx' });
    print(keygen, { identity: file, recipient: `${file}.pub` }, () =>
      [`wrote ${file}: keep it where the service is not`, `wrote ${file}.pub: for backup --recipient`].join('\n'),
    );
  });
}

function addRestore(root: Command): void {
  const restore = opening(
    sub(root, 'restore <file>', 'restore a backup into an empty data directory, with every instance stopped', [
      'restore paddock.backup --data-dir /var/lib/paddock',
    ]),
  ).option(
    '--replace',
    'put aside what is in the data directory, and take away what is in the database of DATABASE_URL',
  );
  restore.action(async (file: string) => {
    const { restore: run } = await import('./restore-run.ts');
    const replace = restore.optsWithGlobals<Options>()['replace'] === true;
    const open = await openOf(restore);
    const restored = await run(configOf(restore), file, { open, replace, progress: progressOf(restore) });
    print(restore, restored, () =>
      [
        sheet({ ...restored }),
        `What happened after ${restored.createdAt} is not in it: look at what was registered, revoked or retired since.`,
      ].join('\n'),
    );
  });
}

const opening = (command: Command): Command =>
  command
    .option('--passphrase-file <file>', 'a file whose first line is the passphrase')
    .option('--identity <file>', 'the private key of the recipient')
    .addHelpText('after', PASSPHRASE_HELP);

const configOf = (command: Command): BackupConfig => readBackupConfig(process.env, command.optsWithGlobals());

async function lockOf(config: BackupConfig, options: Options): Promise<LockWith> {
  const { recipient } = options;
  if (typeof recipient === 'string') return { recipient: parseRecipient(await readFile(recipient, 'utf8')) };
  return { passphrase: await passphraseOf(config, options) };
}

async function openOf(command: Command): Promise<OpenWith> {
  const options = command.optsWithGlobals<Options>();
  const { identity } = options;
  if (typeof identity === 'string') return { identity: parseIdentity(await readFile(identity, 'utf8')) };
  return { passphrase: await passphraseOf(configOf(command), options) };
}

async function passphraseOf({ passphrase }: BackupConfig, { passphraseFile }: Options): Promise<string> {
  const given = typeof passphraseFile === 'string' ? await readFile(passphraseFile, 'utf8') : passphrase;
  const line = given?.split(/\r?\n/, 1)[0];
  if (!line) throw new BackupError('passphrase_missing');
  return line;
}

/** One line a second on standard error. */
function progressOf(command: Command): Progress {
  if (isJson(command)) return () => undefined;
  let toldAt = performance.now();
  let bytes = 0;
  return (what, more) => {
    bytes += more;
    if (performance.now() - toldAt < TOLD_EVERY_MS) return;
    toldAt = performance.now();
    console.error(`${(bytes / MIB).toFixed(0)} MiB, ${what}`);
  };
}
