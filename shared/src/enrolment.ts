import type { Static } from 'typebox';
import * as Type from 'typebox';
import { Sha256 } from './manifest.ts';
import { Count, DeviceId, Digest, Instant, Nonce, parserOf } from './message.ts';

/** The public part of a P-256 or Ed25519 key (RFC 7517); unknown members are kept. */
export const PublicJwk = Type.Object({
  kty: Type.Enum(['EC', 'OKP']),
  crv: Type.Enum(['P-256', 'Ed25519']),
  x: Type.String({ maxLength: 64 }),
  y: Type.Optional(Type.String({ maxLength: 64 })),
});

/** DER in base64url. */
const Der = Type.String({ pattern: '^[A-Za-z0-9_-]{16,8192}$' });
/** What a factory engraved; compared as it stands. */
export const SERIAL_NUMBER_PATTERN = '^[A-Za-z0-9][A-Za-z0-9 ._/-]{0,62}[A-Za-z0-9]$';
export const SerialNumber = Type.String({ pattern: SERIAL_NUMBER_PATTERN });

/**
 * What a device signs with its identity key to be let in, to get its next certificate, or to come back: the request
 * proves that it holds the key, and covers the certificate request of its TLS key.
 */
export const EnrolmentRequest = Type.Object({
  v: Type.Integer(),
  /** The identity key: its thumbprint begins with the header's `kid`. */
  jwk: PublicJwk,
  /** As the cloud gave it; good once, for minutes. */
  nonce: Nonce,
  /** The id that the device was given before, if it was. */
  device: Type.Optional(DeviceId),
  serialNumber: Type.Optional(SerialNumber),
  model: Type.Optional(Type.String({ minLength: 1, maxLength: 63 })),
  /** What an operator should see before letting it in. */
  facts: Type.Optional(
    Type.Record(Type.String({ pattern: '^[a-zA-Z0-9]{1,32}$' }), Type.String({ maxLength: 256 }), {
      maxProperties: 16,
    }),
  ),
  /** A certificate request (PKCS#10, RFC 2986) of the TLS key, which is never the identity key. */
  csr: Der,
  /** A claim from the factory: a JWT for one serial number. */
  claim: Type.Optional(Type.String({ pattern: '^[A-Za-z0-9_-]+\\.[A-Za-z0-9_-]+\\.[A-Za-z0-9_-]+$', maxLength: 8192 })),
  /** The device's key before this one says that this one is its next: an {@link Endorsement}, sealed by the old key. */
  endorsement: Type.Optional(Type.String({ maxLength: 8192 })),
});
export type EnrolmentRequest = Static<typeof EnrolmentRequest>;

/** What the old key of a device signs so that a new one takes its place, and it is revoked itself. */
export const Endorsement = Type.Object({
  v: Type.Integer(),
  device: DeviceId,
  /** RFC 7638 thumbprint of the new key. */
  thumbprint: Digest,
  /** That of the request which carries it: good once. */
  nonce: Nonce,
});
export type Endorsement = Static<typeof Endorsement>;

/** Seconds since 1970 (RFC 7519, NumericDate). */
const NumericDate = Type.Integer({ minimum: 0, maximum: 253_402_300_799 });

/**
 * What a factory gives one device with its serial number: a JWT (RFC 7519) sealed by a batch key. It lets the device
 * in once, and says where the cloud is and by what to know it, so that nothing is trusted on first use.
 */
export const Claim = Type.Object({
  v: Type.Integer(),
  /** The batch, whose key seals it. */
  iss: Type.String({ pattern: '^[a-z0-9][a-z0-9-]{0,62}$' }),
  /** The one serial number that it is for. */
  sub: SerialNumber,
  /** Good once. */
  jti: Type.String({ pattern: '^[A-Za-z0-9_-]{11,43}$' }),
  nbf: NumericDate,
  exp: NumericDate,
  model: Type.Optional(Type.String({ pattern: '^[a-z0-9][a-z0-9-]{0,62}$' })),
  /** Where to enrol. */
  url: Type.String({ pattern: '^https://[^/?#]+$', maxLength: 512 }),
  /** SHA-256 of the certificate (DER) of the authority that the cloud's servers have theirs from. */
  ca: Digest,
  /** The fleet root's public key: whose seal the list of keys carries. */
  root: PublicJwk,
});
export type Claim = Static<typeof Claim>;

/** A client certificate and when to ask for the next one. */
export const IssuedCertificate = Type.Object({
  /** The certificate first, its issuers behind it. */
  chain: Type.Array(Der, { minItems: 1, maxItems: 4 }),
  notBefore: Instant,
  notAfter: Instant,
  renewAfter: Instant,
});
export type IssuedCertificate = Static<typeof IssuedCertificate>;

/** What the cloud says to it, signed by its online key and bound to the nonce and the digest of the request. */
export const Enrolled = Type.Object({
  v: Type.Integer(),
  nonce: Nonce,
  digest: Digest,
  /**
   * accepted: it is `device`, and `certificate` is its own; pending: a human decides, ask again; rejected: a human said
   * no; retired: for good, stop asking.
   */
  status: Type.Enum(['accepted', 'pending', 'rejected', 'retired']),
  receivedAt: Instant,
  sentAt: Instant,
  /** The device must not act on it later. */
  expiresAt: Instant,
  device: Type.Optional(DeviceId),
  certificate: Type.Optional(IssuedCertificate),
  /** Where reports go: `mqtts://host:port`. */
  mqttUrl: Type.Optional(Type.String({ maxLength: 512 })),
  /** The newest list of keys, sealed by the fleet root. */
  keyList: Type.Optional(Type.String({ maxLength: 32_768 })),
  /** Ask again after so many seconds: pending and rejected. */
  retryAfterSeconds: Type.Optional(Type.Integer({ minimum: 1, maximum: 86_400 })),
});
export type Enrolled = Static<typeof Enrolled>;

/**
 * The cloud's online keys and certificate authorities, sealed by the fleet root. Versions are walked one by one, each
 * verified with the root that the one before names, so that a device that slept for a year follows, and a stolen online
 * key cannot renew itself.
 */
export const KeyList = Type.Object({
  v: Type.Integer(),
  version: Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER }),
  issuedAt: Instant,
  /** Whose seal the next version carries. */
  root: PublicJwk,
  /** Keys that answers may be signed with. */
  keys: Type.Array(PublicJwk, { minItems: 1, maxItems: 16 }),
  /** Certificates of authorities, DER in base64url: servers that devices believe are issued by them. */
  authorities: Type.Array(Der, { minItems: 1, maxItems: 8 }),
  /** Grows after a restore from backup; versions of desired state are compared within it. */
  epoch: Count,
  /**
   * The root metadata (TUF) that a device without any begins with: pinned once, and followed by TUF's own rules from
   * there. A later list cannot replace what a device has pinned.
   */
  firmwareRoot: Type.Optional(Type.Object({ version: Type.Integer({ minimum: 1 }), sha256: Sha256 })),
});
export type KeyList = Static<typeof KeyList>;

/** @throws Refusal `version_unsupported` or `payload_invalid` */
export const parseEnrolmentRequest = parserOf(EnrolmentRequest);
/** @throws Refusal `version_unsupported` or `payload_invalid` */
export const parseEndorsement = parserOf(Endorsement);
/** @throws Refusal `version_unsupported` or `payload_invalid` */
export const parseClaim = parserOf(Claim);
/** @throws Refusal `version_unsupported` or `payload_invalid` */
export const parseEnrolled = parserOf(Enrolled);
/** @throws Refusal `version_unsupported` or `payload_invalid` */
export const parseKeyList = parserOf(KeyList);
