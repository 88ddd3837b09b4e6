import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { AcpiPm, CmosRtc, DeviceClock, describeAcpiPm, describeCmosRtc } from '../../src/index.ts';
import { recordingLine, registersOf } from '../support/registers.ts';

// MC146818 data sheet: registers by number, bits of the control registers.
const [SECONDS, SECONDS_ALARM, MINUTES, MINUTES_ALARM, HOURS, HOURS_ALARM] = [0, 1, 2, 3, 4, 5];
const [DAY_OF_WEEK, DAY, MONTH, YEAR, A, B, C, D] = [6, 7, 8, 9, 0x0a, 0x0b, 0x0c, 0x0d];
// Where the FADT says that these are.
const [CENTURY, DAY_ALARM, MONTH_ALARM] = [0x32, 0x33, 0x36];
const [SET, PIE, AIE, UIE, DM, H24] = [0x80, 0x40, 0x20, 0x10, 0x04, 0x02];
const [IRQF, PF, AF, UF] = [0x80, 0x40, 0x20, 0x10];
const TIME = [CENTURY, YEAR, MONTH, DAY, HOURS, MINUTES, SECONDS];

function machine(start = '2024-02-29T12:34:56.000Z') {
  const host = { time: Date.parse(start) };
  const line = recordingLine();
  const pmLine = recordingLine();
  const powerManagement = describeAcpiPm({ interrupt: 5 });
  const descriptor = describeCmosRtc({
    interrupt: 8,
    memory: { low: 0xd000_0000, high: 0x1_2345_0000 },
    powerManagement,
  });
  const pm = new AcpiPm(powerManagement, pmLine);
  const rtc = new CmosRtc(structuredClone(descriptor), line, {
    now: () => host.time,
    onAlarm: () => pm.raiseRtcAlarm(),
  });
  const ports = registersOf(rtc);
  const read = (register: number) => {
    ports.write(0, register);
    return ports.read(1);
  };
  const write = (register: number, value: number) => {
    ports.write(0, register);
    ports.write(1, value);
  };
  const time = () => TIME.map((register) => read(register).toString(16).padStart(2, '0')).join(' ');
  /** Lets the host's clock go on, and looks at what happened without reading a register. */
  const pass = (milliseconds: number) => {
    host.time += milliseconds;
    rtc.tick();
  };
  return { ...ports, read, write, time, pass, host, line, rtc, pm: registersOf(pm), descriptor };
}

describe('the time', () => {
  test("is the host's in UTC, in BCD with 24 hours, and its battery is good", () => {
    const { read, time, host } = machine('2024-02-29T23:34:56.000Z');
    expect(time()).toBe('20 24 02 29 23 34 56');
    expect(read(DAY_OF_WEEK)).toBe(5); // Thursday: Sunday is 1.
    expect(read(D)).toBe(0x80);
    host.time += 25 * 60_000 + 4_000;
    expect(time()).toBe('20 24 03 01 00 00 00');
  });

  test('can be read in binary and with 12 hours', () => {
    const { read, write } = machine('2031-12-31T00:59:58.000Z');
    write(B, H24 | DM);
    expect(TIME.map(read)).toEqual([20, 31, 12, 31, 0, 59, 58]);
    write(B, 0);
    // Data sheet, table 3: hours are 1 to 12, and the top bit means the afternoon.
    const table: [string, number][] = [
      ['2031-12-31T00:00:00.000Z', 0x12],
      ['2031-12-31T11:00:00.000Z', 0x11],
      ['2031-12-31T12:00:00.000Z', 0x92],
      ['2031-12-31T23:00:00.000Z', 0x91],
    ];
    for (const [start, expected] of table) {
      const { read, write } = machine(start);
      write(B, 0);
      expect(read(HOURS)).toBe(expected);
    }
  });

  test('is set with SET, and goes on from there', () => {
    const { write, time, pass, read } = machine();
    write(B, SET | H24);
    for (const [register, value] of [
      [CENTURY, 0x19],
      [YEAR, 0x99],
      [MONTH, 0x12],
      [DAY, 0x31],
      [HOURS, 0x23],
      [MINUTES, 0x59],
      [SECONDS, 0x59],
    ] as const) {
      write(register, value);
    }
    pass(10_000);
    expect(time()).toBe('19 99 12 31 23 59 59');
    write(B, H24);
    expect(time()).toBe('19 99 12 31 23 59 59');
    pass(1_000);
    expect(time()).toBe('20 00 01 01 00 00 00');
    expect(read(DAY_OF_WEEK)).toBe(7);
  });

  test('starts half a second before the next update when the divider was reset, as Linux does to set it', () => {
    const { write, time, pass } = machine('2024-02-29T12:34:56.700Z');
    write(B, SET | H24);
    write(A, 0x76);
    write(SECONDS, 0x10);
    write(B, H24);
    pass(5_000);
    write(A, 0x26);
    expect(time()).toBe('20 24 02 29 12 34 10');
    pass(499);
    expect(time()).toBe('20 24 02 29 12 34 10');
    pass(1);
    expect(time()).toBe('20 24 02 29 12 34 11');
  });

  test('says when it is about to change', () => {
    const { read, pass, write } = machine();
    expect(read(A)).toBe(0x26);
    pass(998);
    expect(read(A)).toBe(0xa6);
    pass(2);
    expect(read(A)).toBe(0x26);
    write(B, SET | H24);
    pass(998);
    expect(read(A)).toBe(0x26);
  });

  test('is what was written, in every mode', () => {
    fc.assert(
      fc.property(
        fc.date({
          min: new Date('1970-01-01T00:00:00Z'),
          max: new Date('9999-12-31T23:59:59Z'),
          noInvalidDate: true,
        }),
        fc.constantFrom(0, DM, H24, DM | H24),
        (date, mode) => {
          const source = machine(new Date(Math.floor(date.getTime() / 1000) * 1000).toISOString());
          source.write(B, mode);
          const target = machine();
          target.write(B, SET | mode);
          for (const register of TIME) target.write(register, source.read(register));
          target.write(B, mode);
          expect(target.time()).toBe(source.time());
        },
      ),
    );
  });
});

describe('interrupts', () => {
  test('of the alarm come when hour, minute and second match, once a day', () => {
    const { read, write, pass, line, pm } = machine('2024-02-29T12:34:56.000Z');
    write(HOURS_ALARM, 0x12);
    write(MINUTES_ALARM, 0x35);
    write(SECONDS_ALARM, 0x10);
    write(B, H24 | AIE);
    pass(13_999);
    expect(line.level).toBe(false);
    pass(1);
    expect(line.level).toBe(true);
    expect(pm.read(0, 2)).toBe(1 << 10);
    expect(read(C)).toBe(IRQF | AF | UF | PF);
    expect(line.level).toBe(false);
    expect(read(C)).toBe(0);
    pass(86_399_999);
    expect(line.level).toBe(false);
    pass(1);
    expect(line.level).toBe(true);
  });

  test('of an alarm with fields that do not care come more often', () => {
    const { read, write, pass, line } = machine('2024-02-29T12:34:56.000Z');
    for (const register of [HOURS_ALARM, MINUTES_ALARM]) write(register, 0xff);
    write(SECONDS_ALARM, 0x05);
    write(B, H24 | AIE);
    for (let i = 0; i < 3; i++) {
      pass(i === 0 ? 8_999 : 59_999);
      expect(line.level).toBe(false);
      pass(1);
      expect(line.level).toBe(true);
      expect(read(C) & AF).toBe(AF);
    }
  });

  test('of an alarm with day and month come once a year', () => {
    const { write, rtc } = machine('2024-02-29T12:34:56.000Z');
    for (const [register, value] of [
      [HOURS_ALARM, 0x12],
      [MINUTES_ALARM, 0x34],
      [SECONDS_ALARM, 0x56],
      [DAY_ALARM, 0x29],
      [MONTH_ALARM, 0x02],
    ] as const) {
      write(register, value);
    }
    write(B, H24 | AIE);
    expect(rtc.nextDeadline()).toBe(Date.parse('2028-02-29T12:34:56Z') - Date.parse('2024-02-29T12:34:56Z'));
    write(DAY_ALARM, 0x30);
    expect(rtc.nextDeadline()).toBeUndefined();
    write(MONTH_ALARM, 0x00);
    expect(rtc.nextDeadline()).toBe(Date.parse('2024-03-30T12:34:56Z') - Date.parse('2024-02-29T12:34:56Z'));
  });

  test('of updates come every second, and end when the time is set', () => {
    const { read, write, pass, line } = machine('2024-02-29T12:34:56.250Z');
    write(B, H24 | UIE);
    pass(749);
    expect(line.level).toBe(false);
    pass(1);
    expect(line.level).toBe(true);
    expect(read(C) & (IRQF | UF)).toBe(IRQF | UF);
    write(B, SET | H24 | UIE);
    expect(read(B)).toBe(SET | H24);
    pass(5_000);
    expect(line.level).toBe(false);
  });

  test('of the period come by the rate of register A', () => {
    // Data sheet, table 5, for a crystal of 32,768 Hz: milliseconds.
    const table: [number, number][] = [
      [1, 3.90625],
      [2, 7.8125],
      [3, 0.122_070_312_5],
      [6, 0.976_562_5],
      [15, 500],
    ];
    for (const [rate, period] of table) {
      const { write, rtc, pass, line } = machine('2024-02-29T12:34:56.000Z');
      write(A, 0x20 | rate);
      write(B, H24 | PIE);
      expect(rtc.nextDeadline()).toBeCloseTo(period, 6);
      pass(Math.ceil(period) + 1);
      expect(line.level).toBe(true);
    }
    const { write, rtc } = machine();
    write(A, 0x20);
    write(B, H24 | PIE);
    expect(rtc.nextDeadline()).toBeUndefined();
  });

  test('that are disabled leave their flags', () => {
    const { read, pass, line } = machine();
    pass(0);
    pass(1_000);
    expect(line.level).toBe(false);
    expect(read(C)).toBe(UF | PF);
  });

  test('come without the guest looking, by the clock of the thread that runs the machine', async () => {
    const line = recordingLine();
    const descriptor = describeCmosRtc({ interrupt: 8, memory: { low: 0, high: 0 } });
    const ports = registersOf(new CmosRtc(descriptor, { set() {} }));
    const { promise: failed, reject } = Promise.withResolvers<never>();
    using _clock = new DeviceClock(new CmosRtc(descriptor, line), reject);
    ports.write(0, B);
    ports.write(1, H24 | PIE);
    await Promise.race([line.raised, failed]);
    expect(line.level).toBe(true);
  });
});

test('the next alarm is the first second that matches', () => {
  const field = (maximum: number) => fc.oneof(fc.constant(0xff), fc.nat(maximum));
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 4_000_000_000 }),
      field(2),
      field(2),
      field(59),
      (now, hours, minutes, seconds) => {
        const { write, rtc, host } = machine(new Date(now * 1000).toISOString());
        write(B, H24 | DM);
        write(HOURS_ALARM, hours);
        write(MINUTES_ALARM, minutes);
        write(SECONDS_ALARM, seconds);
        write(B, H24 | DM | AIE);
        const deadline = host.time + (rtc.nextDeadline() ?? Number.NaN);
        const matches = (time: number) => {
          const date = new Date(time);
          return (
            (hours === 0xff || date.getUTCHours() === hours) &&
            (minutes === 0xff || date.getUTCMinutes() === minutes) &&
            (seconds === 0xff || date.getUTCSeconds() === seconds)
          );
        };
        let first = host.time + 1000;
        while (!matches(first)) first += 1000;
        expect(deadline).toBe(first);
      },
    ),
    { numRuns: 20 },
  );
});

test('memory is where firmware looks for its size, and all else is kept', () => {
  const { read, write } = machine();
  // In units of 64 KiB: RAM from 16 MiB to 4 GiB, RAM from 4 GiB on.
  expect([read(0x34), read(0x35)]).toEqual([0x00, 0xcf]);
  expect([read(0x5b), read(0x5c), read(0x5d)]).toEqual([0x45, 0x23, 0x01]);
  write(0x80 | 0x7f, 0xa5);
  expect(read(0x7f)).toBe(0xa5);
});

test('whatever a guest writes, the clock goes on', () => {
  const access = fc.record({ register: fc.nat(0x7f), value: fc.nat(0xff), pass: fc.nat(100_000_000) });
  fc.assert(
    fc.property(fc.array(access, { maxLength: 50 }), (accesses) => {
      const { read, write, pass, rtc } = machine();
      for (const { register, value, pass: milliseconds } of accesses) {
        write(register, value);
        pass(milliseconds);
        expect(read(register)).toBeLessThan(0x100);
        const deadline = rtc.nextDeadline();
        if (deadline !== undefined) expect(deadline).toBeGreaterThan(0);
      }
    }),
  );
});
