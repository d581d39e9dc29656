import { describe, expect, test } from 'vitest';
import { mosquittoAcl, mosquittoPassword, mosquittoSettings } from '@paddock/cloud/brokers/mosquitto.ts';
import { MESSAGE_KINDS } from '@paddock/shared/topics.ts';

const settings = mosquittoSettings({ address: '10.0.0.5', port: 1884, directory: '/etc/mosquitto/paddock' });

describe('the settings of Mosquitto', () => {
  test('have a reason above each line', () => {
    const lines = settings.split('\n');
    const bare = lines.filter((line, at) => /^\w/.test(line) && !lines[at - 1]?.startsWith('# '));
    expect(bare).toEqual([]);
    expect(lines.filter((line) => line.length > 120)).toEqual([]);
  });

  test('name the place that was asked for', () => {
    expect(settings).toContain('\nlistener 1884 10.0.0.5\n');
    expect(settings).toContain('\nacl_file /etc/mosquitto/paddock/mosquitto.acl\n');
    expect(settings).toContain('\npassword_file /etc/mosquitto/paddock/mosquitto.passwd\n');
  });

  test('warn of what has no protection yet', () => {
    expect(settings).toContain('WARNING: no TLS');
    expect(settings).toContain('allow_anonymous true');
  });
});

test('the list of access has each kind of message once for devices and once for the service', () => {
  const rules = mosquittoAcl().split('\n');
  for (const [kind, { from }] of Object.entries(MESSAGE_KINDS)) {
    const [device, cloud] = from === 'device' ? ['write', 'read'] : ['read', 'write'];
    expect(rules.filter((rule) => rule.endsWith(`/${kind}`))).toEqual([
      `pattern ${device} paddock/v1/%c/${kind}`,
      `topic ${cloud} paddock/v1/+/${kind}`,
    ]);
  }
});

test('a password is never in its own line', () => {
  const line = mosquittoPassword('open sesame', Buffer.from('twelve bytes'));
  expect(line).toMatch(/^paddock-cloud:\$7\$101\$[A-Za-z0-9+/]{16}\$[A-Za-z0-9+/]{86}==\n$/);
  expect(line).not.toContain('sesame');
  expect(line).not.toEqual(mosquittoPassword('open sesame', Buffer.from('other bytes.')));
});
