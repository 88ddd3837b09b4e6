import fc from 'fast-check';
import { expect, test } from 'vitest';
import { DeviceClock, describePrimeCellRtc, PrimeCellRtc, type PrimeCellRtcPart } from '../../src/index.ts';
import { recordingLine, registersOf } from '../support/registers.ts';

// PL030 technical reference manual, table 3-1.
const [RTCDR, RTCMR, RTCSTAT, RTCEOI, RTCLR, RTCCR] = [0x00, 0x04, 0x08, 0x08, 0x0c, 0x10];

function machine(part: PrimeCellRtcPart = 'pl030', start = 1_700_000_000_250) {
  const host = { time: start };
  const line = recordingLine();
  const descriptor = structuredClone(describePrimeCellRtc({ part, interrupt: 1 }));
  const rtc = new PrimeCellRtc(descriptor, line, { now: () => host.time });
  const { read, write } = registersOf(rtc);
  const pass = (milliseconds: number) => {
    host.time += milliseconds;
    rtc.tick();
  };
  return {
    read: (register: number) => read(register, 4),
    write: (register: number, value: number) => write(register, value, 4),
    bus: { read, write },
    pass,
    host,
    line,
    rtc,
  };
}

test('the registers have the reset values of the manual, and the counter the time', () => {
  const { read, pass } = machine();
  expect([RTCMR, RTCSTAT, RTCLR, RTCCR].map(read)).toEqual([0, 0, 0, 0]);
  expect(read(RTCDR)).toBe(1_700_000_000);
  pass(750);
  expect(read(RTCDR)).toBe(1_700_000_001);
});

test('it identifies itself as PL030', () => {
  const { read } = machine();
  const id = (first: number) => [0, 4, 8, 12].map((offset) => read(first + offset));
  expect(id(0xfe0)).toEqual([0x30, 0x10, 0x04, 0x00]);
  expect(id(0xff0)).toEqual([0x0d, 0xf0, 0x05, 0xb1]);
});

test('it is loaded with the next second, which Linux adds one for', () => {
  const { read, write, pass } = machine();
  write(RTCLR, 1001);
  expect(read(RTCLR)).toBe(1001);
  expect(read(RTCDR)).toBe(1000);
  pass(750);
  expect(read(RTCDR)).toBe(1001);
});

test('the interrupt comes when the counter matches, and goes with RTCEOI', () => {
  const { read, write, pass, line, rtc } = machine();
  write(RTCMR, 1_700_000_010);
  expect(read(RTCMR)).toBe(1_700_000_010);
  expect(rtc.nextDeadline()).toBeUndefined();
  write(RTCCR, 1);
  expect(rtc.nextDeadline()).toBe(9_750);
  pass(9_749);
  expect([line.level, read(RTCSTAT)]).toEqual([false, 0]);
  pass(1);
  expect([line.level, read(RTCSTAT)]).toEqual([true, 1]);
  expect(rtc.nextDeadline()).toBeUndefined();
  write(RTCEOI, 0);
  expect([line.level, read(RTCSTAT)]).toEqual([false, 0]);
  // Once around the counter.
  expect(rtc.nextDeadline()).toBe(2 ** 32 * 1000);
});

test('a match that is passed while nobody looks is not missed', () => {
  const { write, pass, line } = machine();
  write(RTCMR, 1_700_000_010);
  write(RTCCR, 1);
  pass(3_600_000);
  expect(line.level).toBe(true);
});

test('while it is disabled, a match is kept but not shown', () => {
  const { read, write, line } = machine();
  write(RTCMR, 1_700_000_000);
  expect([line.level, read(RTCSTAT)]).toEqual([false, 0]);
  write(RTCCR, 1);
  expect([line.level, read(RTCSTAT)]).toEqual([true, 1]);
  write(RTCCR, 0);
  expect([line.level, read(RTCSTAT)]).toEqual([false, 0]);
});

test('the counter wraps', () => {
  const { read, write, pass, line } = machine();
  write(RTCLR, 0xffff_ffff);
  write(RTCMR, 0);
  write(RTCCR, 1);
  pass(750);
  expect([read(RTCDR), line.level]).toEqual([0xffff_ffff, false]);
  pass(1000);
  expect([read(RTCDR), line.level]).toEqual([0, true]);
});

test('the interrupt comes without the guest looking, by the clock of the thread that runs the machine', async () => {
  const line = recordingLine();
  const descriptor = describePrimeCellRtc({ part: 'pl030', interrupt: 1 });
  const guest = registersOf(new PrimeCellRtc(descriptor, { set() {} }));
  const { promise: failed, reject } = Promise.withResolvers<never>();
  using _clock = new DeviceClock(new PrimeCellRtc(descriptor, line), reject);
  guest.write(RTCMR, guest.read(RTCDR, 4) + 1, 4);
  guest.write(RTCCR, 1, 4);
  await Promise.race([line.raised, failed]);
  expect(guest.read(RTCSTAT, 4)).toBe(1);
});

test('whatever a guest does, the clock goes on', () => {
  const access = fc.record({
    offset: fc.oneof(fc.nat(0x18), fc.nat(0xff0)),
    size: fc.constantFrom(1 as const, 2 as const, 4 as const, 8 as const),
    value: fc.integer({ min: 0, max: 0xffff_ffff }),
    pass: fc.nat(100_000_000),
  });
  fc.assert(
    fc.property(fc.array(access, { maxLength: 30 }), (accesses) => {
      const { bus, pass, rtc } = machine();
      for (const { offset, size, value, pass: milliseconds } of accesses) {
        bus.write(offset, value, size);
        pass(milliseconds);
        expect(bus.read(offset, size)).toBeGreaterThanOrEqual(0);
        const deadline = rtc.nextDeadline();
        if (deadline !== undefined) expect(deadline).toBeGreaterThan(0);
      }
    }),
  );
});

// ARM DDI 0224, table 3-1: what a PL031 has elsewhere.
const PL031 = { lr: 0x08, cr: 0x0c, imsc: 0x10, ris: 0x14, mis: 0x18, icr: 0x1c };

test('a PL031 counts the time, and takes a new one at once', () => {
  const { read, write, pass } = machine('pl031');
  expect(read(RTCDR)).toBe(1_700_000_000);
  // It runs, and cannot be stopped.
  write(PL031.cr, 0);
  expect(read(PL031.cr)).toBe(1);
  write(PL031.lr, 1000);
  expect([read(PL031.lr), read(RTCDR)]).toEqual([1000, 1000]);
  pass(750);
  expect(read(RTCDR)).toBe(1001);
  expect([0, 4, 8, 12].map((offset) => read(0xfe0 + offset))).toEqual([0x31, 0x10, 0x04, 0x00]);
});

test('a PL031 tells a match also where its interrupt is masked', () => {
  const { read, write, pass, line } = machine('pl031');
  const status = () => [line.level, read(PL031.ris), read(PL031.mis)];
  write(RTCMR, 1_700_000_010);
  pass(10_000);
  expect(status()).toEqual([false, 1, 0]);
  write(PL031.imsc, 1);
  expect(status()).toEqual([true, 1, 1]);
  write(PL031.icr, 1);
  expect(status()).toEqual([false, 0, 0]);
});
