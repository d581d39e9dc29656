import type { WallMs } from '@paddock/shared/time.ts';

/**
 * Webhooks are signed in the Standard Webhooks form (standardwebhooks.com): HMAC-SHA256 over
 * `id.timestamp.body`, the secret written as `whsec_` and base64.
 */
const PREFIX = 'whsec_';
/** The form asks for 24 to 64 bytes. */
const SECRET_BYTES = { least: 24, most: 64 };

export interface WebhookKey {
  sign(bytes: Uint8Array<ArrayBuffer>): Promise<ArrayBuffer>;
}

export class WebhookSecretError extends Error {
  override readonly name = 'WebhookSecretError';
  readonly code = 'webhook_secret_invalid';
}

/** @throws WebhookSecretError `webhook_secret_invalid` */
export async function importWebhookSecret(secret: string): Promise<WebhookKey> {
  const bytes = decodeSecret(secret);
  const hmac = await crypto.subtle.importKey('raw', bytes, { name: 'HMAC', hash: 'SHA-256' }, false, ['sign']);
  return { sign: (signed) => crypto.subtle.sign('HMAC', hmac, signed) };
}

/** The headers of one delivery; `webhook-id` stays the same when it is tried again. */
export async function webhookHeaders(
  key: WebhookKey,
  id: string,
  now: WallMs,
  body: string,
): Promise<Record<string, string>> {
  const seconds = Math.floor(now / 1000).toString();
  const signed = new TextEncoder().encode(`${id}.${seconds}.${body}`);
  const signature = Buffer.from(await key.sign(signed)).toString('base64');
  return {
    'content-type': 'application/json',
    'webhook-id': id,
    'webhook-timestamp': seconds,
    'webhook-signature': `v1,${signature}`,
  };
}

function decodeSecret(secret: string): Uint8Array<ArrayBuffer> {
  const encoded = secret.slice(PREFIX.length);
  const bytes = new Uint8Array(Buffer.from(encoded, 'base64'));
  const isBase64 = Buffer.from(bytes).toString('base64').replace(/=+$/, '') === encoded.replace(/=+$/, '');
  const fits = bytes.length >= SECRET_BYTES.least && bytes.length <= SECRET_BYTES.most;
  if (!secret.startsWith(PREFIX) || !isBase64 || !fits)
    throw new WebhookSecretError('The webhook secret must be "whsec_" and 24 to 64 bytes in base64');
  return bytes;
}
