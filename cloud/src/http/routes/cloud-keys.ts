import type { KeySet } from '@paddock/shared/keys.ts';
import type { Routes } from '../routes.ts';
import { Jwks, refusals } from '../schemas.ts';

const GET_CLOUD_KEYS = {
  schema: {
    tags: ['devices'],
    operationId: 'getCloudKeys',
    summary: "The cloud's public keys as a JWK Set (RFC 7517)",
    response: { 200: Jwks, ...refusals },
  },
} as const;

/** The keys that the cloud signs with, for devices to pin. */
export const cloudKeyRoutes =
  ({ cloudKeys }: { cloudKeys: () => KeySet }): Routes =>
  async (app) => {
    app.get('/cloud-keys', GET_CLOUD_KEYS, async () => ({ keys: [...cloudKeys().keys] }));
  };
