import { stderr, stdin } from 'node:process';
import { createInterface } from 'node:readline';
import { Writable } from 'node:stream';
import { checkPassphrase, readPassphrase } from './adapters/root-file.ts';
import { RoleKeyError } from './adapters/role-key-file.ts';
import { readKeysPassphrase } from './config-client.ts';

/** Says the passphrase of a key file. */
export type PassphraseOf = (file: string) => Promise<string>;

/**
 * From a file, from `PADDOCK_KEYS_PASSPHRASE`, or asked for at the terminal, for each key by itself.
 * @param purpose a new key's passphrase is asked for twice
 */
export function passphrases(file: string | undefined, purpose: 'new' | 'known'): PassphraseOf {
  return async (keyFile) => {
    if (file !== undefined) return readPassphrase(file);
    const given = readKeysPassphrase(process.env) ?? (await askFor(keyFile, purpose));
    checkPassphrase(given, `the passphrase of ${keyFile}`);
    return given;
  };
}

async function askFor(keyFile: string, purpose: 'new' | 'known'): Promise<string> {
  if (!stdin.isTTY) throw unasked(keyFile);
  for (;;) {
    const first = await ask(keyFile, `Passphrase of ${keyFile}: `);
    if (purpose === 'known' || (await ask(keyFile, 'Once more: ')) === first) return first;
    stderr.write('They are not the same.\n');
  }
}

const unasked = (keyFile: string): RoleKeyError =>
  new RoleKeyError(
    'role_key_unasked',
    `Nobody said the passphrase of ${keyFile}: type it at a terminal, or name a file that holds it (--passphrase-file)`,
  );

/** Nothing of what is typed is shown. */
function ask(keyFile: string, question: string): Promise<string> {
  stderr.write(question);
  const silent = new Writable({ write: (_chunk, _encoding, done) => done() });
  const terminal = createInterface({ input: stdin, output: silent, terminal: true });
  return new Promise((resolve, reject) => {
    terminal.once('close', () => reject(unasked(keyFile)));
    terminal.question('', (answer) => {
      resolve(answer);
      stderr.write('\n');
      terminal.close();
    });
  });
}
