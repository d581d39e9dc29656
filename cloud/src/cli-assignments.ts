import type { Command } from 'commander';
import { api, isJson, print, printList, sub, type Options } from './cli-command.ts';
import type { Item } from './adapters/api-client.ts';
import {
  ASSIGNED_DEVICE_COLUMNS,
  ASSIGNMENT_COLUMNS,
  assignmentSheet,
  FIRMWARE_CHANGE_COLUMNS,
  firmwareSheet,
} from './terminal/rollout-words.ts';
import { table } from './terminal/table.ts';

const VERBS = {
  pause: 'hand nothing out any more, and take the release back from devices that have not begun to change',
  resume: 'go on, after a pause or a halt; failures until now count no more',
  cancel: 'end it for good, and take the release back from devices that have not begun to change',
} as const;

/** `paddock assignments`: which release which devices shall run, and how far they are. */
export function addAssignments(root: Command): void {
  const group = root
    .command('assignments')
    .description('list, look at, pause, resume and cancel assignments of firmware (made by devices assign)');
  const list = sub(group, 'list', 'assignments, the newest first', ['assignments list --state active'])
    .option('--state <state>', 'active, paused, halted, completed or cancelled')
    .option('--name <bundle>', 'of releases of this name');
  list.action(() => {
    const { state, name } = list.optsWithGlobals<Record<string, string>>();
    return printList(list, '/assignments', ASSIGNMENT_COLUMNS, { state, name });
  });
  addShow(group);
  for (const [verb, description] of Object.entries(VERBS)) {
    const command = sub(group, `${verb} <assignment-id>`, description, [`assignments ${verb} 12`]);
    command.action(async (id: string) => {
      const { body } = await (await api(command)).send('POST', `${pathOf(id)}/${verb}`);
      print(command, body, () => assignmentSheet(body));
    });
  }
}

const pathOf = (id: string): string => `/assignments/${encodeURIComponent(id)}`;

function addShow(group: Command): void {
  const show = sub(group, 'show <assignment-id>', 'one assignment, and how far each device is', [
    'assignments show 12',
    'assignments show 12 --state failed --json',
  ]).option('--state <state>', 'only devices in this state');
  show.action(async (id: string) => {
    const { state } = show.optsWithGlobals<Options>();
    const client = await api(show);
    const { body } = await client.get(pathOf(id));
    const devices: Item[] = [];
    const query = typeof state === 'string' ? { state } : {};
    for await (const device of client.list(`${pathOf(id)}/devices`, query)) devices.push(device);
    if (isJson(show)) return console.log(JSON.stringify({ ...body, devices }));
    console.log([assignmentSheet(body), table(devices, ASSIGNED_DEVICE_COLUMNS)].join('\n\n'));
  });
}

/** `paddock devices firmware`. */
export function addFirmware(devices: Command): void {
  const firmware = sub(devices, 'firmware <device-id>', 'what a device runs and how its update does, as it signed it', [
    'devices firmware kiosk-0001',
    'devices firmware kiosk-0001 --history',
  ]).option('--history', 'what it ran and from when on, newest first');
  firmware.action(async (deviceId: string) => {
    const path = `/devices/${encodeURIComponent(deviceId)}/firmware`;
    const { history } = firmware.optsWithGlobals<Options>();
    if (history === true) return printList(firmware, `${path}/history`, FIRMWARE_CHANGE_COLUMNS);
    const { body } = await (await api(firmware)).get(path);
    print(firmware, body, () => firmwareSheet(body));
  });
}
