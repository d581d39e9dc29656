import type { Command } from 'commander';
import { ApiError, type Item } from './adapters/api-client.ts';
import { api, print, sub } from './cli-command.ts';
import { CERTIFICATE_COLUMNS, IDENTITY_KEY_COLUMNS } from './terminal/credential-words.ts';
import { table } from './terminal/table.ts';

const pathOf = (deviceId: string): string => `/devices/${encodeURIComponent(deviceId)}`;

/** `paddock devices certificates` and `keys`, and taking them back. */
export function addCredentials(devices: Command): void {
  const certificates = sub(devices, 'certificates <device-id>', 'the certificates that a device got, newest first', [
    'devices certificates kiosk-0001',
  ]);
  certificates.action(async (deviceId: string) => {
    const items = await itemsOf(certificates, `${pathOf(deviceId)}/certificates`);
    print(certificates, items, () => table(items, CERTIFICATE_COLUMNS));
  });

  const revoke = sub(
    devices,
    'revoke-certificates <device-id>',
    'take back all certificates of a device: connections are closed, and its key gets it another one',
    ['devices revoke-certificates kiosk-0001 --reason "TLS key was on a stolen disk"'],
  ).requiredOption('--reason <text>', 'why: kept with them');
  revoke.action(async (deviceId: string) => {
    const { reason } = revoke.optsWithGlobals<{ reason: string }>();
    const { body } = await (await api(revoke)).send('POST', `${pathOf(deviceId)}/certificates/revoke`, { reason });
    print(revoke, body, () => `${deviceId}: ${counted(body)}`);
  });

  const keys = sub(devices, 'keys <device-id>', 'the identity keys that a device ever had, oldest first', [
    'devices keys kiosk-0001',
  ]);
  keys.action(async (deviceId: string) => {
    const items = await itemsOf(keys, `${pathOf(deviceId)}/keys`);
    print(keys, items, () => table(items, IDENTITY_KEY_COLUMNS));
  });

  addRevokeKey(devices);
}

function addRevokeKey(devices: Command): void {
  const command = sub(
    devices,
    'revoke-key <device-id>',
    'take back an identity key for good, with its certificates: nothing that it signs is believed any more',
    ['devices revoke-key kiosk-0001 --reason "kiosk was stolen"'],
  )
    .requiredOption('--reason <text>', 'why: kept with it')
    .option('--key <fingerprint>', 'which one, by its beginning (by default the only one that is good)');
  command.action(async (deviceId: string) => {
    const { reason, key } = command.optsWithGlobals<{ reason: string; key?: string }>();
    const thumbprint = oneOf(await itemsOf(command, `${pathOf(deviceId)}/keys`), key);
    const path = `${pathOf(deviceId)}/keys/${encodeURIComponent(thumbprint)}/revoke`;
    const { body } = await (await api(command)).send('POST', path, { reason });
    print(command, { ...body, thumbprint }, () => `${deviceId}: revoked key ${thumbprint}, ${counted(body)}`);
  });
}

/** @throws ApiError `key_unknown` */
function oneOf(keys: readonly Item[], beginning: string | undefined): string {
  const fits = keys.filter(({ thumbprint, revokedAt }) =>
    beginning === undefined ? revokedAt === null : String(thumbprint).startsWith(beginning),
  );
  const [only, second] = fits;
  if (only === undefined || second !== undefined)
    throw new ApiError('key_unknown', `${fits.length} keys of the device fit: say which one by --key`);
  return String(only['thumbprint']);
}

const counted = ({ revokedCertificates: count }: Item): string =>
  `${String(count)} ${count === 1 ? 'certificate' : 'certificates'} revoked`;

const itemsOf = async (command: Command, path: string): Promise<Item[]> =>
  (await (await api(command)).get(path)).body['items'] as Item[];
