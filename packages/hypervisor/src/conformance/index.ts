export { type ConformanceCase, riscv64Cases } from './cases.ts';
