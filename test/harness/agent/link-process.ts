import { createMqttLink } from '@paddock/agent/adapters/mqtt.ts';
import { createSystemClock } from '@paddock/agent/adapters/system-clock.ts';

// A process with a link and nothing else, for a test to kill.
const [url = ''] = process.argv.slice(2);
const topic = 'paddock/v1/kiosk-0001/presence';
const presence = async () => ({ birth: { topic, payload: 'online' }, will: { topic, payload: 'offline' } });
const link = createMqttLink(
  { url, clientId: 'kiosk-0001', keepAliveSeconds: 30, subscriptions: [], presence },
  createSystemClock(),
);
link.open({ online() {}, offline() {}, message() {} });
