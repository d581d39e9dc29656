import { join, relative } from 'node:path';
import type { Options } from './options.ts';

/** As somebody in this folder would type it. */
const short = (path: string): string => {
  const fromHere = relative(process.cwd(), path);
  return fromHere.startsWith('..') ? path : fromHere;
};

/** What commands need before them, when the defaults do not hold. */
function settings(): string {
  const changed = ['PADDOCK_DATA_DIR', 'PADDOCK_HTTP_PORT'].filter((variable) => process.env[variable]);
  return changed.map((variable) => `${variable}=${process.env[variable]} `).join('');
}

export function whereToLook(
  { dataDir, httpPort, mqttTlsPort, enrolPort }: Options,
  config: string,
  kiosk: string,
): string {
  const folder = short(join(dataDir, 'demo'));
  const token = short(join(dataDir, 'operator.token'));
  const set = settings();
  return `
Paddock is running.

  API        curl -H "authorization: Bearer $(cat ${token})" http://127.0.0.1:${httpPort}/api/v1/devices
  API page   http://127.0.0.1:${httpPort}/docs
  MQTT       mqtts://127.0.0.1:${mqttTlsPort}, by mutual TLS
  Enrolment  https://127.0.0.1:${enrolPort}
  Kiosk      ${kiosk}, enrolled by a claim
  Token      ${token}
  Data       ${short(dataDir)}
  Logs       ${folder}/cloud.log, ${folder}/agent.log, ${folder}/launcher.log
  Commands   ${set}npx paddock devices list
             ${set}npx paddock devices show ${kiosk}
             ${set}npx paddock desired set ${kiosk} outputs.light=on
             npx paddock-agent doctor --config ${short(config)}
  Stop       Ctrl-C

What arrives:
`;
}

/** The three commands that bring the next release to the kiosk. */
export function howToRelease({ dataDir }: Options, kiosk: string): string {
  const folder = short(join(dataDir, 'demo/firmware'));
  const set = settings();
  return `
The kiosk runs signed releases of its application, first 1.0.0. To bring it 1.1.0, in another terminal:

  npx paddock bundle build firmware-bundles/kiosk-app/1.1.0
  ${set}npx paddock release sign kiosk-app-2.bundle --out kiosk-app-2.targets.json \\
    --passphrase-file ${folder}/passphrase --key ${folder}/keys/targets-*
  ${set}npx paddock release publish kiosk-app-2.targets.json kiosk-app-2.bundle --assign ${kiosk} --wait
`;
}
