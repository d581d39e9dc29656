import { rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { enterDirectory, SOCKET, version } from './place.ts';
import { openScreens, type Screen } from './screens.ts';

interface Answer {
  readonly status: number;
  readonly body: object;
}

/** Shows the screens of this release on a Unix socket, and says on `/health` whether all of them can be shown. */
export async function run(): Promise<void> {
  enterDirectory();
  const screens = openScreens();
  const server = createServer(({ url = '/' }, response) => {
    const { status, body } = url === '/health' ? healthOf(screens) : screenAt(screens, url);
    response.writeHead(status, { 'content-type': 'application/json' }).end(`${JSON.stringify(body)}\n`);
  });
  // What is there is of a run that did not end by itself.
  rmSync(SOCKET, { force: true });
  await new Promise<void>((resolve) => server.listen(SOCKET, resolve));
  process.stdout.write(`kiosk-app ${version} shows ${screens.map(({ name }) => name).join(', ')}\n`);
  for (const signal of ['SIGTERM', 'SIGINT'])
    process.once(signal, () => {
      server.close();
      server.closeAllConnections();
    });
}

function healthOf(screens: readonly Screen[]): Answer {
  const faults = screens.flatMap(({ name, fault }) => (fault === null ? [] : [`${name}: ${fault}`]));
  return { status: faults.length === 0 ? 200 : 503, body: { version, faults } };
}

/** `/` is the first screen. */
function screenAt(screens: readonly Screen[], url: string): Answer {
  const screen = url === '/' ? screens[0] : screens.find(({ name }) => url === `/${name}`);
  if (!screen) return { status: 404, body: { version, screens: screens.map(({ name }) => name) } };
  return { status: 200, body: { version, screen: screen.name, lines: screen.lines } };
}
