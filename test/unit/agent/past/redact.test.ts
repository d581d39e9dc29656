import { createPrivateKey, generateKeyPairSync, randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { redact, REDACTED } from '@paddock/agent/past/redact.ts';

const pem = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  .privateKey.export({ type: 'pkcs8', format: 'pem' })
  .toString();
const jwkD = String(createPrivateKey(pem).export({ format: 'jwk' })['d']);
const jws = `${Buffer.from('{"alg":"ES256"}').toString('base64url')}.${randomBytes(40).toString('base64url')}.${randomBytes(64).toString('base64url')}`;

/** What must not be left, and the text that it stands in. */
const SECRETS: readonly (readonly [what: string, secret: string, text: string])[] = [
  ['a private key', pem.split('\n')[1] ?? '', `Error: bad key ${pem} in file`],
  ['a private key that was cut off', pem.split('\n')[1] ?? '', `Error: ${pem.slice(0, 110)}`],
  ['the private part of a JWK', jwkD, `{"kty":"EC","d":"${jwkD}"}`],
  ['a claim', jws, `the claim ${jws} was refused`],
  ['a bearer token', 'pdk_abc.123', 'authorization: Bearer pdk_abc.123'],
  ['basic credentials', 'dXNlcjpwdw==', 'sent Basic dXNlcjpwdw== to the proxy'],
  ['a password in a URL', 'hunter2', 'connect to mqtts://kiosk:hunter2@broker.example:8883 failed'],
  ['a password', 'hunter2', 'wifiPassword=hunter2 ssid=kiosk'],
  ['a password in JSON', 'hunter 2', '{"ssid":"kiosk","passphrase":"hunter 2"}'],
  ['the PIN of a token', '1234567', 'C_Login failed, pin: 1234567'],
  ['a cookie', 'abcdef', 'cookie: abcdef'],
  ['a key in hexadecimal', 'a0'.repeat(16), `derived ${'a0'.repeat(16)}`],
  ['a key in base64', randomBytes(48).toString('base64'), ''],
  ['the number of a card', '4111111111111111', 'card 4111111111111111 was read'],
  ['the number of a card with spaces', '4111 1111 1111 1111', 'card 4111 1111 1111 1111 was read'],
  ['the number of a card with hyphens', '5500-0055-5555-5559', 'card 5500-0055-5555-5559'],
];

describe('what leaves the kiosk', () => {
  it.each(SECRETS)('has not %s', (_what, secret, text) => {
    const left = redact(text === '' ? `blob ${secret} end` : text);
    expect(left).not.toContain(secret);
    expect(left).toContain(REDACTED);
  });

  it('has no secret, whatever stands around it', () => {
    const around = fc.string({ maxLength: 60, unit: fc.constantFrom(...Array.from('abcXYZ 09\n\t.,;:()[]{}"\'=/@')) });
    fc.assert(
      fc.property(around, around, fc.constantFrom(...SECRETS), (before, after, [, secret, text]) => {
        const said = text === '' ? ` ${secret} ` : text;
        expect(redact(`${before}\n${said}\n${after}`)).not.toContain(secret);
      }),
    );
  });

  it('still has what a crash is understood by', () => {
    const stack = [
      "TypeError: Cannot read properties of undefined (reading 'length')",
      '    at readAnswer (file:///opt/paddock/agent/src/report/answer-reader.ts:45:31)',
      '    at async Promise.all (index 12)',
      '    at TCP.onStreamRead (node:internal/stream_base_commons:216:20) {',
      "  errno: -104, code: 'ECONNRESET', syscall: 'read'",
      'boot c9a646d3-9c61-4cb7-bfcd-ee2522c8f633, start 12, uptime 4214507, 2026-11-28T18:36:28.000Z',
      '[   12.345678] Kernel panic - not syncing: Fatal exception in interrupt',
      '[   12.345679] CPU: 0 PID: 4123 Comm: node Not tainted 6.12.43+deb13-amd64 #1 Debian 6.12.43-1',
    ].join('\n');
    expect(redact(stack)).toBe(stack);
  });

  it('comes to an end, however a text is meant to slow it down', () => {
    const long = [
      'a'.repeat(60_000),
      '1 '.repeat(30_000),
      `${'pass'.repeat(15_000)}=`,
      `-----BEGIN ${'A'.repeat(60_000)}`,
    ];
    for (const text of [...long, 'x://'.repeat(15_000), 'eyJ'.repeat(20_000)])
      expect(redact(text).length).toBeLessThanOrEqual(text.length + REDACTED.length);
  });
});
