import { expect, test } from 'vitest';
import { ACPI_PM_LENGTH, AcpiPm, describeAcpiPm } from '../../src/index.ts';
import { recordingLine, registersOf } from '../support/registers.ts';

// ACPI 6.4, tables 4.11 to 4.14: register offsets from the start of their blocks, and bits.
const [STATUS, ENABLE, CONTROL, GPE_STATUS, GPE_ENABLE] = [0, 2, 4, 8, 40];
const [PWRBTN, SLPBTN, RTC, WAK] = [1 << 8, 1 << 9, 1 << 10, 1 << 15];
const SLP_EN = 1 << 13;
const sleepType = (type: number) => type << 10;

function machine() {
  const line = recordingLine();
  const requests: string[] = [];
  const descriptor = describeAcpiPm({ interrupt: 5 });
  const guest = new AcpiPm(structuredClone(descriptor), line, {
    powerOff: (detail) => requests.push(detail),
    suspend: (detail) => requests.push(detail),
  });
  return { ...registersOf(guest), line, requests, host: new AcpiPm(descriptor, line), descriptor };
}

test('a button raises the SCI when it is enabled, until its status is written', () => {
  const { read, write, line, host } = machine();
  host.pressPowerButton();
  expect(read(STATUS, 2)).toBe(PWRBTN);
  expect(line.level).toBe(false);
  write(ENABLE, PWRBTN | SLPBTN, 2);
  expect(line.level).toBe(true);
  host.pressSleepButton();
  write(STATUS, PWRBTN, 2);
  expect(read(STATUS, 2)).toBe(SLPBTN);
  expect(line.level).toBe(true);
  write(STATUS + 1, SLPBTN >> 8);
  expect(read(STATUS, 4)).toBe((PWRBTN | SLPBTN) << 16);
  expect(line.level).toBe(false);
});

test('an alarm of the clock is an event of its own', () => {
  const { read, write, line, host } = machine();
  write(ENABLE, RTC, 2);
  host.raiseRtcAlarm();
  expect(read(STATUS, 2)).toBe(RTC);
  expect(line.level).toBe(true);
});

test('the machine is in ACPI mode, and write-only bits read as zero', () => {
  const { read, write } = machine();
  expect(read(CONTROL, 2)).toBe(1);
  write(CONTROL, 0xffff & ~SLP_EN, 2);
  // SCI_EN, BM_RLD and SLP_TYP; GBL_RLS and SLP_EN are not kept.
  expect(read(CONTROL, 2)).toBe(0x1c03);
});

test('S5 turns the machine off; other sleep types without a name do nothing', () => {
  const { read, write, requests } = machine();
  write(CONTROL, sleepType(7) | SLP_EN, 2);
  write(CONTROL, sleepType(0), 2);
  expect(requests).toEqual([]);
  write(CONTROL, sleepType(0) | SLP_EN, 2);
  expect(requests).toEqual(['the guest turned itself off (ACPI S5)']);
  expect(read(CONTROL, 2)).toBe(1);
});

test('S1 suspends the machine until something wakes it', () => {
  const { read, write, requests, host } = machine();
  write(ENABLE, PWRBTN, 2);
  write(CONTROL, sleepType(1) | SLP_EN, 2);
  expect(requests).toEqual(['the guest went to sleep (ACPI S1)']);
  expect(read(STATUS, 2) & WAK).toBe(0);
  host.pressPowerButton();
  expect(read(STATUS, 2)).toBe(WAK | PWRBTN);
  write(STATUS, WAK | PWRBTN, 2);
  host.wake();
  expect(read(STATUS, 2)).toBe(0);
});

test('where nothing can suspend the machine, a sleep is over at once', () => {
  const { descriptor, line } = machine();
  const { read, write } = registersOf(new AcpiPm(descriptor, line));
  write(CONTROL, sleepType(1) | SLP_EN, 2);
  expect(read(STATUS, 2)).toBe(WAK);
});

test('general purpose events have a status and an enable bit each', () => {
  const { read, write, line, host } = machine();
  host.raiseGpe(0);
  host.raiseGpe(255);
  expect([read(GPE_STATUS), read(GPE_STATUS + 31)]).toEqual([0x01, 0x80]);
  write(GPE_ENABLE + 31, 0x80);
  expect(line.level).toBe(true);
  write(GPE_STATUS + 31, 0x80);
  expect(line.level).toBe(false);
  expect([read(GPE_STATUS), read(GPE_ENABLE + 31), read(GPE_STATUS + 31)]).toEqual([0x01, 0x80, 0]);
});

test('any access of any width is answered', () => {
  const { read, write } = machine();
  for (const size of [1, 2, 4, 8] as const) {
    for (let offset = 0; offset + size <= ACPI_PM_LENGTH; offset++) {
      write(offset, 0xffff_ffff, size);
      expect(read(offset, size)).toBeGreaterThanOrEqual(0);
    }
  }
});
