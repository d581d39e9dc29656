import { describe, expect, test } from 'vitest';
import {
  isInstanceName,
  mosquittoAcl,
  mosquittoPassword,
  mosquittoSettings,
} from '@paddock/cloud/brokers/mosquitto.ts';
import { isDeviceId, MESSAGE_KINDS } from '@paddock/shared/topics.ts';

const settings = mosquittoSettings({ address: '10.0.0.5', port: 1884, directory: '/etc/mosquitto/paddock' });

const tlsSettings = mosquittoSettings({ address: '10.0.0.5', port: 8883, directory: '/etc/paddock', tls: true });

describe('the settings of Mosquitto', () => {
  test.each([
    ['plain', settings],
    ['with TLS', tlsSettings],
  ])('have a reason above each line: %s', (_what, text) => {
    const lines = text.split('\n');
    const bare = lines.filter((line, at) => /^\w/.test(line) && !lines[at - 1]?.startsWith('# '));
    expect(bare).toEqual([]);
    expect(lines.filter((line) => line.length > 120)).toEqual([]);
  });

  test('name the place that was asked for', () => {
    expect(settings).toContain('\nlistener 1884 10.0.0.5\n');
    expect(settings).toContain('\nacl_file /etc/mosquitto/paddock/mosquitto.acl\n');
    expect(settings).toContain('\npassword_file /etc/mosquitto/paddock/mosquitto.passwd\n');
  });

  test('let nobody in without a certificate, and nobody call itself otherwise', () => {
    for (const line of [
      'listener 8883 10.0.0.5',
      'require_certificate true',
      'allow_anonymous false',
      'use_identity_as_username true',
      'use_username_as_clientid true',
      'tls_version tlsv1.2',
      'cafile /etc/paddock/ca.cert.pem',
      'crlfile /etc/paddock/revoked.crl.pem',
    ])
      expect(tlsSettings.split('\n')).toContain(line);
    expect(tlsSettings).not.toContain('password_file');
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

test('with TLS a device is its certificate’s name, and each connection of the service has one that no device can have', () => {
  const rules = mosquittoAcl({ instances: 2, connections: 2 }).split('\n');
  expect(rules).toContain('pattern write paddock/v1/%u/report');
  expect(rules.filter((rule) => rule.includes('%c'))).toEqual([]);
  const users = rules.flatMap((rule) => (rule.startsWith('user ') ? [rule.slice(5)] : []));
  expect(users).toEqual(['paddock.cloud-1', 'paddock.cloud-1.2', 'paddock.cloud-2', 'paddock.cloud-2.2']);
  expect(users.filter((user) => isDeviceId(user) || !isInstanceName(user))).toEqual([]);
});

test('a password is never in its own line', () => {
  const line = mosquittoPassword('open sesame', Buffer.from('twelve bytes'));
  expect(line).toMatch(/^paddock-cloud:\$7\$101\$[A-Za-z0-9+/]{16}\$[A-Za-z0-9+/]{86}==\n$/);
  expect(line).not.toContain('sesame');
  expect(line).not.toEqual(mosquittoPassword('open sesame', Buffer.from('other bytes.')));
});
