import { ConfigError, readConfig } from '@paddock/agent/config.ts';
import { expect, it } from 'vitest';

const HEAD = 'device: kiosk-0001\ncloud: { url: mqtt://127.0.0.1:1883 }\n';
const KEY = `key:
  pkcs11:
    module: /usr/lib/softhsm/libsofthsm2.so
    token: kiosk
    label: identity
    pinFile: token.pin
`;

/** The mistakes that one change makes, as `line key: message`. */
function mistakes(from: string, to: string): string[] {
  expect(KEY).toContain(from);
  try {
    readConfig(HEAD + KEY.replace(from, to), '/etc/paddock/agent.yaml');
    return [];
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return error.problems.map(({ line, path, message }) => `${line} ${path.join('.')} ${message}`);
  }
}

it('takes a key on a token, with the PIN file beside the state', () => {
  const { key } = readConfig(HEAD + KEY, '/etc/paddock/agent.yaml');
  expect(key).toEqual({
    pkcs11: {
      module: '/usr/lib/softhsm/libsofthsm2.so',
      token: 'kiosk',
      label: 'identity',
      pinFile: '/etc/paddock/state/token.pin',
      kind: 'P-256',
    },
  });
});

it.each([
  ['    token: kiosk', '    slot: 3'],
  ['    label: identity', '    id: "0a1B"'],
  ['label: identity', 'label: identity\n    kind: Ed25519'],
])('takes %s as %s', (from, to) => {
  expect(mistakes(from, to)).toEqual([]);
});

it.each([
  ['key:', 'key:\n  file: identity.key.pem', '3 key must hold either file or pkcs11'],
  ['    token: kiosk\n', '', '4 key.pkcs11 must hold either token or slot'],
  ['token: kiosk', 'token: kiosk\n    slot: 3', '4 key.pkcs11 must hold either token or slot'],
  ['    label: identity\n', '', '4 key.pkcs11 must hold either label or id'],
  ['label: identity', 'label: identity\n    id: "01"', '4 key.pkcs11 must hold either label or id'],
  ['label: identity', 'id: 01', '7 key.pkcs11.id must be the id of a key, in hex and in quotes'],
  ['label: identity', 'id: "012"', '7 key.pkcs11.id must be the id of a key, in hex and in quotes'],
  ['/usr/lib', 'lib', '5 key.pkcs11.module must be the absolute path of a PKCS#11 library'],
  ['    pinFile: token.pin\n', '', '4 key.pkcs11.pinFile is missing'],
  ['pinFile:', 'pinfile:', '8 key.pkcs11.pinfile is not a known key (did you mean pinFile?)'],
  ['pinFile', 'pin: "1234"\n    pinFile', '8 key.pkcs11.pin is not a known key (known here: module, token'],
  ['label: identity', 'label: identity\n    kind: RSA', '8 key.pkcs11.kind must be one of P-256, Ed25519'],
])('names the line of a mistake: %j -> %j', (from, to, expected) => {
  expect(mistakes(from, to)).toContainEqual(expect.stringContaining(expected));
});
