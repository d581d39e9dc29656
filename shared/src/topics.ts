import { Refusal } from './errors.ts';

/** A device id is opaque: given at registration and never used again. */
export const DEVICE_ID_PATTERN = '^[a-z0-9][a-z0-9-]{2,35}$';
const DEVICE_ID = new RegExp(DEVICE_ID_PATTERN);

/** One row a message kind: who sends it, how it travels, and the JWS `typ` that no other kind has. */
export const MESSAGE_KINDS = {
  report: { from: 'device', retained: false, typ: 'paddock-report' },
  inventory: { from: 'device', retained: false, typ: 'paddock-inventory' },
  crash: { from: 'device', retained: false, typ: 'paddock-crash' },
  receipt: { from: 'device', retained: false, typ: 'paddock-receipt' },
  presence: { from: 'device', retained: true, typ: 'paddock-presence' },
  answer: { from: 'cloud', retained: false, typ: 'paddock-answer' },
  desired: { from: 'cloud', retained: true, typ: 'paddock-desired' },
  command: { from: 'cloud', retained: false, typ: 'paddock-command' },
} as const satisfies Record<string, { from: 'device' | 'cloud'; retained: boolean; typ: string }>;

export type MessageKind = keyof typeof MESSAGE_KINDS;

/** What the cloud takes in of what devices send; a presence is a hint for whoever listens on the broker. */
export const RECORDED_KINDS = ['report', 'inventory', 'crash'] as const satisfies readonly MessageKind[];
export type RecordedKind = (typeof RECORDED_KINDS)[number];

const PREFIX = 'paddock/v1';

export const isDeviceId = (id: string): boolean => DEVICE_ID.test(id);

export const topicOf = (kind: MessageKind, deviceId: string): string => `${PREFIX}/${deviceId}/${kind}`;

/** The filter that matches one kind from every device. */
export const filterOf = (kind: MessageKind): string => `${PREFIX}/+/${kind}`;

export interface ParsedTopic {
  readonly deviceId: string;
  readonly kind: MessageKind;
}

/** @throws Refusal `topic_foreign` when the topic is not one of this layout. */
export function parseTopic(topic: string): ParsedTopic {
  const [product, layout, deviceId = '', kind = '', ...rest] = topic.split('/');
  const known = `${product}/${layout}` === PREFIX && rest.length === 0 && Object.hasOwn(MESSAGE_KINDS, kind);
  if (!known || !isDeviceId(deviceId)) throw new Refusal('topic_foreign');
  return { deviceId, kind: kind as MessageKind };
}
