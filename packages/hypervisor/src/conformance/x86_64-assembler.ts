/**
 * A few x86 instructions as bytes (Intel SDM 2): enough for bare-metal payloads. Sizes are those of the mode that the code
 * runs in; where an instruction is for one mode only, its name says so.
 */

/** Registers of 8, 16, 32 and 64 bits by number. */
export const X86 = { ax: 0, cx: 1, dx: 2, bx: 3, sp: 4, bp: 5, si: 6, di: 7 } as const;

const le16 = (value: number) => [value & 0xff, (value >>> 8) & 0xff];
const le32 = (value: number) => [...le16(value), ...le16(value >>> 16)];

/** `mov r16, imm16` in 16-bit code. */
export const mov16 = (register: number, value: number) => [0xb8 + register, ...le16(value)];
/** `mov r32, imm32` in 32- and 64-bit code; in 64-bit code it clears the upper half. */
export const mov32 = (register: number, value: number) => [0xb8 + register, ...le32(value)];
/** `mov r64, imm32` sign-extended, in 64-bit code. */
export const mov64 = (register: number, value: number) => [0x48, 0xc7, 0xc0 + register, ...le32(value)];
/** `mov al, imm8` */
export const movAl = (value: number) => [0xb0, value];

/** `in` and `out` with the port in dx. The size of `outAx` and `inAx` is that of the mode unless `operand16` precedes. */
export const outAl = [0xee];
export const outAx = [0xef];
export const inAl = [0xec];
export const inAx = [0xed];
/** `rep outsb`: cx bytes from ds:si to port dx. */
export const repOutsb = [0xf3, 0x6e];
/** The other operand size of 16 and 32 bits. */
export const operandSize = [0x66];

/** `mov [bx32], al/ax/eax/rax` and back; addresses are in a register, by its number, in 32- and 64-bit code. */
export const store8 = (base: number) => [0x88, base];
export const store16 = (base: number) => [0x66, 0x89, base];
export const store32 = (base: number, source: number = X86.ax) => [0x89, (source << 3) | base];
export const store64 = (base: number) => [0x48, 0x89, base];
/** Loads that clear the rest of eax or rax. */
export const load8 = (base: number) => [0x0f, 0xb6, base];
export const load16 = (base: number) => [0x0f, 0xb7, base];
export const load32 = (base: number) => [0x8b, base];
export const load64 = (base: number) => [0x48, 0x8b, base];

export const hlt = [0xf4];
export const sti = [0xfb];
export const ud2 = [0x0f, 0x0b];
/** `jmp` to a distance in bytes, counted from the end of these two. */
export const jumpShort = (distance: number) => [0xeb, distance & 0xff];
/** `test eax, eax`, and `jz` to such a distance. */
export const testEax = [0x85, 0xc0];
export const jumpIfZero = (distance: number) => [0x74, distance & 0xff];
/** `jmp` to itself. */
export const spinHere = jumpShort(-2);
/** Waits for interrupts for ever. */
export const idle = [...hlt, ...jumpShort(-3)];
