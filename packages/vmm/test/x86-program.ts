/** Machine code that means the same in protected and in long mode, and what it is started from. */

const COM1 = 0x3f8;
const RESET = 0xcf9;

const word = (value: number) => [value & 0xff, (value >>> 8) & 0xff];
const long = (value: number) => [...word(value), ...word(value >>> 16)];

/** mov dx, PORT */
const port = (value: number) => [0x66, 0xba, ...word(value)];
/** mov al, VALUE; out dx, al */
export const outByte = (at: number, value: number) => [...port(at), 0xb0, value, 0xee];
/** mov ax, VALUE; out dx, ax */
export const outWord = (at: number, value: number) => [...port(at), 0x66, 0xb8, ...word(value), 0x66, 0xef];
/** mov eax, VALUE; out dx, eax */
export const outLong = (at: number, value: number) => [...port(at), 0xb8, ...long(value), 0xef];
/** in eax, dx */
export const inLong = (at: number) => [...port(at), 0xed];

/** Registers by their number in an instruction. */
export const Register = { ebx: 3, esi: 6 } as const;
type Register = (typeof Register)[keyof typeof Register];

/** mov TO, [FROM + OFFSET]: 32 bits, the rest of the register zeros */
export const load = (to: Register, from: Register, offset: number) => [
  0x8b,
  0x80 | (to << 3) | from,
  ...long(offset),
];
/** Sends `count` bytes from where the register points, and `offset` on, to the first serial port. */
export const print = (from: Register, offset: number, count: number) => [
  ...port(COM1),
  ...Array.from({ length: count }, (_, index) => [0x8a, 0x80 | from, ...long(offset + index), 0xee]).flat(),
];
/** Sends text. */
export const say = (text: string) => [...text].flatMap((letter) => outByte(COM1, letter.charCodeAt(0)));
/** Has the chipset reset the machine. */
export const reset = outByte(RESET, 6);
/** Pulses the reset line of the keyboard controller. */
export const pulseReset = outByte(0x64, 0xfe);
/** ud2: without an interrupt table, a triple fault */
export const tripleFault = [0x0f, 0x0b];

const LOAD = 0x20_0000;

/** A bzImage with its code at both entries. */
export function bzImage(code: readonly number[], is64Bit: boolean): Uint8Array {
  const payload = new Uint8Array(0x400);
  payload.set(code, is64Bit ? 0x200 : 0);
  const file = new Uint8Array(1024 + payload.length);
  const data = new DataView(file.buffer);
  data.setUint8(0x1f1, 1);
  data.setUint32(0x1f4, payload.length / 16, true);
  data.setUint16(0x1fe, 0xaa55, true);
  data.setUint16(0x200, 0x6aeb, true);
  data.setUint32(0x202, 0x5372_6448, true);
  data.setUint16(0x206, 0x020f, true);
  data.setUint8(0x211, 1);
  data.setUint32(0x22c, 0x7fff_ffff, true);
  data.setUint32(0x230, 0x1000, true);
  data.setUint8(0x234, 1);
  data.setUint16(0x236, is64Bit ? 1 : 0, true);
  data.setUint32(0x238, 2047, true);
  file.set(payload, 1024);
  return file;
}

/** An ELF file of one segment; with `pvh`, its PVH entry is the code and its other entry hangs. */
export function elf(code: readonly number[], bits: 32 | 64, pvh = false): Uint8Array {
  const headers = 0x1000;
  const file = new Uint8Array(headers + 0x1000).fill(0xf4, headers);
  file.set(code, headers + 0x100);
  const data = new DataView(file.buffer);
  const pointer = (at: number, value: number) => {
    if (bits === 64) data.setBigUint64(at, BigInt(value), true);
    else data.setUint32(at, value, true);
  };
  const [size, headerSize, phoff] = bits === 64 ? [8, 56, 64] : [4, 32, 52];
  file.set([0x7f, 0x45, 0x4c, 0x46, bits / 32, 1, 1]);
  data.setUint16(16, 2, true);
  data.setUint16(18, bits === 64 ? 62 : 3, true);
  pointer(24, pvh ? LOAD : LOAD + 0x100);
  pointer(24 + size, phoff);
  const sizes = 24 + 3 * size + 4;
  data.setUint16(sizes + 2, headerSize, true);
  data.setUint16(sizes + 4, pvh ? 2 : 1, true);
  const program = (index: number, type: number, offset: number, address: number, length: number) => {
    const at = phoff + index * headerSize;
    const fields = bits === 64 ? at + 8 : at + 4;
    data.setUint32(at, type, true);
    for (const [n, value] of [offset, address, address, length, length].entries()) {
      pointer(fields + n * size, value);
    }
  };
  program(0, 1, headers, LOAD, 0x1000);
  if (pvh) {
    const note = [...long(4), ...long(4), ...long(18), 0x58, 0x65, 0x6e, 0, ...long(LOAD + 0x100)];
    file.set(note, 0x800);
    program(1, 4, 0x800, 0, note.length);
  }
  return file;
}

/** A file with a Multiboot header that says where it goes. */
export function multiboot(code: readonly number[]): Uint8Array {
  const header = [0x1bad_b002, 0x1_0003, -(0x1bad_b002 + 0x1_0003), LOAD, LOAD, 0, 0, LOAD + 0x100];
  const file = new Uint8Array(0x1000);
  file.set(header.flatMap(long));
  file.set(code, 0x100);
  return file;
}

/** `mov dx, PORT; mov al, VALUE; out dx, al` in real mode */
const outByte16 = (at: number, value: number) => [0xba, ...word(at), 0xb0, value, 0xee];
/** Sends text, in real mode. */
export const say16 = (text: string) => [...text].flatMap((letter) => outByte16(COM1, letter.charCodeAt(0)));

/** A disk whose boot sector writes text to the first serial port and turns the machine off by ACPI. */
export function bootSector(text: string): Uint8Array {
  const disk = new Uint8Array(2 ** 20);
  // mov dx, PM1a_CNT; mov ax, SLP_EN; out dx, ax; hlt
  disk.set([...say16(text), 0xba, ...word(0xc004), 0xb8, ...word(1 << 13), 0xef, 0xf4]);
  disk.set([0x55, 0xaa], 510);
  return disk;
}

/** Where firmware's segment is below 1 MiB, and in it the table of {@link flatData} and what firmware brings along. */
const SEGMENT = 0xf_0000;
const DESCRIPTORS = 0x80;
export const FIRMWARE_DATA = SEGMENT + 0x8000;

/** Makes all of memory data that code of 16 bits reaches by addresses of 32: `cli; lgdt; mov cr0; mov ds` */
export const flatData = [
  ...[0xfa, 0x2e, 0x66, 0x0f, 0x01, 0x16, ...word(DESCRIPTORS)],
  ...[0x0f, 0x20, 0xc0, 0x0c, 0x01, 0x0f, 0x22, 0xc0, 0xb8, ...word(8), 0x8e, 0xd8],
];
/** mov ebx, ADDRESS; mov byte [ebx], VALUE */
export const poke16 = (address: number, value: number) => [
  ...[0x66, 0xbb, ...long(address), 0x67, 0xc6, 0x03, value],
];
/** mov ebx, ADDRESS; mov al, [ebx]; and al to the first serial port */
export const print16 = (address: number) => [
  ...[0x66, 0xbb, ...long(address), 0x67, 0x8a, 0x03],
  ...[0xba, ...word(COM1), 0xee],
];
/** mov dx, PORT; mov eax, VALUE; out dx, eax */
export const outLong16 = (at: number, value: number) => [
  ...[0xba, ...word(at), 0x66, 0xb8, ...long(value), 0x66, 0xef],
];

/** Firmware: a far jump in its last 16 bytes to code of 16 bits in the segment that ends at 1 MiB, which then resets. */
export function firmware(code: readonly number[], data: readonly number[] = []): Uint8Array {
  const file = new Uint8Array(0x1_0000);
  // Its limit and address, then no segment, and 4 GiB of data.
  file.set([...word(15), ...long(SEGMENT + DESCRIPTORS + 8)], DESCRIPTORS);
  file.set([0xff, 0xff, 0, 0, 0, 0x93, 0xcf, 0], DESCRIPTORS + 16);
  file.set([...code, ...outByte16(RESET, 6), 0xf4], 0x100);
  file.set(data, FIRMWARE_DATA - SEGMENT);
  file.set([0xea, ...word(0x100), ...word(0xf000)], 0xfff0);
  return file;
}
