/** What is wrong with a certificate request or with an authority that was given. Callers switch on codes. */
export const TRUST_ERRORS = {
  csr_malformed: 'The certificate request is not one of PKCS#10 in DER',
  csr_signature_invalid: 'The certificate request is not signed by the key that it names',
  csr_key_unsupported: 'The TLS key has to be P-256 or Ed25519',
  csr_key_is_identity: 'The TLS key is an identity key: it has to be one of its own',
  csr_key_revoked: 'The TLS key was taken back with its certificate: a new one is needed',
  certificates_too_many: 'The device got as many certificates as it may have in a day',
  ca_unreadable: 'The authority’s key or certificate cannot be read',
  ca_mismatch: 'The authority’s key and certificate do not belong together',
  ca_unfit: 'The certificate is not one of an authority that may issue others now',
  ca_withdrawn: 'The lists of keys tell devices to believe none of the authorities that are here any more',
  server_certificate_unreadable: 'The server certificate or its key cannot be read',
  server_certificate_mismatch: 'The server certificate and its key do not belong together',
  server_certificate_unfit: 'The server certificate, or an authority above it, is not one that devices take',
  server_certificate_hosts: 'The server certificate lacks names of PADDOCK_PUBLIC_HOSTS',
  server_certificate_dates: 'The server certificate, or an authority above it, is not valid now',
  server_certificate_untrusted:
    'No authority of the newest list of keys, and none that PADDOCK_SERVER_CA names, issued the server certificate',
  server_certificate_unlisted: 'The authority of the server certificate is not on the newest list of keys yet',
  ca_key_unsupported: 'The authority’s key has to be P-256, P-384 or RSA with at least 2048 bits',
} as const satisfies Record<string, string>;

export type TrustErrorCode = keyof typeof TRUST_ERRORS;

export class TrustError extends Error {
  override readonly name = 'TrustError';
  readonly code: TrustErrorCode;

  constructor(code: TrustErrorCode, detail?: string, options?: ErrorOptions) {
    super(detail === undefined ? TRUST_ERRORS[code] : `${TRUST_ERRORS[code]}: ${detail}`, options);
    this.code = code;
  }
}
