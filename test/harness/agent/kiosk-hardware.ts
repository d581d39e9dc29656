import { chargePointAt, type ChargePoint } from '../../../demo/src/hardware/charge-point.ts';
import { answerRequests } from '../../../demo/src/hardware/meter.ts';
import { openPty } from '../../../demo/src/hardware/pty.ts';

/** Twenty sensors that are read once a second from two pseudo-terminals: twelve by lines, eight by Modbus RTU. */
export interface KioskHardware {
  /** `ports`, `sensors` and `events` of agent.yaml. */
  readonly sensing: string;
  /** A card is swiped at the panel. */
  swipe(): void;
  close(): void;
}

const EVERY_MS = 1000;

/** What the panel's twelve contacts and states are at a charge point. */
const PANEL = {
  door: { yaml: 'kind: binary, urgent: true', of: ({ doorOpen }) => doorOpen },
  lid: { yaml: 'kind: binary', of: () => false },
  lock: { yaml: 'kind: binary', of: ({ charging }) => charging },
  tamper: { yaml: 'kind: binary, urgent: true', of: () => false },
  cable: { yaml: 'kind: binary', of: ({ connector }) => connector === 'occupied' },
  contactor: { yaml: 'kind: binary', of: ({ charging }) => charging },
  light: { yaml: 'kind: binary', of: () => true },
  heater: { yaml: 'kind: binary', of: () => false },
  fan: { yaml: 'kind: binary', of: ({ temperatureC }) => temperatureC > 26 },
  'emergency-stop': { yaml: 'kind: binary, urgent: true', of: ({ stopPressed }) => stopPressed },
  connector: { yaml: 'kind: enum, values: [available, occupied]', of: ({ connector }) => connector },
  screen: {
    yaml: 'kind: enum, values: [welcome, swipe, charging, thanks]',
    of: ({ display }) => SCREENS[display] ?? 'welcome',
  },
} as const satisfies Record<string, { yaml: string; of: (state: ChargePoint) => boolean | string }>;
const SCREENS: Readonly<Record<string, string>> = {
  'Swipe your card': 'swipe',
  Charging: 'charging',
  'Thank you': 'thanks',
};

/** The meter's registers, a float32 each as most meters have them, and the decimals of their data sheet. */
const METER = {
  'voltage-l1': { unit: 'V', decimals: 1, of: ({ voltageV }) => voltageV },
  'voltage-l2': { unit: 'V', decimals: 1, of: ({ voltageV }) => 229.37 + (voltageV - 230) * 0.61 },
  'current-l1': { unit: 'A', decimals: 1, of: ({ currentA }) => currentA / 2 },
  'current-l2': { unit: 'A', decimals: 1, of: ({ currentA }) => currentA / 1.97 },
  power: { unit: 'kW', decimals: 2, of: ({ powerW }) => powerW / 1000 },
  energy: { unit: 'kWh', decimals: 1, of: ({ energyWh }) => (energyWh / 1000) % 10_000 },
  frequency: { unit: 'Hz', decimals: 2, of: ({ frequencyHz }) => frequencyHz },
  temperature: { unit: '°C', decimals: 1, of: ({ temperatureC }) => temperatureC },
} as const satisfies Record<string, { unit: string; decimals: number; of: (state: ChargePoint) => number }>;

export function startKioskHardware(): KioskHardware {
  const [panel, meter] = [openPty(), openPty()];
  const say = (line: object): void => void panel.master.write(`${JSON.stringify(line)}\n`).catch(() => {});
  const timer = setInterval(() => {
    // Nobody reads: a real line would lose the bytes too.
    if (panel.master.waiting() === 0) say(contactsAt(Date.now()));
  }, EVERY_MS);
  meter.master.onData((request) => {
    for (const frame of answerRequests(Buffer.from(request), registersAt(Date.now())).frames)
      meter.master.write(frame).catch(() => {});
  });
  return {
    sensing: sensingOf(panel.path, meter.path),
    swipe: () => say({ event: 'card-swipe', card: '04A2F7C1' }),
    close: () => {
      clearInterval(timer);
      panel.master.close();
      meter.master.close();
    },
  };
}

function contactsAt(wallMs: number): Record<string, boolean | string> {
  const state = chargePointAt(wallMs);
  return Object.fromEntries(Object.entries(PANEL).map(([name, { of }]) => [name, of(state)]));
}

function registersAt(wallMs: number): Buffer {
  const state = chargePointAt(wallMs);
  const image = Buffer.alloc(Object.keys(METER).length * 4);
  Object.values(METER).forEach(({ of }, index) => image.writeFloatBE(of(state), index * 4));
  return image;
}

function sensingOf(panelPath: string, meterPath: string): string {
  const contacts = Object.entries(PANEL).map(
    ([name, { yaml }]) => `  ${name}: { ${yaml}, source: { port: panel, field: ${name} } }`,
  );
  const registers = Object.entries(METER).map(([name, { unit, decimals }], index) => {
    const source = `{ port: meter, unit: 1, table: input, address: ${index * 2}, type: float32 }`;
    return `  ${name}: { kind: number, unit: ${unit}, decimals: ${decimals}, source: ${source} }`;
  });
  return [
    'ports:',
    `  panel: { kind: serial-lines, path: ${panelPath}, baudRate: 9600, format: json }`,
    `  meter: { kind: modbus-rtu, path: ${meterPath}, baudRate: 19200, pollMs: ${EVERY_MS} }`,
    'sensors:',
    ...contacts,
    ...registers,
    'events:',
    '  card-swipe: { source: { port: panel, field: event, equals: card-swipe } }',
  ].join('\n');
}
