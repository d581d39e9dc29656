/** Where `paddock-agent init` puts a claim, beside the configuration. */
const CLAIM_FILE = 'claim.jwt';

/** The configuration that `paddock-agent init` writes: it runs as it stands, on simulated sensors. */
export const agentYaml = (device: string, url: string, dataDir?: string): string =>
  yamlOf(
    `device: ${device}`,
    `  url: ${url}
  keys: cloud-keys.json         # the JWK Set that the registration gave`,
    dataDir,
  );

/** The same for a device that enrols, and gets its id by that. */
export const enrollingYaml = (dataDir?: string): string =>
  yamlOf(
    null,
    `  claim: ${CLAIM_FILE}              # from the factory: where the cloud is, and by what to know it`,
    dataDir,
  );

const yamlOf = (
  device: string | null,
  cloud: string,
  dataDir = './state                # relative to this file',
): string => `# The agent's configuration. "paddock-agent doctor" checks it, and every port, key and connection in it.
${device === null ? '' : `${device}\n`}dataDir: ${dataDir}
cloud:
${cloud}
report:
  schedule: "*/5 * * * *"
  jitterSeconds: 20             # spread by device id

ports:
  bench:
    kind: simulated
# panel:                        # a device that writes lines of text
#   kind: serial-lines
#   path: /dev/ttyS0
#   baudRate: 9600
#   patterns: ['^DOOR=(?<door>open|closed)$']
# meter:                        # a Modbus RTU bus
#   kind: modbus-rtu
#   path: /dev/ttyS1
#   baudRate: 19200
# pins:                         # a GPIO chip; "paddock-agent gpio" lists them
#   kind: gpio
#   chip: pinctrl-bcm2711

sensors:
  door:
    kind: binary
    urgent: true
    source: { port: bench, wave: square, periodMs: 60000 }
  temperature:
    kind: number
    unit: °C
    source: { port: bench, wave: sine, periodMs: 600000, low: 18, high: 24 }
# lid:
#   kind: binary
#   debounceMs: 50
#   source: { port: panel, field: door, on: open }
# pulses:
#   kind: number
#   source: { port: pins, line: GPIO17, bias: pull-up }
# power:
#   kind: number
#   unit: kW
#   source: { port: meter, unit: 1, table: input, address: 12, type: float32, scale: 0.001 }
`;
