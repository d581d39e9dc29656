import type { Command } from 'commander';
import { ApiError, type Item } from './adapters/api-client.ts';
import { api, print, printList, sub, type Options } from './cli-command.ts';
import { convergenceWords, DESIRED_HISTORY_COLUMNS, desiredSheet } from './terminal/desired-sheet.ts';

/** What shall last on devices. */
export function addDesired(root: Command): void {
  const desired = root.command('desired').description('what shall last on a device: show, set and unset it');
  const show = sub(desired, 'show <device-id>', 'what shall last on it, and what it reports of that', [
    'desired show kiosk-0001',
    'desired show kiosk-0001 --json',
  ]);
  show.action(async (deviceId: string) => {
    const { body } = await (await api(show)).get(pathOf(deviceId));
    print(show, body, () => desiredSheet(body));
  });

  const set = sub(desired, 'set <device-id> <key> [json]', 'set one key, or one output; all others stay', [
    `desired set kiosk-0001 agent '{"schedule":"* * * * *","logLevel":"debug"}'`,
    `desired set kiosk-0001 agent '{"logLevel":"debug"}' --if-version 4`,
    'desired set kiosk-0001 outputs.light=on',
  ]).option('--if-version <n>', 'only if this version still holds');
  set.action(async (deviceId: string, key: string, json: string | undefined) => {
    const { path, value } = assignmentOf(key, json);
    const client = await api(set);
    const { body } = await client.send('PUT', `${pathOf(deviceId)}${path}`, { value }, expected(set));
    print(set, body, () => lineOf(deviceId, body));
  });

  const unset = sub(
    desired,
    'unset <device-id> <key>',
    'take one key or one output away: the own settings of the device hold again',
    ['desired unset kiosk-0001 agent', 'desired unset kiosk-0001 outputs.light'],
  ).option('--if-version <n>', 'only if this version still holds');
  unset.action(async (deviceId: string, key: string) => {
    const path = `${pathOf(deviceId)}${placeOf(key)}`;
    const { body } = await (await api(unset)).send('DELETE', path, undefined, expected(unset));
    print(unset, body, () => lineOf(deviceId, body));
  });

  const history = sub(desired, 'history <device-id>', 'every version: who set what, newest first', [
    'desired history kiosk-0001',
  ]);
  history.action((deviceId: string) => printList(history, `${pathOf(deviceId)}/history`, DESIRED_HISTORY_COLUMNS));
}

const pathOf = (deviceId: string): string => `/devices/${encodeURIComponent(deviceId)}/desired`;

const OUTPUT = /^outputs[.]([^=]+)$/;
const WORDS: Readonly<Record<string, boolean>> = { on: true, off: false };

/** Where a key, or `outputs.` and the name of one, is to be found. */
function placeOf(key: string): string {
  const [, output] = OUTPUT.exec(key) ?? [];
  return output === undefined ? `/keys/${encodeURIComponent(key)}` : `/outputs/${encodeURIComponent(output)}`;
}

/** `KEY JSON`, or `outputs.NAME=VALUE`. @throws ApiError `value_invalid` */
function assignmentOf(key: string, json: string | undefined): { path: string; value: unknown } {
  const [, place = '', word] = /^(outputs[.][^=]+)=(.*)$/s.exec(key) ?? [];
  if (word !== undefined && json === undefined) return { path: placeOf(place), value: outputValueOf(word) };
  if (json === undefined) throw new ApiError('value_invalid', 'A key needs a value, as JSON');
  return { path: placeOf(key), value: valueOf(json) };
}

/** As people write it: on, off, a number, JSON, and otherwise a text. */
function outputValueOf(word: string): unknown {
  if (Object.hasOwn(WORDS, word)) return WORDS[word];
  try {
    return JSON.parse(word);
  } catch {
    return word;
  }
}

const lineOf = (deviceId: string, body: Item): string => `${deviceId}: ${convergenceWords(body)}`;

/** As the API wants it in If-Match. */
function expected(command: Command): string | undefined {
  const { ifVersion } = command.optsWithGlobals<Options>();
  return ifVersion === undefined ? undefined : `"${String(ifVersion)}"`;
}

/** @throws ApiError `value_invalid` */
function valueOf(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    throw new ApiError('value_invalid', `The value has to be JSON: ${json}`);
  }
}
