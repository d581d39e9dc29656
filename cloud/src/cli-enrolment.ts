import { openAsBlob } from 'node:fs';
import { stdout } from 'node:process';
import type { Command } from 'commander';
import { ApiError, type ApiClient, type Item } from './adapters/api-client.ts';
import { api, isJson, print, printList, sub, type Options } from './cli-command.ts';
import { plain, sheet } from './terminal/table.ts';
import { FACTORY_LIST_COLUMNS, PENDING_COLUMNS } from './terminal/words.ts';

/** Fewer characters of a fingerprint are easily made by somebody else. */
const SHORTEST_FINGERPRINT = 12;

/** Devices that wait for a human. */
export function addPending(root: Command): void {
  const pending = root.command('pending').description('devices that ask to be let in: list, approve, reject');
  const list = sub(pending, 'list', 'who waits, with what it says of itself', ['pending list']);
  list.action(() => printList(list, '/pending', PENDING_COLUMNS));
  addShow(pending);
  addApprove(pending);
  const reject = sub(pending, 'reject <fingerprint>', 'do not let a device in: it is told so', [
    'pending reject NzbLsXh8uDCc',
  ]);
  reject.action(async (given: string) => {
    const client = await api(reject);
    const { body } = await client.send('POST', `${await pathOf(client, given)}/reject`);
    print(reject, body, () => `${String(body['fingerprint'])} is rejected`);
  });
}

function addShow(pending: Command): void {
  const show = sub(pending, 'show <fingerprint>', 'one of them, with its facts', ['pending show NzbLsXh8uDCc']);
  show.action(async (given: string) => {
    const { facts, ...rest } = await find(await api(show), given);
    print(show, { ...rest, facts }, () => `${sheet(rest)}\n\n${sheet(facts as Item)}`);
  });
}

function addApprove(pending: Command): void {
  const approve = sub(
    pending,
    'approve <fingerprint>',
    'let a device in: compare the fingerprint with what the device shows, 12 characters are enough',
    ['pending approve NzbLsXh8uDCc --name "Main hall"', 'pending approve NzbLsXh8uDCc --device kiosk-0417'],
  )
    .option('--device <id>', 'it is this device, with a new key (by default the one of its serial number)')
    .option('--new', 'it is a new device, whatever its serial number')
    .option('--name <text>', 'what people call it')
    .option('--customer <id>', 'whose device it is')
    .option('--site <id>', 'where it stands')
    .option('--model <id>', 'what kind of kiosk it is');
  approve.action(async (given: string) => {
    const options = approve.optsWithGlobals<Options>();
    const client = await api(approve);
    const fields = {
      deviceId: options['new'] === true ? null : options['device'],
      name: options['name'],
      customerId: options['customer'],
      siteId: options['site'],
      modelId: options['model'],
    };
    const { body } = await client.send('POST', `${await pathOf(client, given)}/approve`, fields);
    print(approve, body, () => `It is ${String(body['deviceId'])}, and gets its certificate when it asks again`);
  });
}

const pathOf = async (client: ApiClient, given: string): Promise<string> =>
  `/pending/${String((await find(client, given))['fingerprint'])}`;

/** By its fingerprint, or by as much of its beginning as nobody else has. */
async function find(client: ApiClient, given: string): Promise<Item> {
  if (given.length < SHORTEST_FINGERPRINT)
    throw new ApiError('fingerprint_short', `Give at least ${SHORTEST_FINGERPRINT} characters of the fingerprint`);
  const found: Item[] = [];
  for await (const item of client.list('/pending')) if (String(item['fingerprint']).startsWith(given)) found.push(item);
  const [only, second] = found;
  if (only === undefined) throw new ApiError('pending_unknown', `No device with the fingerprint ${given} waits`);
  if (second !== undefined) throw new ApiError('fingerprint_short', `Several devices begin with ${given}`);
  return only;
}

/** What a factory said that it has made. */
export function addFactoryList(root: Command): void {
  const group = root.command('factory-list').description('devices that a factory has made: import, list, remove');
  addImport(group);
  const list = sub(group, 'list', 'what is on the list, and whom it let in', ['factory-list list']).option(
    '--serial-number <text>',
    'only this one',
  );
  list.action(() => {
    const { serialNumber } = list.optsWithGlobals<Record<string, string>>();
    return printList(list, '/factory-list', FACTORY_LIST_COLUMNS, { serialNumber });
  });
  const remove = sub(group, 'remove <fingerprint>', 'take a device off the list; if it is registered, it stays so', [
    'factory-list remove NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs',
  ]);
  remove.action(async (fingerprint: string) => {
    const { body } = await (await api(remove)).send('DELETE', `/factory-list/${encodeURIComponent(fingerprint)}`);
    print(remove, body, () => `${String(body['serialNumber'])} is off the list`);
  });
}

function addImport(group: Command): void {
  const command = sub(group, 'import <file>', 'add what is in a CSV or JSON file, and tell every line that is bad', [
    'factory-list import made-in-november.csv',
    'factory-list import made.json --customer acme --json',
  ]).option('--customer <id>', 'whose devices they are');
  command.action(async (file: string) => {
    const { customer } = command.optsWithGlobals<Record<string, string>>();
    const type = /\.(json|ndjson)$/i.test(file) ? 'application/json' : 'text/csv';
    const query = customer === undefined ? '' : `?customer=${encodeURIComponent(customer)}`;
    const client = await api(command);
    const told = client.upload(`/factory-list/import${query}`, await openAsBlob(file, { type }));
    const bad: Item[] = [];
    for await (const event of told) await tell(event, bad);
  });

  async function tell({ kind, ...event }: Item, bad: Item[]): Promise<void> {
    if (kind === 'failed') throw new ApiError(String(event['code']), String(event['detail']));
    if (kind === 'bad') bad.push(event);
    if (kind === 'bad' && !isJson(command)) console.log(`line ${String(event['line'])}: ${faultOf(event)}`);
    if (kind === 'progress' && stdout.isTTY && !isJson(command)) console.error(`${String(event['records'])} lines...`);
    if (kind === 'done') print(command, { ...event, badLines: bad }, () => summaryOf(event));
    if (kind === 'done' && bad.length > 0) process.exitCode = 1;
  }
}

const faultOf = ({ code, detail }: Item): string =>
  `${String(code)}${detail === undefined ? '' : ` (${plain(detail)})`}`;

const summaryOf = ({ records, added, unchanged, bad }: Item): string =>
  `${String(records)} lines: ${String(added)} added, ${String(unchanged)} known already, ${String(bad)} bad`;
