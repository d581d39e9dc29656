import { writeFile } from 'node:fs/promises';
import type { Command } from 'commander';
import type { Item } from './adapters/api-client.ts';
import { addAuthority } from './adapters/data-dir/authority.ts';
import { systemClock } from './adapters/system-clock.ts';
import { api, print, sub, type Options } from './cli-command.ts';
import { readClientConfig } from './config-client.ts';
import { ConfigError } from './config.ts';
import { AUTHORITY_COLUMNS } from './terminal/credential-words.ts';
import { table } from './terminal/table.ts';
import { newAuthorityCertificate } from './trust/authority.ts';

/** `paddock ca`: the authorities, and the way from one to the next. */
export function addCa(root: Command): void {
  const commands = root.command('ca').description('the authorities that certificates of devices and servers come from');

  const list = sub(commands, 'list', 'which one issues, which are accepted, how many devices know and have which', [
    'ca list',
    'ca list --json',
  ]);
  list.action(async () => {
    const items = await authorities(list);
    print(list, items, () => table(items, AUTHORITY_COLUMNS));
  });

  const making = sub(commands, 'new', 'make another authority in this data directory, beside the one that issues', [
    'ca new --data-dir /var/lib/paddock',
  ]);
  making.action(async () => {
    const { dataDir } = readClientConfig(process.env, making.optsWithGlobals<Options>());
    if (process.env['PADDOCK_CA_CERT'])
      throw new ConfigError(['PADDOCK_CA_CERT names the authorities: make another one elsewhere, and add it there']);
    const files = await addAuthority(dataDir, (key) => newAuthorityCertificate(key, systemClock.wall()));
    print(
      making,
      files,
      () =>
        `wrote ${files.key}\nwrote ${files.certificate}\nEvery instance of the service needs both; then: paddock ca list`,
    );
  });

  const use = sub(commands, 'use <id>', 'let another authority issue from now on: one that devices know', [
    'ca use 3f9a0c41d2b7',
  ]);
  use.action(async (id: string) => {
    const { body } = await (await api(use)).send('POST', `/authorities/${encodeURIComponent(id)}/use`);
    print(use, body, () => `${String(body['id'])} issues certificates from now on`);
  });

  const bundle = sub(commands, 'bundle', 'the authorities whose certificates are accepted, in PEM, for a broker', [
    'ca bundle --out /etc/mosquitto/paddock/ca.cert.pem',
  ]).option('--out <file>', 'write it there instead of showing it');
  bundle.action(async () => {
    const items = (await authorities(bundle)).filter(({ state }) => ACCEPTED.has(state));
    const pem = items.map(({ certificate }) => String(certificate)).join('');
    const { out } = bundle.optsWithGlobals<{ out?: string }>();
    if (out !== undefined) await writeFile(out, pem);
    const ids = items.map(({ id }) => id);
    print(bundle, { ids, ...(out === undefined ? { pem } : { file: out }) }, () =>
      out === undefined ? pem.trimEnd() : `wrote ${out}: ${ids.join(' ')}`,
    );
  });
}

const ACCEPTED: ReadonlySet<unknown> = new Set(['issues', 'accepted', 'unlisted']);

const authorities = async (command: Command): Promise<Item[]> =>
  (await (await api(command)).get('/authorities')).body['items'] as Item[];
