// The date and time in the registers of an MC146818: data sheet table 3, and what ACPI adds (FADT: century, alarms by
// day and month).

/** Register numbers. */
export const CmosTimeRegister = {
  seconds: 0x00,
  secondsAlarm: 0x01,
  minutes: 0x02,
  minutesAlarm: 0x03,
  hours: 0x04,
  hoursAlarm: 0x05,
  dayOfWeek: 0x06,
  dayOfMonth: 0x07,
  month: 0x08,
  year: 0x09,
  century: 0x32,
  dayAlarm: 0x33,
  monthAlarm: 0x36,
} as const;

const R = CmosTimeRegister;

/** Data mode of register B: values in binary instead of BCD. */
export const B_BINARY = 1 << 2;
/** Hours from 0 to 23 instead of 1 to 12. */
export const B_24_HOURS = 1 << 1;
/** In the hours register, with hours from 1 to 12. */
const PM = 1 << 7;

const DAY_MS = 86_400_000;
/** Days in which 29 February comes round at the latest: eight years, across a century that has none. */
const LONGEST_ALARM_DAYS = 8 * 366;

/** Registers that the clock counts up. */
export function isTimeRegister(register: number): boolean {
  switch (register) {
    case R.seconds:
    case R.minutes:
    case R.hours:
    case R.dayOfWeek:
    case R.dayOfMonth:
    case R.month:
    case R.year:
    case R.century:
      return true;
    default:
      return false;
  }
}

function encode(value: number, mode: number): number {
  return (mode & B_BINARY) !== 0 ? value : (Math.floor(value / 10) << 4) | (value % 10);
}

function decode(value: number, mode: number): number {
  return (mode & B_BINARY) !== 0 ? value : (value >>> 4) * 10 + (value & 0x0f);
}

function encodeHours(hours: number, mode: number): number {
  if ((mode & B_24_HOURS) !== 0) return encode(hours, mode);
  return encode(hours % 12 === 0 ? 12 : hours % 12, mode) | (hours >= 12 ? PM : 0);
}

function decodeHours(value: number, mode: number): number {
  if ((mode & B_24_HOURS) !== 0) return decode(value, mode);
  return (decode(value & ~PM, mode) % 12) + ((value & PM) !== 0 ? 12 : 0);
}

/**
 * Writes a time to the registers.
 * @param time milliseconds since 1970, in whatever time zone the guest wants
 * @param mode register B
 */
export function storeTime(registers: Uint8Array, time: number, mode: number): void {
  const date = new Date(time);
  const year = date.getUTCFullYear();
  registers[R.seconds] = encode(date.getUTCSeconds(), mode);
  registers[R.minutes] = encode(date.getUTCMinutes(), mode);
  registers[R.hours] = encodeHours(date.getUTCHours(), mode);
  registers[R.dayOfWeek] = encode(date.getUTCDay() + 1, mode);
  registers[R.dayOfMonth] = encode(date.getUTCDate(), mode);
  registers[R.month] = encode(date.getUTCMonth() + 1, mode);
  registers[R.year] = encode(year % 100, mode);
  registers[R.century] = encode(Math.floor(year / 100) % 100, mode);
}

/** The time that the registers say, in milliseconds. Values beyond their range, which a guest may write, carry over. */
export function loadTime(registers: Uint8Array, mode: number): number {
  const value = (register: number) => decode(registers[register] ?? 0, mode);
  const date = new Date(0);
  date.setUTCFullYear(value(R.century) * 100 + value(R.year), value(R.month) - 1, value(R.dayOfMonth));
  date.setUTCHours(decodeHours(registers[R.hours] ?? 0, mode), value(R.minutes), value(R.seconds));
  return date.getTime();
}

/** A field of the alarm: the value that it waits for, or undefined when it does not care. */
type AlarmField = number | undefined;

/** Bits 7 and 6 set mean "don't care": once a second, a minute, an hour or a day. */
const DONT_CARE = 0xc0;

/**
 * When the alarm comes next.
 * @param after milliseconds; the alarm is in a later second than this
 * @returns milliseconds, of a whole second; undefined when it never comes
 */
export function nextAlarm(registers: Uint8Array, mode: number, after: number): number | undefined {
  const alarm = (register: number, read: (value: number, mode: number) => number): AlarmField => {
    const value = registers[register] ?? 0;
    return (value & DONT_CARE) === DONT_CARE ? undefined : read(value, mode);
  };
  const seconds = alarm(R.secondsAlarm, decode);
  const minutes = alarm(R.minutesAlarm, decode);
  const hours = alarm(R.hoursAlarm, decodeHours);
  // The two that ACPI adds do not care when they have no value, as in machines that do not know them.
  const day = decode(registers[R.dayAlarm] ?? 0, mode);
  const month = decode(registers[R.monthAlarm] ?? 0, mode);
  const dayMatches = (date: Date) =>
    (day < 1 || day > 31 || day === date.getUTCDate()) &&
    (month < 1 || month > 12 || month === date.getUTCMonth() + 1);

  const earliest = (Math.floor(after / 1000) + 1) * 1000;
  const firstDay = Math.floor(earliest / DAY_MS) * DAY_MS;
  for (let days = 0; days <= LONGEST_ALARM_DAYS; days++) {
    const start = firstDay + days * DAY_MS;
    if (!dayMatches(new Date(start))) continue;
    const from = Math.max(0, (earliest - start) / 1000);
    const found = nextInDay(hours, minutes, seconds, from);
    if (found !== undefined) return start + found * 1000;
    // Only the rest of the first day can have missed it.
    if (from === 0) return undefined;
  }
  return undefined;
}

/** The first second of a day, not before `from`, that the alarm matches. */
function nextInDay(
  hours: AlarmField,
  minutes: AlarmField,
  seconds: AlarmField,
  from: number,
): number | undefined {
  for (const hour of candidates(hours, 24, Math.floor(from / 3600))) {
    for (const minute of candidates(minutes, 60, 0)) {
      const start = hour * 3600 + minute * 60;
      if (start + 59 < from) continue;
      const second = seconds ?? Math.max(0, from - start);
      if (second < 60 && start + second >= from) return start + second;
    }
  }
  return undefined;
}

/** Values of a field from `from` on that match: the one it waits for, or all. */
function candidates(field: AlarmField, count: number, from: number): readonly number[] {
  if (field === undefined) return Array.from({ length: count - from }, (_, index) => from + index);
  return field >= from && field < count ? [field] : [];
}
