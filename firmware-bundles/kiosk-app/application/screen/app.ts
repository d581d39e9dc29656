import { rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { KioskAgent } from './agent.ts';
import { enterDirectory, SOCKET, version } from './place.ts';
import { openScreens, type Screen } from './screens.ts';

interface Answer {
  readonly status: number;
  readonly body: object;
}

/**
 * Shows the screens of this release on a Unix socket, and says on `/health` whether all of them can be shown. `/kiosk` is
 * what the agent says of the kiosk, and a POST to `/card/NUMBER` is a card at the reader.
 */
export async function run(): Promise<void> {
  enterDirectory();
  const screens = openScreens();
  const agent = new KioskAgent();
  const server = createServer(({ method = 'GET', url = '/' }, response) => {
    void answer(screens, agent, `${method} ${url}`).then(({ status, body }) =>
      response.writeHead(status, { 'content-type': 'application/json' }).end(`${JSON.stringify(body)}\n`),
    );
  });
  // What is there is of a run that did not end by itself.
  rmSync(SOCKET, { force: true });
  await new Promise<void>((resolve) => server.listen(SOCKET, resolve));
  // Whether every screen can be shown is the probe's question: a kiosk that shows its first one is of use.
  agent.begin(() => screens[0]?.fault ?? null);
  process.stdout.write(`kiosk-app ${version} shows ${screens.map(({ name }) => name).join(', ')}\n`);
  for (const signal of ['SIGTERM', 'SIGINT'])
    process.once(signal, () => {
      agent.end();
      server.close();
      server.closeAllConnections();
    });
}

async function answer(screens: readonly Screen[], agent: KioskAgent, asked: string): Promise<Answer> {
  const card = /^POST [/]card[/](\w{1,32})$/.exec(asked)?.[1];
  if (card !== undefined) return { status: 200, body: await agent.card(card) };
  if (asked === 'GET /health') return healthOf(screens);
  if (asked === 'GET /kiosk') return { status: 200, body: agent.seen() };
  return screenAt(screens, asked.replace(/^\w+ /, ''));
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
