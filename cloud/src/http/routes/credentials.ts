import Type from 'typebox';
import {
  certificatesOf,
  identityKeysOf,
  revokeAllCertificates,
  revokeIdentityKey,
} from '../../enrolment/credentials.ts';
import type { Store } from '../../ports.ts';
import { principalOf } from '../auth.ts';
import type { Routes } from '../routes.ts';
import { Count, DeviceId, DeviceParams, Input, Instant, Name, Nullable, refusals } from '../schemas.ts';

const tags = ['trust'];
const Thumbprint = Type.String({
  pattern: '^[A-Za-z0-9_-]{43}$',
  description: "RFC 7638 thumbprint of the device's key (SHA-256, base64url)",
});
const Why = Input({ reason: Name });
const Revoked = Type.Object({ deviceId: DeviceId, revokedCertificates: Count });

const Certificate = Type.Object({
  serial: Type.String({ description: 'In hexadecimal' }),
  authority: Nullable(
    Type.String({
      description: 'Who issued it: the beginning of the SHA-256 of its certificate, in hexadecimal, or `aws-iot`',
    }),
  ),
  keyThumbprint: Type.String({ description: 'The identity key that asked for it' }),
  issuedAt: Instant,
  notBefore: Instant,
  notAfter: Instant,
  revokedAt: Nullable(Instant),
  reason: Nullable(Type.String()),
});

const IdentityKey = Type.Object({
  thumbprint: Thumbprint,
  addedAt: Instant,
  revokedAt: Nullable(Instant),
  reason: Nullable(Type.String()),
});

const LIST_CERTIFICATES = {
  schema: {
    tags,
    operationId: 'listCertificates',
    summary: 'Client certificates that a device got, newest first, with those that were taken back',
    params: DeviceParams,
    response: { 200: Type.Object({ items: Type.Array(Certificate) }), ...refusals },
  },
} as const;

const REVOKE_CERTIFICATES = {
  schema: {
    tags,
    operationId: 'revokeCertificates',
    summary: 'Take back every certificate of a device: its connections are closed, its key gets it another one',
    params: DeviceParams,
    body: Why,
    response: { 200: Revoked, ...refusals },
  },
} as const;

const LIST_KEYS = {
  schema: {
    tags,
    operationId: 'listDeviceKeys',
    summary: 'Identity keys that a device ever had, oldest first',
    params: DeviceParams,
    response: { 200: Type.Object({ items: Type.Array(IdentityKey) }), ...refusals },
  },
} as const;

const REVOKE_KEY = {
  schema: {
    tags,
    operationId: 'revokeDeviceKey',
    summary: 'Take back an identity key and its certificates: nothing that it signs is believed any more',
    params: Type.Object({ deviceId: DeviceId, thumbprint: Thumbprint }),
    body: Why,
    response: { 200: Revoked, ...refusals },
  },
} as const;

/** What a device proves itself with, and taking it back. */
export const credentialRoutes =
  ({ store }: { readonly store: Store }): Routes =>
  async (app) => {
    app.get('/devices/:deviceId/certificates', LIST_CERTIFICATES, async (request) => ({
      items: await certificatesOf(store, principalOf(request).scope, request.params.deviceId),
    }));

    app.post('/devices/:deviceId/certificates/revoke', REVOKE_CERTIFICATES, async (request) => {
      const { scope, actor } = principalOf(request);
      const revocation = { deviceId: request.params.deviceId, reason: request.body.reason };
      const revokedCertificates = await store.transaction((sql) =>
        revokeAllCertificates(sql, scope, actor, revocation),
      );
      return { deviceId: revocation.deviceId, revokedCertificates };
    });

    app.get('/devices/:deviceId/keys', LIST_KEYS, async (request) => ({
      items: await identityKeysOf(store, principalOf(request).scope, request.params.deviceId),
    }));

    app.post('/devices/:deviceId/keys/:thumbprint/revoke', REVOKE_KEY, async (request) => {
      const { scope, actor } = principalOf(request);
      const revocation = { ...request.params, reason: request.body.reason };
      const revokedCertificates = await store.transaction((sql) => revokeIdentityKey(sql, scope, actor, revocation));
      return { deviceId: revocation.deviceId, revokedCertificates };
    });
  };
