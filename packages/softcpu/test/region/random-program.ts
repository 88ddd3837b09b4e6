/**
 * Random RV64GC assembly programs that terminate: straight-line code of every kind that regions translate, forward branches,
 * counted loops, calls, recursion, and calls through a table. Runs as a Linux process and on a bare hart alike: the program
 * writes `state` (registers, fflags, data) to descriptor 1 and exits, by Linux's system calls.
 */
export function randomProgram(seed: number, size: number): string {
  return new Generator(seed).program(size);
}

/** Bytes that a program writes: x1–x31, f0–f31, fflags, and the data that it worked on. */
export const DATA_SIZE = 4096;
export const STATE_SIZE = 31 * 8 + 32 * 8 + 8 + DATA_SIZE;

/** Registers that code may overwrite. s0 points to the data, s1–s3 and sp keep the program together. */
const REGISTERS = [
  ...['a0', 'a1', 'a2', 'a3', 'a4', 'a5', 'a6', 'a7', 't0', 't1', 't2', 't3', 't4', 't5', 't6'],
  ...['s4', 's5', 's6', 's7', 's8', 's9', 's10', 's11'],
];
const FLOAT_REGISTERS = Array.from({ length: 32 }, (_, n) => `f${n}`);
/** Loop counters: two levels in the main program, one in what it calls. */
const COUNTERS = ['s1', 's2', 's3'];
const FIRST_COUNTER_OF_CALLED = 2;

const REGISTER_OPERATIONS = [
  ...[
    'add',
    'sub',
    'and',
    'or',
    'xor',
    'sll',
    'srl',
    'sra',
    'slt',
    'sltu',
    'addw',
    'subw',
    'sllw',
    'srlw',
    'sraw',
  ],
  ...[
    'mul',
    'mulh',
    'mulhu',
    'mulhsu',
    'mulw',
    'div',
    'divu',
    'rem',
    'remu',
    'divw',
    'divuw',
    'remw',
    'remuw',
  ],
];
const IMMEDIATE_OPERATIONS = ['addi', 'andi', 'ori', 'xori', 'slti', 'sltiu', 'addiw'];
const SHIFTS = ['slli', 'srli', 'srai'];
const BRANCHES = ['beq', 'bne', 'blt', 'bge', 'bltu', 'bgeu'];
const LOADS = ['lb', 'lh', 'lw', 'ld', 'lbu', 'lhu', 'lwu'];
const STORES = ['sb', 'sh', 'sw', 'sd'];
const ATOMICS = ['amoswap', 'amoadd', 'amoxor', 'amoand', 'amoor', 'amomin', 'amomax', 'amominu', 'amomaxu'];
const FLOAT_BINARY = ['fadd', 'fsub', 'fmul', 'fdiv', 'fmin', 'fmax', 'fsgnj', 'fsgnjn', 'fsgnjx'];
const ROUNDING_MODES = ['rne', 'rtz', 'rdn', 'rup', 'rmm', 'dyn'];
const WIDTH: Readonly<Record<string, number>> = { b: 1, h: 2, w: 4, d: 8 };

class Generator {
  readonly #lines: string[] = [];
  #state: number;
  #labels = 0;
  #functions: string[] = [];

  constructor(seed: number) {
    this.#state = seed >>> 0 || 1;
  }

  program(size: number): string {
    this.#emit('.globl _start', '.text', '_start:', 'la s0, data', 'la sp, stack_top');
    for (const register of REGISTERS) {
      this.#emit(`li ${register}, ${this.#constant()}`);
    }
    for (const [index, register] of FLOAT_REGISTERS.entries()) {
      const source = this.#pick(REGISTERS);
      this.#emit(index % 3 === 0 ? `fcvt.d.l ${register}, ${source}` : `fmv.d.x ${register}, ${source}`);
      if (index % 4 === 1) {
        this.#emit(`fcvt.s.d ${register}, ${register}`);
      }
    }
    this.#emit('j main');
    for (let index = 0; index < 3; index++) {
      this.#function(`leaf${index}`, Math.ceil(size / 8));
    }
    this.#recursion();
    this.#emit('main:');
    this.#block(size, 0);
    this.#finish();
    return `${this.#lines.join('\n')}\n`;
  }

  #finish(): void {
    this.#emit('la gp, state');
    for (let register = 1; register < 32; register++) {
      // ra, sp and gp are where they are, which is the same in both.
      this.#emit(`sd x${register}, ${(register - 1) * 8}(gp)`);
    }
    for (let register = 0; register < 32; register++) {
      this.#emit(`fsd f${register}, ${(31 + register) * 8}(gp)`);
    }
    this.#emit('frflags a0', `sd a0, ${63 * 8}(gp)`);
    this.#emit('li a0, 1', 'la a1, state', `li a2, ${STATE_SIZE}`, 'li a7, 64', 'ecall');
    this.#emit('li a0, 0', 'li a7, 93', 'ecall', '1: j 1b');
    this.#emit('.data', '.balign 4096', 'state:', `.fill ${STATE_SIZE - DATA_SIZE}, 1, 0`, 'data:');
    for (let offset = 0; offset < DATA_SIZE; offset += 8) {
      this.#emit(`.dword ${this.#constant()}`);
    }
    this.#emit('table:', ...this.#functions.map((name) => `.dword ${name}`), '.dword leaf0');
    this.#emit('.bss', '.balign 16', '.fill 4096, 1, 0', 'stack_top:');
  }

  /** A function that uses no stack and calls nothing. */
  #function(name: string, size: number): void {
    this.#functions.push(name);
    this.#emit('.balign 4', `${name}:`);
    this.#block(size, FIRST_COUNTER_OF_CALLED, false);
    this.#emit('ret');
  }

  /** Calls itself twice, as many levels deep as a0 says. */
  #recursion(): void {
    this.#emit(
      'tree:',
      'addi sp, sp, -32',
      'sd ra, 0(sp)',
      'sd s11, 8(sp)',
      'addi s11, a0, -1',
      'blez a0, 1f',
    );
    this.#emit('mv a0, s11', 'call tree', 'add t0, t0, s11', 'mv a0, s11', 'call tree', '1:');
    this.#instruction();
    this.#emit('ld ra, 0(sp)', 'ld s11, 8(sp)', 'addi sp, sp, 32', 'addi t1, t1, 1', 'ret');
  }

  #block(size: number, depth: number, mayCall = true): void {
    for (let left = size; left > 0; ) {
      const choice = this.#random(20);
      if (choice === 0 && depth < (mayCall ? FIRST_COUNTER_OF_CALLED : COUNTERS.length)) {
        const length = Math.ceil(left / 2);
        this.#loop(length, depth, mayCall);
        left -= length;
      } else if (choice <= 2) {
        const length = Math.min(left, 1 + this.#random(6));
        this.#skip(length, depth, mayCall);
        left -= length;
      } else if (choice === 3 && mayCall) {
        this.#call();
        left -= 2;
      } else {
        this.#instruction();
        left--;
      }
    }
  }

  #loop(size: number, depth: number, mayCall: boolean): void {
    const label = this.#label();
    const counter = COUNTERS[depth];
    this.#emit(`li ${counter}, ${3 + this.#random(12)}`, `${label}:`);
    this.#block(size - 1, depth + 1, mayCall);
    this.#emit(`addi ${counter}, ${counter}, -1`, `bnez ${counter}, ${label}`);
  }

  #skip(size: number, depth: number, mayCall: boolean): void {
    const label = this.#label();
    this.#emit(`${this.#pick(BRANCHES)} ${this.#register()}, ${this.#register()}, ${label}`);
    this.#block(size, depth, mayCall);
    this.#emit(`${label}:`);
  }

  #call(): void {
    switch (this.#random(4)) {
      case 0:
        this.#emit(`li a0, ${1 + this.#random(4)}`, 'call tree');
        return;
      case 1:
        this.#emit(`andi t0, ${this.#register()}, 3`, 'slli t0, t0, 3', 'la t1, table', 'add t0, t0, t1');
        this.#emit('ld t0, 0(t0)', 'jalr t0');
        return;
      default:
        this.#emit(`call leaf${this.#random(3)}`);
    }
  }

  #instruction(): void {
    const rd = this.#pick(REGISTERS);
    const rs1 = this.#register();
    const rs2 = this.#register();
    switch (this.#random(12)) {
      case 0:
      case 1:
      case 2:
        this.#emit(`${this.#pick(REGISTER_OPERATIONS)} ${rd}, ${rs1}, ${rs2}`);
        return;
      case 3:
        this.#emit(`${this.#pick(IMMEDIATE_OPERATIONS)} ${rd}, ${rs1}, ${this.#random(4096) - 2048}`);
        return;
      case 4:
        this.#emit(`${this.#pick(SHIFTS)} ${rd}, ${rs1}, ${this.#random(64)}`);
        return;
      case 5:
        this.#emit(this.#random(2) === 0 ? `lui ${rd}, ${this.#random(1 << 20)}` : `mv ${rd}, ${rs1}`);
        return;
      case 6:
        this.#emit(`${this.#pick(LOADS)} ${rd}, ${this.#random(2000)}(s0)`);
        return;
      case 7:
        this.#emit(`${this.#pick(STORES)} ${rs2}, ${this.#random(2000)}(s0)`);
        return;
      case 8:
        this.#computedAccess(rd, rs1, rs2);
        return;
      case 9:
        this.#atomic(rd, rs2);
        return;
      default:
        this.#float(rd, rs1);
    }
  }

  /** An access whose address depends on data. */
  #computedAccess(rd: string, rs1: string, rs2: string): void {
    const isLoad = this.#random(2) === 0;
    const operation = this.#pick(isLoad ? LOADS : STORES);
    const width = WIDTH[operation[1] ?? 'd'] ?? 8;
    this.#emit(`andi t6, ${rs1}, ${0x7f8 & -width}`, 'add t6, t6, s0');
    this.#emit(`${operation} ${isLoad ? rd : rs2}, ${this.#random(8) * 8}(t6)`);
  }

  #atomic(rd: string, rs2: string): void {
    const width = this.#pick(['w', 'd']);
    this.#emit(`addi t6, s0, ${this.#random(200) * 8}`);
    if (this.#random(4) === 0) {
      this.#emit(`lr.${width} t5, (t6)`, `sc.${width} ${rd}, ${rs2}, (t6)`);
    } else {
      this.#emit(`${this.#pick(ATOMICS)}.${width} ${rd}, ${rs2}, (t6)`);
    }
  }

  #float(rd: string, rs1: string): void {
    const format = this.#pick(['s', 'd']);
    const [fd, fs1, fs2, fs3] = [0, 1, 2, 3].map(() => this.#pick(FLOAT_REGISTERS));
    const mode = this.#pick(ROUNDING_MODES);
    switch (this.#random(9)) {
      case 0:
      case 1: {
        const operation = this.#pick(FLOAT_BINARY);
        const rounds = /^f(?:add|sub|mul|div)$/.test(operation);
        this.#emit(`${operation}.${format} ${fd}, ${fs1}, ${fs2}${rounds ? `, ${mode}` : ''}`);
        return;
      }
      case 2:
        this.#emit(
          `${this.#pick(['fmadd', 'fmsub', 'fnmadd', 'fnmsub'])}.${format} ${fd}, ${fs1}, ${fs2}, ${fs3}, ${mode}`,
        );
        return;
      case 3:
        this.#emit(`${this.#pick(['feq', 'flt', 'fle'])}.${format} ${rd}, ${fs1}, ${fs2}`);
        return;
      case 4:
        this.#emit(`fcvt.${this.#pick(['w', 'wu', 'l', 'lu'])}.${format} ${rd}, ${fs1}, ${mode}`);
        return;
      case 5:
        this.#emit(`fcvt.${format}.${this.#pick(['l', 'lu'])} ${fd}, ${rs1}, ${mode}`);
        return;
      case 6:
        this.#emit(`fsqrt.${format} ${fd}, ${fs1}, ${mode}`, `fclass.${format} ${rd}, ${fs2}`);
        return;
      case 7:
        this.#emit(`fl${format === 's' ? 'w' : 'd'} ${fd}, ${this.#random(500) * 4}(s0)`);
        return;
      default:
        this.#emit(`fs${format === 's' ? 'w' : 'd'} ${fs1}, ${this.#random(250) * 8}(s0)`);
    }
  }

  #register(): string {
    return this.#random(12) === 0 ? 'zero' : this.#pick(REGISTERS);
  }

  /** Numbers near the edges, doubles that are ordinary, and anything. */
  #constant(): string {
    switch (this.#random(5)) {
      case 0:
        return String(this.#random(64) - 32);
      case 1:
        return `0x${(0x7ff0_0000_0000_0000n >> BigInt(this.#random(63))).toString(16)}`;
      case 2:
        return `0x3f${this.#random(0x100).toString(16).padStart(2, '0')}${this.#word().toString(16).padStart(8, '0')}0000`;
      default:
        return `0x${this.#word().toString(16)}${this.#word().toString(16).padStart(8, '0')}`;
    }
  }

  #label(): string {
    return `l${this.#labels++}`;
  }

  #emit(...lines: string[]): void {
    this.#lines.push(...lines);
  }

  #pick<T>(from: readonly T[]): T {
    return from[this.#random(from.length)] as T;
  }

  #random(limit: number): number {
    return this.#word() % limit;
  }

  /** xorshift32. */
  #word(): number {
    let x = this.#state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#state = x >>> 0;
    return this.#state;
  }
}
