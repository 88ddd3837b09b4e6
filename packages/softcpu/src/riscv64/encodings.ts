/**
 * The 32-bit encodings of RV64IMAFD, Zicsr, Zifencei, Zba, Zbb, Zbs, Zicbom, Zicboz and the supervisor instructions, as
 * in the opcode listings of the unprivileged (chapter 37) and privileged (chapter 22) manuals.
 */

/** Which fields an encoding has, after the manual's instruction formats. */
export type Format =
  | 'R' // rd, rs1, rs2
  | 'R4' // rd, rs1, rs2, rs3, rounding mode
  | 'R-rm' // rd, rs1, rs2, rounding mode
  | 'R-unary' // rd, rs1
  | 'R-unary-rm' // rd, rs1, rounding mode
  | 'I' // rd, rs1, 12-bit immediate
  | 'shift' // rd, rs1, shift amount
  | 'S' // rs1, rs2, 12-bit immediate
  | 'B' // rs1, rs2, branch offset
  | 'U' // rd, upper immediate
  | 'J' // rd, jump offset
  | 'CSR' // rd, rs1 (or a 5-bit immediate in its place), CSR number
  | 'AMO' // rd, rs1, rs2, aq rl
  | 'fence' // predecessor and successor sets
  | 'address' // rs1: cache-block operations
  | 'none';

export interface Encoding {
  readonly operation: string;
  readonly format: Format;
  /** Bits that tell the operation, and their values. */
  readonly mask: number;
  readonly match: number;
}

/** Major opcodes (table 70), with the two low bits that every 32-bit instruction has. */
const LOAD = 0x03;
const LOAD_FP = 0x07;
const MISC_MEM = 0x0f;
const OP_IMM = 0x13;
const AUIPC = 0x17;
const OP_IMM_32 = 0x1b;
const STORE = 0x23;
const STORE_FP = 0x27;
const AMO = 0x2f;
const OP = 0x33;
const LUI = 0x37;
const OP_32 = 0x3b;
const MADD = 0x43;
const MSUB = 0x47;
const NMSUB = 0x4b;
const NMADD = 0x4f;
const OP_FP = 0x53;
const BRANCH = 0x63;
const JALR = 0x67;
const JAL = 0x6f;
const SYSTEM = 0x73;

const OPCODE_MASK = 0x7f;
const FUNCT3_MASK = 7 << 12;
const RS2_MASK = 31 << 20;
const FUNCT5_MASK = 31 << 27;
const FUNCT6_MASK = 63 << 26;
const FUNCT7_MASK = 127 << 25;
const IMMEDIATE_MASK = 0xfff << 20;

const byOpcode = (operation: string, format: Format, opcode: number): Encoding => ({
  operation,
  format,
  mask: OPCODE_MASK,
  match: opcode,
});

const byFunct3 = (operation: string, format: Format, opcode: number, funct3: number): Encoding => ({
  operation,
  format,
  mask: OPCODE_MASK | FUNCT3_MASK,
  match: opcode | (funct3 << 12),
});

const register = (operation: string, opcode: number, funct7: number, funct3: number): Encoding => ({
  operation,
  format: 'R',
  mask: OPCODE_MASK | FUNCT3_MASK | FUNCT7_MASK,
  match: opcode | (funct3 << 12) | (funct7 << 25),
});

/** An instruction of one source whose 12-bit immediate field tells the operation. */
const unary = (operation: string, opcode: number, immediate: number, funct3: number): Encoding => ({
  operation,
  format: 'R-unary',
  mask: OPCODE_MASK | FUNCT3_MASK | IMMEDIATE_MASK,
  match: opcode | (funct3 << 12) | (immediate << 20),
});

/** A shift by a 6-bit amount. */
const shift = (operation: string, opcode: number, funct6: number, funct3: number): Encoding => ({
  operation,
  format: 'shift',
  mask: OPCODE_MASK | FUNCT3_MASK | FUNCT6_MASK,
  match: opcode | (funct3 << 12) | (funct6 << 26),
});

/** A shift by a 5-bit amount. */
const shiftWord = (operation: string, funct7: number, funct3: number): Encoding => ({
  operation,
  format: 'shift',
  mask: OPCODE_MASK | FUNCT3_MASK | FUNCT7_MASK,
  match: OP_IMM_32 | (funct3 << 12) | (funct7 << 25),
});

const atomic = (name: string, funct5: number, rs2Mask = 0): Encoding[] =>
  [2, 3].map((funct3) => ({
    operation: `${name}_${funct3 === 2 ? 'w' : 'd'}`,
    format: 'AMO',
    mask: OPCODE_MASK | FUNCT3_MASK | FUNCT5_MASK | rs2Mask,
    match: AMO | (funct3 << 12) | (funct5 << 27),
  }));

const exact = (operation: string, match: number): Encoding => ({
  operation,
  format: 'none',
  mask: -1,
  match,
});

/** `fmt` field of floating-point instructions, and the suffix of their names. */
const FORMATS = [
  ['s', 0],
  ['d', 1],
] as const;

const fused = (name: string, opcode: number): Encoding[] =>
  FORMATS.map(([suffix, fmt]) => ({
    operation: `${name}_${suffix}`,
    format: 'R4',
    mask: OPCODE_MASK | (3 << 25),
    match: opcode | (fmt << 25),
  }));

const rounded = (name: string, funct5: number): Encoding[] =>
  FORMATS.map(([suffix, fmt]) => ({
    operation: `${name}_${suffix}`,
    format: 'R-rm',
    mask: OPCODE_MASK | FUNCT7_MASK,
    match: OP_FP | (((funct5 << 2) | fmt) << 25),
  }));

const exactFloat = (name: string, funct5: number, funct3: number): Encoding[] =>
  FORMATS.map(([suffix, fmt]) => register(`${name}_${suffix}`, OP_FP, (funct5 << 2) | fmt, funct3));

const convert = (operation: string, funct7: number, rs2: number): Encoding => ({
  operation,
  format: 'R-unary-rm',
  mask: OPCODE_MASK | FUNCT7_MASK | RS2_MASK,
  match: OP_FP | (funct7 << 25) | (rs2 << 20),
});

const move = (operation: string, funct7: number, funct3: number): Encoding =>
  unary(operation, OP_FP, funct7 << 5, funct3);

const integerConversions = FORMATS.flatMap(([suffix, fmt]) =>
  ['w', 'wu', 'l', 'lu'].flatMap((integer, rs2) => [
    convert(`fcvt_${integer}_${suffix}`, 0x60 | fmt, rs2),
    convert(`fcvt_${suffix}_${integer}`, 0x68 | fmt, rs2),
  ]),
);

export const ENCODINGS: readonly Encoding[] = [
  // RV64I.
  byOpcode('lui', 'U', LUI),
  byOpcode('auipc', 'U', AUIPC),
  byOpcode('jal', 'J', JAL),
  byFunct3('jalr', 'I', JALR, 0),
  byFunct3('beq', 'B', BRANCH, 0),
  byFunct3('bne', 'B', BRANCH, 1),
  byFunct3('blt', 'B', BRANCH, 4),
  byFunct3('bge', 'B', BRANCH, 5),
  byFunct3('bltu', 'B', BRANCH, 6),
  byFunct3('bgeu', 'B', BRANCH, 7),
  byFunct3('lb', 'I', LOAD, 0),
  byFunct3('lh', 'I', LOAD, 1),
  byFunct3('lw', 'I', LOAD, 2),
  byFunct3('ld', 'I', LOAD, 3),
  byFunct3('lbu', 'I', LOAD, 4),
  byFunct3('lhu', 'I', LOAD, 5),
  byFunct3('lwu', 'I', LOAD, 6),
  byFunct3('sb', 'S', STORE, 0),
  byFunct3('sh', 'S', STORE, 1),
  byFunct3('sw', 'S', STORE, 2),
  byFunct3('sd', 'S', STORE, 3),
  byFunct3('addi', 'I', OP_IMM, 0),
  byFunct3('slti', 'I', OP_IMM, 2),
  byFunct3('sltiu', 'I', OP_IMM, 3),
  byFunct3('xori', 'I', OP_IMM, 4),
  byFunct3('ori', 'I', OP_IMM, 6),
  byFunct3('andi', 'I', OP_IMM, 7),
  shift('slli', OP_IMM, 0x00, 1),
  shift('srli', OP_IMM, 0x00, 5),
  shift('srai', OP_IMM, 0x10, 5),
  register('add', OP, 0x00, 0),
  register('sub', OP, 0x20, 0),
  register('sll', OP, 0x00, 1),
  register('slt', OP, 0x00, 2),
  register('sltu', OP, 0x00, 3),
  register('xor', OP, 0x00, 4),
  register('srl', OP, 0x00, 5),
  register('sra', OP, 0x20, 5),
  register('or', OP, 0x00, 6),
  register('and', OP, 0x00, 7),
  byFunct3('addiw', 'I', OP_IMM_32, 0),
  shiftWord('slliw', 0x00, 1),
  shiftWord('srliw', 0x00, 5),
  shiftWord('sraiw', 0x20, 5),
  register('addw', OP_32, 0x00, 0),
  register('subw', OP_32, 0x20, 0),
  register('sllw', OP_32, 0x00, 1),
  register('srlw', OP_32, 0x00, 5),
  register('sraw', OP_32, 0x20, 5),
  byFunct3('fence', 'fence', MISC_MEM, 0),
  exact('ecall', 0x0000_0073),
  exact('ebreak', 0x0010_0073),
  // Zifencei.
  byFunct3('fence_i', 'none', MISC_MEM, 1),
  // Zicsr.
  byFunct3('csrrw', 'CSR', SYSTEM, 1),
  byFunct3('csrrs', 'CSR', SYSTEM, 2),
  byFunct3('csrrc', 'CSR', SYSTEM, 3),
  byFunct3('csrrwi', 'CSR', SYSTEM, 5),
  byFunct3('csrrsi', 'CSR', SYSTEM, 6),
  byFunct3('csrrci', 'CSR', SYSTEM, 7),
  // M.
  register('mul', OP, 0x01, 0),
  register('mulh', OP, 0x01, 1),
  register('mulhsu', OP, 0x01, 2),
  register('mulhu', OP, 0x01, 3),
  register('div', OP, 0x01, 4),
  register('divu', OP, 0x01, 5),
  register('rem', OP, 0x01, 6),
  register('remu', OP, 0x01, 7),
  register('mulw', OP_32, 0x01, 0),
  register('divw', OP_32, 0x01, 4),
  register('divuw', OP_32, 0x01, 5),
  register('remw', OP_32, 0x01, 6),
  register('remuw', OP_32, 0x01, 7),
  // A.
  ...atomic('lr', 0x02, RS2_MASK),
  ...atomic('sc', 0x03),
  ...atomic('amoswap', 0x01),
  ...atomic('amoadd', 0x00),
  ...atomic('amoxor', 0x04),
  ...atomic('amoand', 0x0c),
  ...atomic('amoor', 0x08),
  ...atomic('amomin', 0x10),
  ...atomic('amomax', 0x14),
  ...atomic('amominu', 0x18),
  ...atomic('amomaxu', 0x1c),
  // F and D.
  byFunct3('flw', 'I', LOAD_FP, 2),
  byFunct3('fld', 'I', LOAD_FP, 3),
  byFunct3('fsw', 'S', STORE_FP, 2),
  byFunct3('fsd', 'S', STORE_FP, 3),
  ...fused('fmadd', MADD),
  ...fused('fmsub', MSUB),
  ...fused('fnmsub', NMSUB),
  ...fused('fnmadd', NMADD),
  ...rounded('fadd', 0x00),
  ...rounded('fsub', 0x01),
  ...rounded('fmul', 0x02),
  ...rounded('fdiv', 0x03),
  convert('fsqrt_s', 0x2c, 0),
  convert('fsqrt_d', 0x2d, 0),
  ...exactFloat('fsgnj', 0x04, 0),
  ...exactFloat('fsgnjn', 0x04, 1),
  ...exactFloat('fsgnjx', 0x04, 2),
  ...exactFloat('fmin', 0x05, 0),
  ...exactFloat('fmax', 0x05, 1),
  ...exactFloat('fle', 0x14, 0),
  ...exactFloat('flt', 0x14, 1),
  ...exactFloat('feq', 0x14, 2),
  convert('fcvt_s_d', 0x20, 1),
  convert('fcvt_d_s', 0x21, 0),
  ...integerConversions,
  move('fmv_x_w', 0x70, 0),
  move('fmv_x_d', 0x71, 0),
  move('fclass_s', 0x70, 1),
  move('fclass_d', 0x71, 1),
  move('fmv_w_x', 0x78, 0),
  move('fmv_d_x', 0x79, 0),
  // Zba.
  register('add_uw', OP_32, 0x04, 0),
  register('sh1add', OP, 0x10, 2),
  register('sh2add', OP, 0x10, 4),
  register('sh3add', OP, 0x10, 6),
  register('sh1add_uw', OP_32, 0x10, 2),
  register('sh2add_uw', OP_32, 0x10, 4),
  register('sh3add_uw', OP_32, 0x10, 6),
  shift('slli_uw', OP_IMM_32, 0x02, 1),
  // Zbb.
  register('andn', OP, 0x20, 7),
  register('orn', OP, 0x20, 6),
  register('xnor', OP, 0x20, 4),
  unary('clz', OP_IMM, 0x600, 1),
  unary('ctz', OP_IMM, 0x601, 1),
  unary('cpop', OP_IMM, 0x602, 1),
  unary('sext_b', OP_IMM, 0x604, 1),
  unary('sext_h', OP_IMM, 0x605, 1),
  unary('clzw', OP_IMM_32, 0x600, 1),
  unary('ctzw', OP_IMM_32, 0x601, 1),
  unary('cpopw', OP_IMM_32, 0x602, 1),
  unary('zext_h', OP_32, 0x080, 4),
  unary('orc_b', OP_IMM, 0x287, 5),
  unary('rev8', OP_IMM, 0x6b8, 5),
  register('min', OP, 0x05, 4),
  register('minu', OP, 0x05, 5),
  register('max', OP, 0x05, 6),
  register('maxu', OP, 0x05, 7),
  register('rol', OP, 0x30, 1),
  register('ror', OP, 0x30, 5),
  shift('rori', OP_IMM, 0x18, 5),
  register('rolw', OP_32, 0x30, 1),
  register('rorw', OP_32, 0x30, 5),
  shiftWord('roriw', 0x30, 5),
  // Zbs.
  register('bclr', OP, 0x24, 1),
  register('bext', OP, 0x24, 5),
  register('binv', OP, 0x34, 1),
  register('bset', OP, 0x14, 1),
  shift('bclri', OP_IMM, 0x12, 1),
  shift('bexti', OP_IMM, 0x12, 5),
  shift('binvi', OP_IMM, 0x1a, 1),
  shift('bseti', OP_IMM, 0x0a, 1),
  // Zicbom, Zicboz.
  ...['cbo_inval', 'cbo_clean', 'cbo_flush', undefined, 'cbo_zero'].flatMap((operation, immediate) =>
    operation === undefined
      ? []
      : [
          {
            operation,
            format: 'address' as const,
            mask: OPCODE_MASK | FUNCT3_MASK | IMMEDIATE_MASK | (31 << 7),
            match: MISC_MEM | (2 << 12) | (immediate << 20),
          },
        ],
  ),
  // Supervisor.
  exact('sret', 0x1020_0073),
  exact('wfi', 0x1050_0073),
  {
    operation: 'sfence_vma',
    format: 'R',
    mask: OPCODE_MASK | FUNCT3_MASK | FUNCT7_MASK | (31 << 7),
    match: SYSTEM | (0x09 << 25),
  },
];
