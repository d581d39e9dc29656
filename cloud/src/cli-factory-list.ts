import { openAsBlob } from 'node:fs';
import { stdout } from 'node:process';
import type { Command } from 'commander';
import { ApiError, type Item } from './adapters/api-client.ts';
import { api, isJson, print, printList, sub } from './cli-command.ts';
import { plain } from './terminal/table.ts';
import { FACTORY_LIST_COLUMNS } from './terminal/words.ts';

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
    const going = { reading: 'read', progress: 'done' }[String(kind)];
    if (going !== undefined && stdout.isTTY && !isJson(command))
      console.error(`${String(event['records'])} lines ${going}...`);
    if (kind === 'done') print(command, { ...event, badLines: bad }, () => summaryOf(event));
    if (kind === 'done' && bad.length > 0) process.exitCode = 1;
  }
}

const faultOf = ({ code, detail }: Item): string =>
  `${String(code)}${detail === undefined ? '' : ` (${plain(detail)})`}`;

const summaryOf = ({ records, added, unchanged, bad }: Item): string =>
  `${String(records)} lines: ${String(added)} added, ${String(unchanged)} known already, ${String(bad)} bad`;
