import { ConfigError, readConfig } from '@paddock/agent/config.ts';
import { describe, expect, it } from 'vitest';

const FILE = '/etc/paddock/agent.yaml';
const HEAD = 'device: kiosk-0001\ncloud: { url: mqtt://127.0.0.1:1883 }\n';

function mistakes(firmware: string): string[] {
  try {
    readConfig(`${HEAD}firmware: ${firmware}\n`, FILE);
    return [];
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return error.problems.map(({ line, path, code, message }) => `${line} ${path.join('.')} ${code}: ${message}`);
  }
}

describe('firmware in agent.yaml', () => {
  it('is absent where nothing is installed, and where nothing stands under it', () => {
    expect(readConfig(HEAD, FILE).firmware).toBeUndefined();
    expect(readConfig(`${HEAD}firmware:\n`, FILE).firmware).toBeUndefined();
  });

  it('has its paths beside the configuration file, wherever the agent is started', () => {
    const { firmware } = readConfig(
      `${HEAD}firmware: { slots: ../slots, root: root.json, appDir: ./data, model: demo-cp22 }\n`,
      FILE,
    );
    expect(firmware).toEqual({
      slots: '/etc/slots',
      root: '/etc/paddock/root.json',
      appDir: '/etc/paddock/data',
      model: 'demo-cp22',
    });
  });

  it('takes absolute paths as they are, and makes up none', () => {
    const { firmware } = readConfig(`${HEAD}firmware: { slots: /var/lib/paddock/slots }\n`, FILE);
    expect(firmware).toEqual({ slots: '/var/lib/paddock/slots' });
  });

  it('names RAUC in place of slots, with the command that starts the machine again', () => {
    const { firmware } = readConfig(
      `${HEAD}firmware: { rauc: { directory: bundles, reboot: [systemctl, reboot] } }\n`,
      FILE,
    );
    expect(firmware).toEqual({
      rauc: { directory: '/etc/paddock/bundles', reboot: ['systemctl', 'reboot'], program: ['rauc'] },
    });
  });

  it.each([
    ['{ rauc: { directory: d } }', '3 firmware.rauc.reboot config_invalid: is missing'],
    ['{ rauc: { directory: d, reboot: [] } }', '3 firmware.rauc.reboot config_invalid'],
    ['{ rauc: { directory: d, reboot: reboot } }', '3 firmware.rauc.reboot config_invalid: must be array'],
    ['{ rauc: { reboot: [reboot] } }', '3 firmware.rauc.directory config_invalid: is missing'],
    ['{ slots: s, rauc: { directory: d, reboot: [r] } }', '3 firmware.rauc config_invalid: cannot stand beside'],
    ['{}', '3 firmware.slots config_invalid: is missing'],
    ['{ slots: "" }', '3 firmware.slots config_invalid: must not have fewer than 1 characters'],
    ['{ slots: 7 }', '3 firmware.slots config_invalid: must be string'],
    ['{ slots: [a, b] }', '3 firmware.slots config_invalid: must be string'],
    ['/var/lib/paddock/slots', '3 firmware config_invalid: must be object'],
    ['{ slots: s, root: "" }', '3 firmware.root config_invalid: must not have fewer than 1 characters'],
    ['{ slots: s, appDir: false }', '3 firmware.appDir config_invalid: must be string'],
    ['{ slots: s, model: Demo CP22 }', '3 firmware.model config_invalid: must be a model as bundles name it'],
    ['{ slots: s, model: -x }', '3 firmware.model config_invalid: must be a model as bundles name it'],
    ['{ slots: s, appdir: d }', '3 firmware.appdir config_unknown_key: is not a known key (did you mean appDir?)'],
    ['{ slots: s, repository: "https://x/" }', '3 firmware.repository config_unknown_key: is not a known key'],
  ])('names key and line of %s', (firmware, expected) => {
    expect(mistakes(firmware)[0]).toContain(expected);
  });
});
