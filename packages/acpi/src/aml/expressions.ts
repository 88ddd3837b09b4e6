import { little } from '../bytes.ts';
import { AcpiError } from '../errors.ts';
import { encodeTarget, encodeValue, type Target, type Term, term, type Value } from './term.ts';

// Operators with a value, ACPI 6.4 section 20.2.5.4, under the names that ASL gives them (section 19.6).

const EXTENDED = 0x5b;

function unary(...opcode: number[]) {
  return (value: Value): Term<'expression'> => term('expression', ...opcode, encodeValue(value));
}

function unaryTo(...opcode: number[]) {
  return (value: Value, target?: Target): Term<'expression'> =>
    term('expression', ...opcode, encodeValue(value), encodeTarget(target));
}

function binary(...opcode: number[]) {
  return (left: Value, right: Value): Term<'expression'> =>
    term('expression', ...opcode, encodeValue(left), encodeValue(right));
}

function binaryTo(...opcode: number[]) {
  return (left: Value, right: Value, target?: Target): Term<'expression'> =>
    term('expression', ...opcode, encodeValue(left), encodeValue(right), encodeTarget(target));
}

function onTarget(...opcode: number[]) {
  return (target: Target): Term<'expression'> => term('expression', ...opcode, target.bytes);
}

// Integers. All are unsigned and of 64 bits; the result is also stored in `target` if there is one.
export const Add = binaryTo(0x72);
export const Subtract = binaryTo(0x74);
export const Multiply = binaryTo(0x77);
export const Mod = binaryTo(0x85);
export const ShiftLeft = binaryTo(0x79);
export const ShiftRight = binaryTo(0x7a);
export const And = binaryTo(0x7b);
export const Nand = binaryTo(0x7c);
export const Or = binaryTo(0x7d);
export const Nor = binaryTo(0x7e);
export const Xor = binaryTo(0x7f);
export const Not = unaryTo(0x80);
/** One plus the number of the highest bit that is set; 0 if none is. */
export const FindSetLeftBit = unaryTo(0x81);
/** One plus the number of the lowest bit that is set; 0 if none is. */
export const FindSetRightBit = unaryTo(0x82);
export const Increment = onTarget(0x75);
export const Decrement = onTarget(0x76);
export const FromBCD = unaryTo(EXTENDED, 0x28);
export const ToBCD = unaryTo(EXTENDED, 0x29);

/** The quotient, which is stored in `quotient`, as the rest is in `remainder`. */
export function Divide(
  dividend: Value,
  divisor: Value,
  remainder?: Target,
  quotient?: Target,
): Term<'expression'> {
  const values = [encodeValue(dividend), encodeValue(divisor)];
  return term('expression', 0x78, ...values, encodeTarget(remainder), encodeTarget(quotient));
}

// Comparisons and logic: Ones for true, Zero for false.
export const LAnd = binary(0x90);
export const LOr = binary(0x91);
export const LNot = unary(0x92);
export const LEqual = binary(0x93);
export const LNotEqual = binary(0x92, 0x93);
export const LGreater = binary(0x94);
export const LLessEqual = binary(0x92, 0x94);
export const LLess = binary(0x95);
export const LGreaterEqual = binary(0x92, 0x95);

// Strings, buffers, packages.
export const Concatenate = binaryTo(0x73);
export const ConcatenateResTemplate = binaryTo(0x84);
export const ToBuffer = unaryTo(0x96);
export const ToDecimalString = unaryTo(0x97);
export const ToHexString = unaryTo(0x98);
export const ToInteger = unaryTo(0x99);
/** The text in a buffer, up to a NUL or `length` bytes. */
export const ToString = binaryTo(0x9c);
export const SizeOf = onTarget(0x87);
export const ObjectType = onTarget(0x8e);

/** `length` elements from `start` on. */
export function Mid(source: Value, start: Value, length: Value, target?: Target): Term<'expression'> {
  return term(
    'expression',
    0x9e,
    encodeValue(source),
    encodeValue(start),
    encodeValue(length),
    encodeTarget(target),
  );
}

/** A reference to an element of a buffer, a string or a package. */
export function Index(source: Value, index: Value, target?: Target): Term<'reference'> {
  return term('reference', 0x88, encodeValue(source), encodeValue(index), encodeTarget(target));
}

export function RefOf(target: Target): Term<'reference'> {
  return term('reference', 0x71, target.bytes);
}

export function DerefOf(reference: Value): Term<'reference'> {
  return term('reference', 0x83, encodeValue(reference));
}

/** Whether `name` exists; if so, a reference to it is stored in `target`. */
export function CondRefOf(name: Target, target?: Target): Term<'expression'> {
  return term('expression', EXTENDED, 0x12, name.bytes, encodeTarget(target));
}

/** Stores `value`, converted to the type of what `target` holds. */
export function Store(value: Value, target: Target): Term<'expression'> {
  return term('expression', 0x70, encodeValue(value), target.bytes);
}

/** Stores `value` as it is. */
export function CopyObject(value: Value, target: Term<'name' | 'variable'>): Term<'expression'> {
  return term('expression', 0x9d, encodeValue(value), target.bytes);
}

/** Waits up to `timeout` milliseconds for a mutex (0xFFFF: for ever); true when it was not got. */
export function Acquire(mutex: Target, timeout: number): Term<'expression'> {
  return term('expression', EXTENDED, 0x23, mutex.bytes, little(timeout, 2, 'timeout of Acquire'));
}

/** Waits up to `timeout` milliseconds for an event; true when it did not come. */
export function Wait(event: Target, timeout: Value): Term<'expression'> {
  return term('expression', EXTENDED, 0x25, event.bytes, encodeValue(timeout));
}

/** Time in units of 100 ns. */
export const Timer: Term<'expression'> = term('expression', EXTENDED, 0x33);
/** Revision of the AML interpreter. */
export const Revision: Term<'expression'> = term('expression', EXTENDED, 0x30);
/** What is stored here goes to the debugger. */
export const Debug: Term<'variable'> = term('variable', EXTENDED, 0x31);

/** Variable 0 to 7 of a method. @throws AcpiError OUT_OF_RANGE */
export function Local(index: number): Term<'variable'> {
  return term('variable', 0x60 + numbered(index, 7, 'local variable'));
}

/** Argument 0 to 6 of a method. @throws AcpiError OUT_OF_RANGE */
export function Arg(index: number): Term<'variable'> {
  return term('variable', 0x68 + numbered(index, 6, 'argument'));
}

function numbered(index: number, last: number, what: string): number {
  if (Number.isInteger(index) && index >= 0 && index <= last) return index;
  throw new AcpiError('OUT_OF_RANGE', `There is no ${what} ${index}: they are numbered 0 to ${last}.`);
}
