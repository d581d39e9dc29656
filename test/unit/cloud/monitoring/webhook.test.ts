import { createHmac, randomBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { importWebhookSecret, webhookHeaders } from '@paddock/cloud/monitoring/signature.ts';
import { COURIER_SETTINGS, outcomeOf } from '@paddock/cloud/monitoring/webhook.ts';
import { wallMs } from '@paddock/shared/time.ts';

const now = wallMs(1_614_265_330_500);

describe('a webhook signature', () => {
  test('is the one of the Standard Webhooks example', async () => {
    const key = await importWebhookSecret('whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw');
    const headers = await webhookHeaders(key, 'msg_p5jXN8AQM9LWM0D4loKWxJek', now, '{"test": 2432232314}');
    expect(headers).toEqual({
      'content-type': 'application/json',
      'webhook-id': 'msg_p5jXN8AQM9LWM0D4loKWxJek',
      'webhook-timestamp': '1614265330',
      'webhook-signature': 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=',
    });
  });

  test('covers id, time and body', async () => {
    const secret = randomBytes(32);
    const key = await importWebhookSecret(`whsec_${secret.toString('base64')}`);
    const { 'webhook-signature': signature } = await webhookHeaders(key, 'msg_1', now, '{}');
    const expected = createHmac('sha256', secret).update('msg_1.1614265330.{}').digest('base64');
    expect(signature).toBe(`v1,${expected}`);
  });

  test.each([
    ['no prefix', randomBytes(32).toString('base64')],
    ['not base64', 'whsec_!!!!'],
    ['too short', `whsec_${randomBytes(23).toString('base64')}`],
    ['too long', `whsec_${randomBytes(65).toString('base64')}`],
    ['nothing', ''],
  ])('takes no secret with %s', async (_, secret) => {
    await expect(importWebhookSecret(secret)).rejects.toMatchObject({ code: 'webhook_secret_invalid' });
  });
});

describe('after an attempt', () => {
  const outcome = (result: Parameters<typeof outcomeOf>[0], attempts = 1) =>
    outcomeOf(result, attempts, now, COURIER_SETTINGS);

  test('a delivered notice is done', () => {
    expect(outcome('delivered')).toEqual({ outcome: 'delivered' });
  });

  test('a failed one is tried again, later each time up to a bound', () => {
    const waits = Array.from({ length: 14 }, (_, n) => outcome({ status: 500 }, n + 1)).map((result) =>
      result.outcome === 'retry' ? result.at - now : null,
    );
    expect(waits.slice(0, 4)).toEqual([5_000, 10_000, 20_000, 40_000]);
    expect(waits.at(-1)).toBe(COURIER_SETTINGS.longestRetryMs);
  });

  test('it is given up in the end, or at once when the address is gone', () => {
    expect(outcome({ error: 'timeout' }, COURIER_SETTINGS.maxAttempts)).toEqual({
      outcome: 'given_up',
      error: 'timeout',
    });
    expect(outcome({ status: 410 })).toEqual({ outcome: 'given_up', error: 'answered 410' });
  });

  test('a redirect is a failure', () => {
    expect(outcome({ status: 302 }).outcome).toBe('retry');
  });
});
