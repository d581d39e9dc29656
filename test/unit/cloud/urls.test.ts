import { EmbeddedBroker } from '@paddock/cloud/adapters/aedes.ts';
import { systemClock } from '@paddock/cloud/adapters/system-clock.ts';
import { readConfig } from '@paddock/cloud/config.ts';
import { deviceUrlOf } from '@paddock/cloud/urls.ts';
import { expect, test } from 'vitest';

const broker = new EmbeddedBroker({ host: '127.0.0.1', port: 0, clock: systemClock });

test.each([
  [{}, 'mqtts://localhost:0'],
  [{ PADDOCK_PUBLIC_HOSTS: '::1' }, 'mqtts://[::1]:0'],
  [{ PADDOCK_BROKER_URL: 'mqtts://user:hunter2@broker:8883' }, 'mqtts://broker:8883'],
  [{ PADDOCK_BROKER_URL: 'mqtt://localhost' }, null],
  [{ PADDOCK_BROKER_URL: 'wss://broker', PADDOCK_MQTT_PLAIN: 'yes' }, null],
  [{ PADDOCK_BROKER_URL: 'ws://broker', PADDOCK_MQTT_PUBLIC_URL: 'mqtts://broker:8883' }, 'mqtts://broker:8883'],
])('with %o devices that enrol report to %s', (env, url) => {
  expect(deviceUrlOf(readConfig(env), broker)).toBe(url);
});
