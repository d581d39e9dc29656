/**
 * Preset dictionaries for raw deflate (RFC 1951; zlib's deflateSetDictionary). Part of the
 * protocol for ever: the bytes of a released one never change (a test pins their SHA-256,
 * docs/protocol.md names it), a better one gets the next number.
 *
 * Deflate pays for distance and for every match, so whole runs of a report stand here as they
 * are written, the commonest ones last.
 */
const BINARY =
  'smoke flood shock window cover flap hatch drawer coin bill ticket paper card bin alarm siren lamp relay pump valve ' +
  'compressor brake charging mains ups battery emergency-stop motion presence button light fan heater contactor cable ' +
  'lid tamper lock door';

const NUMBERS =
  'co2 ppm,pressure hPa,humidity %,level %,weight kg,distance mm,signal dBm,battery V,frequency Hz,' +
  'voltage-l3 V,voltage-l2 V,voltage-l1 V,voltage V,current-l3 A,current-l2 A,current-l1 A,current A,' +
  'power kW,energy kWh,temperature °C';

const D1 = [
  '"quality":"suspect","reason":"flatline"},"reason":"chatter"},"reason":"no-sample"},"reason":"checksum"},',
  '"reason":"malformed"},"reason":"refused"},"reason":"silent-port"},"reason":"unplugged"},"reason":"no-answer"},',
  '"reason":"out-of-range"},{"value":null,"ageMs":null,"quality":"bad","reason":"stale"},',
  '"exchanges":[{"requestUptimeMs":1,"receivedAt":"2026-12-01T00:00:00.000Z","sentAt":"2026-12-01T00:00:00.000Z",',
  '"responseUptimeMs":1}],"name":"card-swipe","agoMs":1,"data":{',
  '"trigger":{"kind":"shutdown"},"trigger":{"kind":"connect"},"trigger":{"kind":"boot"},',
  '"trigger":{"kind":"event","name":"card-swipe","data":{"card":"","trigger":{"kind":"change","sensor":"door"},',
  '{"v":1,"device":"kiosk-0000","incarnation":"","start":1,"sequence":0,"boot":{"id":"","reason":"PowerUp"},',
  '"uptimeMs":1000,"segment":1,"wallMs":17,"trigger":{"kind":"schedule"},"nextWithinMs":350000,"ask":"","nextWithinMs":350000,"readings":{',
  '},"host":{"processorShare":0.01,"load1":0.1,"memoryTotalMiB":3876,"memoryAvailableMiB":2048,"agentRssMiB":80,',
  '"diskTotalMiB":29581,"diskFreeMiB":20480,"temperatureC":45.5},"agent":{"version":"0.1.0"},',
  '"outbox":{"waiting":0,"droppedRoutine":0,"droppedEvents":0}}',
  '"unlocked","reserved","charging","faulted","unavailable","running","stopped","ready","error","standby","on","off",',
  '"state":{"value":"idle","printer":{"value":"ok","screen":{"value":"on","connector":{"value":"available","ageMs":1},',
  '"lock-state":{"value":"locked","ageMs":1},"cover-state":{"value":"closed","ageMs":1},"session":{"value":"occupied"},',
  ...NUMBERS.split(',').map((row) => row.replace(/(.+) (.+)/, '"$1":{"value":0,"unit":"$2","ageMs":},')),
  ...['true', 'false'].flatMap((value) => BINARY.split(' ').map((name) => `},"${name}":{"value":${value},"ageMs":`)),
  '"ageMs":100,"changes":1,"changedAgoMs":1000},"ageMs":100,"changes":0,"changedAgoMs":null,"heldForMs":100',
].join('');

/** By the header's `cty`. */
export const DICTIONARIES = {
  d1: new TextEncoder().encode(D1),
} as const satisfies Record<string, Uint8Array>;

export type DictionaryId = keyof typeof DICTIONARIES;
