import { stdin } from 'node:process';
import type { Command } from 'commander';
import { ApiError, type ApiClient, type Item } from './adapters/api-client.ts';
import { isAgreed } from './cli-ask.ts';
import { api, isJson, print, printList, sub, type Options } from './cli-command.ts';
import { sheet } from './terminal/table.ts';
import { PENDING_COLUMNS } from './terminal/words.ts';

/** Fewer characters of a fingerprint are easily made by somebody else. */
const SHORTEST_FINGERPRINT = 12;

/** Devices that wait for a human. */
export function addPending(root: Command): void {
  const pending = root.command('pending').description('devices that ask to be let in: list, show, approve, reject');
  const list = sub(pending, 'list', 'who waits, with what it says of itself', ['pending list']);
  list.action(() => printList(list, '/pending', PENDING_COLUMNS));
  const show = sub(pending, 'show <fingerprint>', 'one of them, with its facts', ['pending show NzbLsXh8uDCc']);
  show.action(async (given: string) => {
    const item = await find(await api(show), given);
    print(show, item, () => sheetOf(item));
  });
  addApprove(pending);
  const reject = sub(
    pending,
    'reject <fingerprint>',
    'do not let a device in, whatever else it brings: it is told so',
    ['pending reject NzbLsXh8uDCc'],
  );
  reject.action(async (given: string) => {
    const client = await api(reject);
    const { body } = await client.send('POST', `${pathOf(await find(client, given))}/reject`);
    print(reject, body, () => `${String(body['fingerprint'])} is rejected`);
  });
  const dismiss = sub(pending, 'dismiss <fingerprint>', 'forget it, and that it was rejected: it may ask anew', [
    'pending dismiss NzbLsXh8uDCc',
  ]);
  dismiss.action(async (given: string) => {
    const client = await api(dismiss);
    const { body } = await client.send('DELETE', pathOf(await find(client, given)));
    print(dismiss, body, () => `${String(body['fingerprint'])} is forgotten`);
  });
}

function addApprove(pending: Command): void {
  const approve = sub(
    pending,
    'approve <fingerprint>',
    'look at a device and let it in: compare the fingerprint with what it shows, 12 characters are enough',
    [
      'pending approve NzbLsXh8uDCc --name "Main hall"',
      'pending approve NzbLsXh8uDCc --device kiosk-0417',
      `pending approve NzbLsXh8uDCc --seen '"0yTnZ4lVqC1cUe3mB8rK5A"' --new`,
    ],
  )
    .option('--device <id>', 'it is this device, with a new key (in a terminal: by default the one that is shown)')
    .option('--new', 'it is a new device, whatever its serial number')
    .option('--seen <etag>', 'without looking and asking: it is as `pending show --json` said')
    .option('--name <text>', 'what people call it')
    .option('--customer <id>', 'whose device it is')
    .option('--site <id>', 'where it stands')
    .option('--model <id>', 'what kind of kiosk it is');
  approve.action(async (given: string) => {
    const options = approve.optsWithGlobals<Options>();
    const client = await api(approve);
    const item = await find(client, given);
    const chosen = options['new'] === true ? null : options['device'];
    const decided = options['seen'] === undefined ? await look(approve, item, chosen) : { deviceId: chosen };
    const fields = {
      ...decided,
      name: options['name'],
      customerId: options['customer'],
      siteId: options['site'],
      modelId: options['model'],
    };
    const { body } = await client.send(
      'POST',
      `${pathOf(item)}/approve`,
      fields,
      String(options['seen'] ?? item['etag']),
    );
    print(approve, body, () => `It is ${String(body['deviceId'])}, and gets its certificate when it asks again`);
  });
}

/** Shows what is decided on, and asks. What was shown is what is sent. @throws ApiError `not_seen`, `not_agreed` */
async function look(
  command: Command,
  item: Item,
  chosen: Options[string] | null,
): Promise<{ deviceId: string | null }> {
  if (!stdin.isTTY || isJson(command))
    throw new ApiError('not_seen', 'Nobody can be asked here: say by --seen what `pending show --json` said');
  const named = chosen === undefined ? item['deviceId'] : chosen;
  const deviceId = typeof named === 'string' ? named : null;
  console.log(`${sheetOf(item)}\n`);
  if (deviceId === null && chosen !== null && item['reason'] === 'serial_number_known')
    throw new ApiError(
      'device_ambiguous',
      'Several devices have its serial number: say by --device or --new which it is',
    );
  const question =
    deviceId === null ? 'Let it in as a new device?' : `Let it in as ${deviceId}, and revoke the key of that one?`;
  if (!(await isAgreed(question))) throw new ApiError('not_agreed', 'Nothing was changed');
  return { deviceId };
}

const sheetOf = ({ facts, ...rest }: Item): string => `${sheet(rest)}\n\n${sheet(facts as Item)}`;

const pathOf = (item: Item): string => `/pending/${String(item['fingerprint'])}`;

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
