import { little } from '../bytes.ts';
import { encodePackage } from './encoding.ts';
import { encodeList, encodeValue, type ListTerm, type Target, type Term, term, type Value } from './term.ts';

// Statements, ACPI 6.4 section 20.2.5.3.

const EXTENDED = 0x5b;

export function If(
  condition: Value,
  then: readonly ListTerm[],
  otherwise: readonly ListTerm[] = [],
): Term<'statement'> {
  const parts = [encodePackage([0xa0], [encodeValue(condition), encodeList(then)])];
  if (otherwise.length > 0) parts.push(encodePackage([0xa1], [encodeList(otherwise)]));
  return term('statement', ...parts);
}

export function While(condition: Value, body: readonly ListTerm[]): Term<'statement'> {
  return term('statement', encodePackage([0xa2], [encodeValue(condition), encodeList(body)]));
}

export function Return(value: Value = 0): Term<'statement'> {
  return term('statement', 0xa4, encodeValue(value));
}

/** Leaves the loop. */
export const Break: Term<'statement'> = term('statement', 0xa5);
/** Goes on with the loop's condition. */
export const Continue: Term<'statement'> = term('statement', 0x9f);
export const Noop: Term<'statement'> = term('statement', 0xa3);

/** Tells the system of an event of a device: section 5.6.6 has the values. */
export function Notify(object: Target, value: Value): Term<'statement'> {
  return term('statement', 0x86, object.bytes, encodeValue(value));
}

/** Gives the processor away for as many milliseconds. */
export function Sleep(milliseconds: Value): Term<'statement'> {
  return term('statement', EXTENDED, 0x22, encodeValue(milliseconds));
}

/** Waits for as many microseconds, at most 100. */
export function Stall(microseconds: Value): Term<'statement'> {
  return term('statement', EXTENDED, 0x21, encodeValue(microseconds));
}

export function Signal(event: Target): Term<'statement'> {
  return term('statement', EXTENDED, 0x24, event.bytes);
}

/** Forgets the signals of an event. */
export function Reset(event: Target): Term<'statement'> {
  return term('statement', EXTENDED, 0x26, event.bytes);
}

export function Release(mutex: Target): Term<'statement'> {
  return term('statement', EXTENDED, 0x27, mutex.bytes);
}

/** Tells the system that the platform cannot go on. */
export function Fatal(type: number, code: number, argument: Value): Term<'statement'> {
  return term(
    'statement',
    EXTENDED,
    0x32,
    little(type, 1, 'type of Fatal'),
    little(code, 4, 'code of Fatal'),
    encodeValue(argument),
  );
}
