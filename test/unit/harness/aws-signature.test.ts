import { describe, expect, it } from 'vitest';
import { signatureFault, type SignedRequest } from '../../harness/aws/signature.ts';

// The example "get-vanilla" of the test suite that AWS published for Signature Version 4.
const TERMS = {
  accessKeyId: 'AKIDEXAMPLE',
  secretAccessKey: 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY',
  region: 'us-east-1',
  service: 'service',
  now: Date.UTC(2015, 7, 30, 12, 36, 0),
} as const;
const SIGNATURE = '5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31';
const EXAMPLE: SignedRequest = {
  method: 'GET',
  target: '/',
  headers: {
    host: 'example.amazonaws.com',
    'x-amz-date': '20150830T123600Z',
    authorization: `AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=host;x-amz-date, Signature=${SIGNATURE}`,
  },
  body: new Uint8Array(),
};

describe('the check of AWS signatures', () => {
  it('takes the published example', () => {
    expect(signatureFault(EXAMPLE, TERMS)).toBeNull();
  });

  it.each([
    ['another method', { ...EXAMPLE, method: 'PUT' }],
    ['another path', { ...EXAMPLE, target: '/x' }],
    ['another query', { ...EXAMPLE, target: '/?x=1' }],
    ['another body', { ...EXAMPLE, body: Buffer.from('x') }],
    ['another host', { ...EXAMPLE, headers: { ...EXAMPLE.headers, host: 'example.com' } }],
  ])('refuses %s', (_, request) => {
    expect(signatureFault(request, TERMS)).toBe('SignatureDoesNotMatch');
  });

  it('refuses another secret, another region, an old request, and none', () => {
    expect(signatureFault(EXAMPLE, { ...TERMS, secretAccessKey: 'x' })).toBe('SignatureDoesNotMatch');
    expect(signatureFault(EXAMPLE, { ...TERMS, region: 'eu-west-1' })).toBe('ScopeMismatch');
    expect(signatureFault(EXAMPLE, { ...TERMS, now: TERMS.now + 600_000 })).toBe('RequestExpired');
    expect(signatureFault({ ...EXAMPLE, headers: {} }, TERMS)).toBe('IncompleteSignature');
  });
});
