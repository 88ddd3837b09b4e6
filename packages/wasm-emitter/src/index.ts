export { ByteWriter } from './byte-writer.ts';
export { CodeBuilder, type Label, type Local } from './code-builder.ts';
export { type MemoryImport, ModuleBuilder } from './module-builder.ts';
export {
  type BlockType,
  EMPTY,
  F32,
  F64,
  I32,
  I64,
  Op,
  type Opcode,
  V128,
  type ValueType,
} from './opcodes.ts';
