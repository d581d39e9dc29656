/** What is wrong with a certificate request or with an authority that was given. Callers switch on codes. */
export const TRUST_ERRORS = {
  csr_malformed: 'The certificate request is not one of PKCS#10 in DER',
  csr_signature_invalid: 'The certificate request is not signed by the key that it names',
  csr_key_unsupported: 'The TLS key has to be P-256 or Ed25519',
  csr_key_is_identity: 'The TLS key has to be another one than the identity key',
  certificates_too_many: 'The device got as many certificates as it may have in a day',
  ca_unreadable: 'The authority’s key or certificate cannot be read',
  ca_mismatch: 'The authority’s key and certificate do not belong together',
  ca_unfit: 'The certificate is not one of an authority that may issue others now',
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
