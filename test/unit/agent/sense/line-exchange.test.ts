import type { BusError } from '@paddock/agent/ports.ts';
import { LineExchange } from '@paddock/agent/sense/line-exchange.ts';
import { describe, expect, it } from 'vitest';
import { FakeClock } from '../../../harness/agent/fake-clock.ts';
import { FakeStream } from '../../../harness/agent/sense.ts';

function bench() {
  const [clock, stream] = [new FakeClock(), new FakeStream()];
  const line = { life: 1 };
  const exchange = new LineExchange({ stream, clock, life: () => line.life });
  const ask = (text: string) => {
    const judge = (said: string) => (said === `OK ${text}` ? 'answer' : said === 'NO' ? 'refusal' : null);
    const asked = exchange.ask({ bytes: Buffer.from(text), judge, timeoutMs: 100 });
    return asked.catch(({ code }: BusError) => code);
  };
  return { clock, stream, line, exchange, ask };
}

describe('questions on a line', () => {
  it('take their answer out of what the device says, and nothing else', async () => {
    const { clock, stream, exchange, ask } = bench();
    const asked = ask('A');
    await clock.advance(0);
    expect(stream.written).toEqual(['A']);
    expect([exchange.hears('DOOR'), exchange.hears('OK A'), exchange.hears('OK A')]).toEqual([false, true, false]);
    expect(await asked).toBe('OK A');
  });

  it('go one after the other', async () => {
    const { clock, stream, exchange, ask } = bench();
    const both = [ask('A'), ask('B')];
    await clock.advance(10);
    expect(stream.written).toEqual(['A']);
    exchange.hears('OK A');
    await clock.advance(10);
    expect(stream.written).toEqual(['A', 'B']);
    exchange.hears('NO');
    expect(await Promise.all(both)).toEqual(['OK A', 'refused']);
  });

  it('that were given up leave their late answer to nobody, and let no other question have it', async () => {
    const { clock, stream, exchange, ask } = bench();
    const first = ask('A');
    await clock.advance(100);
    expect(await first).toBe('no-answer');
    const second = ask('A');
    await clock.advance(50);
    expect(stream.written).toEqual(['A']);
    expect(exchange.hears('OK A')).toBe(true);
    await clock.advance(50);
    expect(stream.written).toEqual(['A', 'A']);
    await clock.advance(100);
    expect(await second).toBe('no-answer');
  });

  it('are done when they are sent where no answer is waited for', async () => {
    const { clock, exchange } = bench();
    const asked = exchange.ask({ bytes: Buffer.from('A'), timeoutMs: 100 });
    await clock.advance(0);
    expect(await asked).toBe('');
  });

  it('end when the port goes away, when it takes nothing, and when it was never there', async () => {
    const { clock, stream, line, exchange, ask } = bench();
    const lost = ask('A');
    await clock.advance(10);
    exchange.lost();
    expect(await lost).toBe('unplugged');
    stream.write = () => new Promise(() => {});
    const stuck = ask('B');
    await clock.advance(100);
    expect(await stuck).toBe('no-answer');
    line.life = 0;
    const closed = ask('C');
    await clock.advance(200);
    expect(await closed).toBe('unplugged');
  });
});
