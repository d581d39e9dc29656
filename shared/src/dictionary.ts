/**
 * Preset dictionaries for raw deflate (RFC 1951; zlib's deflateSetDictionary). Part of the
 * protocol for ever: a text here never changes, a better one gets the next number.
 * Deflate finds the end of a dictionary cheapest, so the commonest text stands last.
 */
const D1 = [
  '"reason":"flatline"}"reason":"chatter"}"reason":"checksum"}"reason":"malformed"}"reason":"silent-port"}',
  '"reason":"unplugged"}"reason":"no-answer"}"reason":"no-sample"}"reason":"out-of-range"}"reason":"stale"}',
  '"quality":"suspect","quality":"bad","value":null,"ageMs":null,"unit":"kWh","unit":"Wh","unit":"kW","unit":"W"',
  '"unit":"V","unit":"A","unit":"Hz","unit":"Pa","unit":"lx","unit":"ppm","unit":"%","unit":"mm","unit":"°C"',
  '"kiosk-"voltage"current"power"energy"frequency"temperature"humidity"pressure"level"door"lid"lock"tilt"smoke',
  '"paper"coin"bill"printer"screen"fan"heater"relay"button"light"motion"tamper"battery"charging"cable"state":{"value":"',
  '"available""occupied""reserved""faulted""idle""open""closed""locked""unlocked"true,false',
  '"trigger":{"kind":"event","name":"card-swipe","data":{"trigger":{"kind":"change","sensor":"',
  '"trigger":{"kind":"shutdown"},"trigger":{"kind":"connect"},"trigger":{"kind":"boot"},',
  '"boot":{"id":"","reason":"PowerUp"},"segment":0,"ask":"","desired":{"epoch":0,"version":0},"inventory":"',
  '{"v":1,"device":"kiosk-0000","incarnation":"","start":1,"sequence":0,"boot":{"id":"',
  '-4"},"uptimeMs":1000,"wallMs":17900,"trigger":{"kind":"schedule"},"nextWithinMs":360000,"ask":"',
  '","readings":{"input-1":{"value":true,"ageMs":100,"changes":0,"changedAgoMs":null,"heldForMs":',
  '0},"analog-1":{"value":0.5,"unit":"V","ageMs":10},"relay-1":{"value":false,"ageMs":20,"changes":1,"changedAgoMs":1000},',
  '"temperature-1":{"value":21.5,"unit":"°C","ageMs":1000},"power-1":{"value":7.2,"unit":"kW","ageMs":0}},',
  '"host":{"processorShare":0.0,"load1":0.1,"memoryTotalMiB":1024,"memoryAvailableMiB":512,"diskTotalMiB":',
  '16384,"diskFreeMiB":8192,"temperatureC":40.5,"agentRssMiB":80},"agent":{"version":"0.1.0"},',
  '"outbox":{"waiting":1,"droppedRoutine":0,"droppedEvents":0}}',
].join('');

/** By the header's `cty`. */
export const DICTIONARIES = {
  d1: new TextEncoder().encode(D1),
} as const satisfies Record<string, Uint8Array>;

export type DictionaryId = keyof typeof DICTIONARIES;
