import type { Sql } from '../ports.ts';
import type { Issued } from '../trust/authority.ts';

export interface TransportRequest {
  /** PKCS#10 in DER. */
  readonly csr: Uint8Array;
  readonly deviceId: string;
  readonly identityThumbprint: string;
}

/** Where devices connect to, and who issues their certificates, when that is not this service itself. */
export interface Transport {
  /**
   * Whether it would issue one, by the request and what is known of the device.
   * @returns the thumbprint of the TLS key @throws TrustError
   */
  check(sql: Sql, request: TransportRequest): Promise<string>;
  /**
   * For a device that is registered by now. Asked again with the same key it gives the same certificate.
   * @throws an error with a `code`: the device asks again
   */
  certificateFor(request: TransportRequest): Promise<Issued & { readonly mqttUrl: string }>;
}
