import { createPrivateKey, generateKeyPairSync } from 'node:crypto';
import { open, readFile, rm } from 'node:fs/promises';
import type { Command } from 'commander';
import type { JWK } from 'jose';
import { toInstant, wallMs } from '@paddock/shared/time.ts';
import type { Item } from './adapters/api-client.ts';
import { readPublicKey } from './adapters/key-file.ts';
import { systemClock } from './adapters/system-clock.ts';
import { api, print, printList, sub, type Options } from './cli-command.ts';
import { ConfigError } from './config.ts';
import { ClaimMint } from './enrolment/claim-mint.ts';
import { FACTORY_KEY_COLUMNS } from './terminal/words.ts';

const DAY_MS = 86_400_000;

/** Keys that factories seal claims with. */
export function addFactoryKeys(root: Command): void {
  const group = root.command('factory-keys').description('keys that a factory seals claims with: add, list, revoke');
  addAdd(group);
  const list = sub(group, 'list', 'batches, and how many devices they let in', ['factory-keys list']);
  list.action(() => printList(list, '/factory-keys', FACTORY_KEY_COLUMNS));
  const revoke = sub(group, 'revoke <batch-id>', 'let nobody in any more by its claims', [
    'factory-keys revoke works-2026-11',
  ]);
  revoke.action(async (batchId: string) => {
    const { body } = await (await api(revoke)).send('DELETE', `/factory-keys/${encodeURIComponent(batchId)}`);
    print(revoke, body, () => `${batchId} is revoked`);
  });
}

function addAdd(group: Command): void {
  const add = sub(
    group,
    'add <batch-id>',
    'make a key for a batch of devices, and write the kit that a factory makes claims with',
    ['factory-keys add works-2026-11 --count 500 --days 90 --model cp-22 --kit works-2026-11.json'],
  )
    .requiredOption('--count <number>', 'let in so many devices at most')
    .requiredOption('--kit <file>', 'write the kit there: whoever has it lets devices in, within these bounds')
    .option('--days <number>', 'for so many days', '90')
    .option('--model <id>', 'only this model')
    .option('--customer <id>', 'whose devices they are')
    .option('--public-key <file|jwk>', 'a key that was made elsewhere: the kit holds no private key then');
  add.action(async (batchId: string) => {
    const options = add.optsWithGlobals<Record<string, string | undefined>>();
    const kitFile = options['kit'] ?? '';
    const { publicKey, privateKey } = await keyPairOf(options['publicKey']);
    const notAfter = toInstant(wallMs(systemClock.wall() + wholeNumber('--days', options['days']) * DAY_MS));
    await using kit = await newSecretFile(kitFile);
    const { body } = await (
      await api(add)
    ).send('POST', '/factory-keys', {
      batchId,
      publicKey,
      maxDevices: wholeNumber('--count', options['count']),
      notAfter,
      modelId: options['model'],
      customerId: options['customer'],
    });
    await kit.write({
      batch: batchId,
      model: options['model'] ?? null,
      ...(body['claims'] as Item),
      notAfter,
      privateKey,
    });
    print(add, body, () => `${batchId} may let in ${options['count']} devices until ${notAfter}: ${kitFile}`);
  });
}

/** Claims are made where the kit is: without the service. */
export function addClaims(root: Command): void {
  const group = root.command('claims').description('claims for new devices');
  const make = sub(group, 'make [serial-number...]', 'make claims with the kit of a batch, without the service', [
    'claims make --kit works-2026-11.json CP22-000417',
    'claims make --kit works-2026-11.json --serial-numbers made-today.txt --json',
  ])
    .requiredOption('--kit <file>', 'what `paddock factory-keys add` has written')
    .option('--serial-numbers <file>', 'a file with one serial number a line')
    .option('--key <file>', 'the private key (PEM), when the kit holds none')
    .option('--model <id>', 'the model, when the batch is for several')
    .option('--days <number>', 'good for so many days', '90');
  make.action(async (given: string[]) => {
    const { kit = '', serialNumbers, key, model, days } = make.optsWithGlobals<Record<string, string | undefined>>();
    const listed = serialNumbers === undefined ? [] : linesOf(await readFile(serialNumbers, 'utf8'));
    const all = [...given, ...listed];
    if (all.length === 0) throw new ConfigError(['Give serial numbers, or --serial-numbers <file>']);
    const privateKey = key === undefined ? {} : { privateKey: jwkOf(await readFile(key, 'utf8')) };
    const mint = await ClaimMint.open({ ...(JSON.parse(await readFile(kit, 'utf8')) as Options), ...privateKey });
    const bounds = { now: systemClock.wall(), lifeMs: wholeNumber('--days', days) * DAY_MS, model };
    const claims: Item[] = [];
    for (const serialNumber of all) claims.push({ serialNumber, claim: await mint.mint(serialNumber, bounds) });
    print(make, claims, () => claims.map(({ claim }) => String(claim)).join('\n'));
  });
}

const linesOf = (text: string): string[] =>
  text
    .replace(/^\u{feff}/u, '')
    .split(/\r?\n/)
    .map((line) => line.trim())
    .filter((line) => line !== '');

function wholeNumber(flag: string, text: string | undefined): number {
  if (text === undefined || !/^[1-9]\d{0,6}$/.test(text))
    throw new ConfigError([`${flag} has to be a whole number from 1`]);
  return Number(text);
}

async function keyPairOf(publicKey: string | undefined): Promise<{ publicKey: JWK; privateKey?: JWK }> {
  if (publicKey !== undefined) return { publicKey: await readPublicKey(publicKey) };
  const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return { publicKey: pair.publicKey.export({ format: 'jwk' }), privateKey: pair.privateKey.export({ format: 'jwk' }) };
}

const jwkOf = (pem: string): JWK => createPrivateKey(pem).export({ format: 'jwk' });

/** A file that nobody else may read and that was not there: made before the key is registered, gone if that fails. */
async function newSecretFile(path: string) {
  const file = await open(path, 'wx', 0o600);
  let isWritten = false;
  return {
    async write(content: object): Promise<void> {
      await file.writeFile(`${JSON.stringify(content, null, 2)}\n`);
      isWritten = true;
    },
    async [Symbol.asyncDispose](): Promise<void> {
      await file.close();
      if (!isWritten) await rm(path);
    },
  };
}
