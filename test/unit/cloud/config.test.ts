import { describe, expect, test } from 'vitest';
import { ConfigError, readConfig } from '@paddock/cloud/config.ts';
import { SETTINGS } from '@paddock/cloud/settings.ts';
import { readClientConfig } from '@paddock/cloud/config-client.ts';

function problemsOf(read: () => unknown): readonly string[] {
  try {
    read();
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
  }
  throw new Error('It was taken');
}

describe('the configuration of the cloud', () => {
  test('listens on loopback and needs nothing', () => {
    expect(readConfig({})).toMatchObject({
      dataDir: '.paddock',
      httpHost: '127.0.0.1',
      httpPort: 8080,
      mqttHost: '127.0.0.1',
      mqttPort: 1883,
    });
  });

  test('comes from the environment, and flags win', () => {
    const env = {
      PADDOCK_HTTP_PORT: '9000',
      PADDOCK_MQTT_PORT: '0',
      PADDOCK_BROKER_URL: 'mqtts://broker:8883',
      DATABASE_URL: '',
    };
    expect(readConfig(env, { httpPort: '9001' })).toMatchObject({
      httpPort: 9001,
      mqttPort: 0,
      brokerUrl: 'mqtts://broker:8883',
      databaseUrl: null,
    });
  });

  test.each([
    [{ PADDOCK_HTTP_PORT: '65536' }, 'PADDOCK_HTTP_PORT has to be a whole number from 0 to 65535'],
    [{ PADDOCK_MQTT_PORT: '1e3' }, 'PADDOCK_MQTT_PORT has to be a whole number from 0 to 65535'],
    [{ PADDOCK_RETENTION_DAYS: '-1' }, 'PADDOCK_RETENTION_DAYS has to be a whole number from 0 to 36500'],
    [{ DATABASE_URL: 'mysql://x' }, 'DATABASE_URL has to be a URL with postgres://, postgresql://'],
    [{ PADDOCK_BROKER_URL: 'broker' }, 'PADDOCK_BROKER_URL has to be a URL with mqtt://, mqtts://, ws://, wss://'],
    [{ PADDOCK_SHARE_GROUP: 'a/b' }, 'PADDOCK_SHARE_GROUP has to be 1 to 64 letters, digits, dots, - or _'],
    [
      { PADDOCK_LOG_LEVEL: 'loud' },
      'PADDOCK_LOG_LEVEL has to be one of trace, debug, info, warn, error, fatal, silent',
    ],
    [
      { PADDOCK_PUBLIC_HOSTS: 'a.example,,b' },
      'PADDOCK_PUBLIC_HOSTS has to be host names and addresses, with commas between',
    ],
    [{ PADDOCK_CA_KEY: 'ca.key' }, 'PADDOCK_CA_CERT and PADDOCK_CA_KEY belong together'],
    [
      { PADDOCK_BROKER_URL: 'mqtts://broker', PADDOCK_BROKER_KEY: 'k' },
      'PADDOCK_BROKER_CERT and PADDOCK_BROKER_KEY belong together',
    ],
    [
      { PADDOCK_BROKER_URL: 'mqtt://localhost', PADDOCK_BROKER_CERT: 'c', PADDOCK_BROKER_KEY: 'k' },
      'PADDOCK_BROKER_CERT needs a PADDOCK_BROKER_URL with mqtts:// or wss://',
    ],
    [
      {
        PADDOCK_BROKER_URL: 'mqtts://broker',
        PADDOCK_BROKER_CERT: 'one,two',
        PADDOCK_BROKER_KEY: 'one,two',
        PADDOCK_BROKER_CONNECTIONS: '3',
      },
      'PADDOCK_BROKER_CERT has to name one certificate, or one for each of PADDOCK_BROKER_CONNECTIONS',
    ],
    [
      { PADDOCK_BROKER_RELOAD: 'true' },
      'PADDOCK_BROKER_RELOAD needs PADDOCK_BROKER_CRL: the list that the broker reads anew',
    ],
    [{ PADDOCK_WEBHOOK_SECRET: 'short' }, 'PADDOCK_WEBHOOK_SECRET has to be "whsec_" and 24 to 64 bytes in base64'],
  ])('names the variable: %o', (env, problem) => {
    expect(problemsOf(() => readConfig(env))).toEqual([problem]);
  });

  test.each(['proxy', '10.0.0.0/0', '10.0.0.0/33', '::/129', '10.0.0.1,,', '10.0.0.0/8/8'])(
    'takes no proxies like %s',
    (proxies) => {
      expect(problemsOf(() => readConfig({ PADDOCK_TRUSTED_PROXIES: proxies }))).toEqual([
        'PADDOCK_TRUSTED_PROXIES has to be addresses or networks (10.0.0.0/24), with commas between, and not everybody',
      ]);
    },
  );

  test('proxies are addresses and networks', () => {
    const { trustedProxies } = readConfig({ PADDOCK_TRUSTED_PROXIES: '127.0.0.1, 10.0.0.0/8,::1, 2001:db8::/128' });
    expect(trustedProxies).toEqual(['127.0.0.1', '10.0.0.0/8', '::1', '2001:db8::/128']);
  });

  test.each(['0.0.0.0', '::', '10.0.0.5', 'broker.example', '127.0.0.1.example'])(
    'takes MQTT without TLS on %s only when it is told to',
    (mqttHost) => {
      const env = { PADDOCK_MQTT_HOST: mqttHost, PADDOCK_MQTT_PLAIN: 'loopback' };
      expect(problemsOf(() => readConfig(env))[0]).toContain('PADDOCK_MQTT_PLAIN=yes');
      for (const more of [
        { PADDOCK_MQTT_PLAIN: 'yes' },
        { PADDOCK_MQTT_PLAIN: 'no' },
        { PADDOCK_BROKER_URL: 'mqtts://b' },
      ])
        expect(readConfig({ ...env, ...more }).mqttHost).toBe(mqttHost);
    },
  );

  test.each(['127.0.0.1', '127.8.8.8', '::1', 'localhost'])('takes MQTT without TLS on %s', (mqttHost) => {
    const env = { PADDOCK_MQTT_HOST: mqttHost, PADDOCK_MQTT_PLAIN: 'loopback' };
    expect(readConfig(env).mqttPlain).toBe('loopback');
  });

  test('takes no MQTT without TLS unless it is told to', () => {
    expect(readConfig({}).mqttPlain).toBe('no');
  });

  test.each(['mqtt://broker', 'ws://broker', 'wss://broker', 'mqtt://127.0.0.1.example'])(
    'takes another broker at %s only when it knows where devices that enrol report to, or that none shall',
    (url) => {
      const env = { PADDOCK_BROKER_URL: url };
      expect(problemsOf(() => readConfig(env))).toEqual([expect.stringContaining('PADDOCK_MQTT_PUBLIC_URL')]);
      for (const more of [{ PADDOCK_MQTT_PUBLIC_URL: 'mqtts://broker:8883' }, { PADDOCK_MQTT_PLAIN: 'yes' }])
        expect(readConfig({ ...env, ...more }).brokerUrl).toBe(url);
    },
  );

  test.each(['mqtt://127.0.0.1:1884', 'mqtt://[::1]:1884', 'ws://localhost'])('takes a broker at %s', (url) => {
    expect(readConfig({ PADDOCK_BROKER_URL: url }).brokerUrl).toBe(url);
  });

  test('takes no address for devices that has no TLS: they would not', () => {
    for (const url of ['mqtt://public', 'wss://public'])
      expect(problemsOf(() => readConfig({ PADDOCK_MQTT_PUBLIC_URL: url }))).toEqual([
        expect.stringContaining('PADDOCK_MQTT_PUBLIC_URL has to be a URL with mqtts://'),
      ]);
  });

  test('tells every problem at once, and names the flag where one was given', () => {
    const problems = problemsOf(() => readConfig({ PADDOCK_HTTP_PORT: 'x' }, { mqttPort: 'y' }));
    expect(problems).toHaveLength(2);
    expect(problems[1]).toContain('--mqtt-port');
  });

  test('takes no webhook that nobody could verify', () => {
    const problems = problemsOf(() => readConfig({ PADDOCK_WEBHOOK_URL: 'https://example.org/hook' }));
    expect(problems).toEqual([expect.stringContaining('PADDOCK_WEBHOOK_SECRET')]);
  });

  test('takes no webhook address with a password in it, and does not say it', () => {
    const env = {
      PADDOCK_WEBHOOK_URL: 'https://user:hunter2@example.org/hook',
      PADDOCK_WEBHOOK_SECRET: `whsec_${'x'.repeat(32)}`,
    };
    const problems = problemsOf(() => readConfig(env));
    expect(problems).toEqual([expect.stringContaining('PADDOCK_WEBHOOK_URL must not hold a user or a password')]);
    expect(problems.join()).not.toContain('hunter2');
  });

  test('has no flag for a secret', () => {
    for (const name of ['webhookSecret', 'databaseUrl', 'brokerUrl'] as const)
      expect(SETTINGS[name]).not.toHaveProperty('flag');
  });
});

test('a client reaches the service of its own machine by default', () => {
  expect(readClientConfig({ PADDOCK_HTTP_PORT: '9000' })).toEqual({
    url: 'http://127.0.0.1:9000',
    token: null,
    dataDir: '.paddock',
  });
  expect(readClientConfig({ PADDOCK_URL: 'https://a', PADDOCK_TOKEN: 't' }, { url: 'http://b' })).toMatchObject({
    url: 'http://b',
    token: 't',
  });
  expect(problemsOf(() => readClientConfig({ PADDOCK_URL: 'a' }))).toEqual([
    'PADDOCK_URL has to be a URL with http:// or https://',
  ]);
});
