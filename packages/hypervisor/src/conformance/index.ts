export { aarch64Cases } from './aarch64-cases.ts';
export type { ConformanceCase } from './case.ts';
export { riscv64Cases } from './riscv64-cases.ts';
export { x86Cases } from './x86_64-cases.ts';
