import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ByteRing, describePl011, Pl011 } from '../src/index.ts';
import { recordingLine, registersOf } from './support/registers.ts';

// PL011 technical reference manual, tables 3-1, 3-4 and 3-15.
const [DR, FR, IBRD, FBRD, LCR_H, CR, IFLS] = [0x00, 0x18, 0x24, 0x28, 0x2c, 0x30, 0x34];
const [IMSC, RIS, MIS, ICR] = [0x38, 0x3c, 0x40, 0x44];
const [RXFE, TXFF, RXFF, TXFE] = [0x10, 0x20, 0x40, 0x80];
const [RX, TX, RT] = [0x10, 0x20, 0x40];
const FEN = 0x10;

function machine() {
  const output = ByteRing.create(1024);
  const input = ByteRing.create(1024);
  const line = recordingLine();
  const uart = new Pl011(structuredClone(describePl011({ output, input, interrupt: 1 })), line);
  const { read, write } = registersOf(uart);
  const receive = (text: string) => {
    input.write(Buffer.from(text));
    uart.inputArrived();
  };
  const transmitted = () => {
    const bytes = Buffer.from(output.peek());
    output.consume(bytes.length);
    return bytes.toString();
  };
  return {
    read: (register: number) => read(register, 4),
    write: (register: number, value: number) => write(register, value, 4),
    bus: { read, write },
    line,
    receive,
    transmitted,
  };
}

test('the registers have the reset values of the manual', () => {
  const { read } = machine();
  expect([CR, IFLS, IMSC, RIS, MIS, LCR_H, IBRD, FBRD].map(read)).toEqual([0x300, 0x12, 0, 0, 0, 0, 0, 0]);
  expect(read(FR) & (RXFE | TXFF | RXFF | TXFE)).toBe(RXFE | TXFE);
});

test('it identifies itself as PL011', () => {
  const { read } = machine();
  const id = (first: number) => [0, 4, 8, 12].map((offset) => read(first + offset));
  expect(id(0xfe0)).toEqual([0x11, 0x10, 0x34, 0x00]);
  expect(id(0xff0)).toEqual([0x0d, 0xf0, 0x05, 0xb1]);
});

test('transmits what is written to UARTDR, by accesses of any size', () => {
  const { bus, transmitted, read } = machine();
  bus.write(DR, 0x68, 1);
  bus.write(DR, 0xff65, 2);
  bus.write(DR, 0x6c6c_6c6c, 4);
  expect(transmitted()).toBe('hel');
  expect(read(FR) & (TXFF | TXFE)).toBe(TXFE);
});

test('the transmit interrupt comes when a byte has left, and goes with UARTICR', () => {
  const { read, write, line } = machine();
  write(IMSC, TX);
  expect(line.level).toBe(false);
  write(DR, 0x41);
  expect([line.level, read(RIS), read(MIS)]).toEqual([true, TX, TX]);
  write(ICR, TX);
  expect([line.level, read(RIS)]).toEqual([false, 0]);
});

test('received bytes interrupt until they are read', () => {
  const { read, write, line, receive } = machine();
  write(LCR_H, FEN);
  write(IMSC, RX | RT);
  receive('hello');
  // Below a half of the FIFO it is the timeout that says so.
  expect([line.level, read(MIS)]).toEqual([true, RT]);
  expect(Array.from({ length: 5 }, () => String.fromCharCode(read(DR))).join('')).toBe('hello');
  expect([line.level, read(FR) & RXFE]).toEqual([false, RXFE]);
  receive('x'.repeat(16));
  expect([line.level, read(MIS)]).toEqual([true, RX]);
  receive('x'.repeat(16));
  expect(read(FR) & RXFF).toBe(RXFF);
});

test.each([
  [0, 4],
  [1, 8],
  [2, 16],
  [3, 24],
  [4, 28],
])('UARTIFLS %i raises the receive interrupt at %i bytes', (select, level) => {
  const { read, write, receive } = machine();
  write(LCR_H, FEN);
  write(IFLS, select << 3);
  receive('x'.repeat(level - 1));
  expect(read(RIS)).toBe(RT);
  receive('x');
  expect(read(RIS)).toBe(RX);
});

test("input that comes before a driver opens the port is not what it throws away: Linux's way of opening", () => {
  const { read, write, receive, line } = machine();
  receive('early');
  // pl011_startup and pl011_enable_interrupts: clear what is pending, read the FIFO empty, unmask.
  write(ICR, 0x7f0);
  write(ICR, RX | RT);
  for (let count = 0; count < 64 && (read(FR) & RXFE) === 0; count++) read(DR);
  write(IMSC, RT | RX);
  expect(line.level).toBe(true);
  expect(Array.from({ length: 5 }, () => String.fromCharCode(read(DR))).join('')).toBe('early');
});

test('whatever is written where, it goes on', () => {
  const access = fc.record({
    offset: fc.oneof(fc.nat(0xfff), fc.constantFrom(DR, LCR_H, CR, IFLS, IMSC, ICR)),
    size: fc.constantFrom(1 as const, 2 as const, 4 as const, 8 as const),
    value: fc.integer({ min: 0, max: 0xffff_ffff }),
    isWrite: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(access, { maxLength: 200 }), (accesses) => {
      const { bus, read, write, receive, transmitted } = machine();
      for (const { offset, size, value, isWrite } of accesses) {
        if (isWrite) bus.write(offset, value, size);
        else expect(bus.read(offset, size)).toBeLessThan(0x1_0000);
      }
      write(IMSC, RX | RT);
      receive('y');
      expect(read(DR)).toBe(0x79);
      transmitted();
      write(DR, 0x7a);
      expect(transmitted()).toBe('z');
    }),
  );
});
