import { ConfigError } from '@paddock/agent/config.ts';
import { fieldOf } from '@paddock/agent/sense/line-format.ts';
import { nmeaLine } from '@paddock/agent/sense/nmea.ts';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { configOf } from '../../../harness/agent/sense.ts';

const GGA = '$GPGGA,123519,4807.038,N,01131.000,E,1,08,0.9,545.4,M,46.9,M,,*47';
const RMC = '$GPRMC,225446,A,4916.45,N,12311.12,W,000.5,054.7,191194,020.3,E*68';

/** With the checksum that it should have, as another program would compute it. */
const sealed = (content: string): string => {
  const sum = Buffer.from(content).reduce((before, byte) => before ^ byte, 0);
  return `$${content}*${sum.toString(16).toUpperCase().padStart(2, '0')}`;
};
function read(line: string, field: string): unknown {
  const fields = nmeaLine(line);
  return fields === null || fields === 'checksum' ? fields : fieldOf(fields, field);
}

describe('a sentence of NMEA 0183', () => {
  it.each([
    ['GGA.latitude', GGA, 48.1173],
    ['GGA.longitude', GGA, 11.516_666_7],
    ['GGA.satellites', GGA, '08'],
    ['GGA.altitude', GGA, '545.4'],
    ['GGA.9', GGA, '545.4'],
    ['GPGGA.9', GGA, '545.4'],
    ['GNGGA.9', GGA, undefined],
    ['RMC.latitude', RMC, 49.274_166_7],
    ['RMC.longitude', RMC, -123.185_333_3],
    ['RMC.speed', RMC, '000.5'],
    ['RMC.date', RMC, '191194'],
    ['HDT.1', '$HEHDT,274.07,T*19', '274.07'],
    ['PGRME.1', sealed('PGRME,15.0,M,45.0,M,25.0,M'), '15.0'],
    ['VDM.5', '!AIVDM,1,1,,B,177KQJ5000G?tO`K>RA1wUbN0TKH,0*5C', '177KQJ5000G?tO`K>RA1wUbN0TKH'],
  ])('has %s', (field, line, value) => {
    expect(read(line, field)).toBe(value);
  });

  it('has no field that is empty, and no position without a fix', () => {
    const none = sealed('GPGGA,123519,4807.038,N,01131.000,E,0,00,,,M,,M,,');
    expect(['GGA.latitude', 'GGA.hdop', 'GGA.8', 'GGA.quality'].map((field) => read(none, field))).toEqual([
      undefined,
      undefined,
      undefined,
      '0',
    ]);
    const warning = sealed('GPRMC,225446,V,4916.45,N,12311.12,W,000.5,054.7,191194,,');
    expect([read(warning, 'RMC.latitude'), read(warning, 'RMC.status')]).toEqual([undefined, 'V']);
  });

  it.each([GGA.replace('4807', '4817'), GGA.replace('*47', '*48'), GGA.replace('*47', '')])(
    'is damaged when its checksum is another one, or none: %s',
    (line) => {
      expect(nmeaLine(line)).toBe('checksum');
    },
  );

  it.each(['', 'boot', '$', '$gp,1*00', GGA.slice(10), `${GGA}${GGA}`, '{"a":1}'])('is none: %j', (line) => {
    expect(nmeaLine(line)).toBeNull();
  });

  it('is read whatever is in it, and one character that changed is noticed', () => {
    const character = fc.integer({ min: 0x20, max: 0x7e }).map((code) => String.fromCodePoint(code));
    fc.assert(
      fc.property(fc.nat({ max: GGA.length - 1 }), character, (at, put) => {
        const changed = GGA.slice(0, at) + put + GGA.slice(at + 1);
        // A sentence may begin with either, and the checksum does not hold it.
        fc.pre(changed.toUpperCase().replace(/^!/, '$') !== GGA);
        const fields = nmeaLine(changed);
        expect(fields === null || fields === 'checksum').toBe(true);
      }),
    );
    fc.assert(fc.property(fc.string(), (text) => void nmeaLine(text)));
  });
});

describe('a sensor of a sentence', () => {
  const sensor = (field: string): string =>
    `ports: { gps: { kind: serial-lines, path: /dev/x, format: nmea } }\nsensors: { a: { kind: number, source: { port: gps, field: ${field} } } }`;

  it.each(['GGA.latitude', 'GGA.8', 'GPGGA.satellites', 'PGRME.1', 'MWV.3'])('may be %s', (field) => {
    expect(configOf(sensor(field)).sensors['a']?.source).toMatchObject({ field });
  });

  it.each(['latitude', 'GGA', 'GGA.lattitude', 'GGA.0', 'HDT.heading', 'gga.8'])('may not be %s', (field) => {
    expect(() => configOf(sensor(field))).toThrow(ConfigError);
  });
});
