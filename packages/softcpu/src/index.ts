export type { Instruction } from './riscv64/instruction.ts';
