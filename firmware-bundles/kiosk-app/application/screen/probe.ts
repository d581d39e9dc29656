import { request } from 'node:http';
import { enterDirectory, fail, SOCKET, version } from './place.ts';

interface Health {
  readonly version: string;
  readonly faults: readonly string[];
}

/** Ends with 0 when the application of this release runs and can show all of its screens, else with 1 and the reason. */
export async function probe(): Promise<void> {
  enterDirectory();
  const health = await askHealth();
  // The application of the other slot may not have ended yet.
  if (health.version !== version) fail(`${health.version} runs, and not ${version}`);
  if (health.faults.length > 0) fail(health.faults.join('; '));
  process.stdout.write(`kiosk-app ${version} is well\n`);
}

async function askHealth(): Promise<Health> {
  try {
    return JSON.parse(await ask('/health')) as Health;
  } catch (error) {
    return fail(`no answer: ${error instanceof Error ? error.message : String(error)}`);
  }
}

const ask = (path: string): Promise<string> =>
  new Promise((resolve, reject) => {
    const asked = request({ socketPath: SOCKET, path }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (piece: string) => (text += piece));
      response.on('error', reject);
      response.on('end', () => resolve(text));
    });
    asked.on('error', reject);
    asked.end();
  });
