import type { Command } from 'commander';
import { api, print, printList, sub } from './cli-command.ts';
import { CRASH_COLUMNS, crashSheet, START_COLUMNS } from './terminal/past-sheet.ts';

/** `paddock devices starts` and `paddock devices crashes`. */
export function addPast(devices: Command): void {
  const pathOf = (deviceId: string, what: string): string => `/devices/${encodeURIComponent(deviceId)}/${what}`;

  const starts = sub(
    devices,
    'starts <device-id>',
    'starts of its agent, newest first, and what ended the one before',
    ['devices starts kiosk-0001', 'devices starts kiosk-0001 --json'],
  );
  starts.action((deviceId: string) => printList(starts, pathOf(deviceId, 'starts'), START_COLUMNS));

  const crashes = sub(
    devices,
    'crashes <device-id> [crash-id]',
    'what it tells of ends that were not in good order, newest first; or one of them, whole',
    [
      'devices crashes kiosk-0001',
      'devices crashes kiosk-0001 1d6f02c83e9b4a75c0d2e8f1',
      'devices crashes kiosk-0001 --json',
    ],
  );
  crashes.action(async (deviceId: string, crashId?: string) => {
    const path = pathOf(deviceId, 'crashes');
    if (crashId === undefined) return printList(crashes, path, CRASH_COLUMNS);
    const { body } = await (await api(crashes)).get(`${path}/${encodeURIComponent(crashId)}`);
    print(crashes, body, () => crashSheet(body));
  });
}
