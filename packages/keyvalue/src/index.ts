export {
  type RecordFields,
  type RecordValue,
  record,
  type TaggedValue,
  tagged,
  tuple,
  vector,
} from './composites.ts';
export { Cursor, type Token } from './cursor.ts';
export { KeyValueError, type KeyValueErrorCode } from './errors.ts';
export { cpuSet, formatPciAddress, type PciAddress, pciAddress } from './machine.ts';
export { nearest } from './nearest.ts';
export {
  type FieldOptions,
  field,
  type Optional,
  optional,
  type ParseOptions,
  parse,
  type Schema,
  type ValueOf,
} from './schema.ts';
export {
  bigint,
  boolean,
  type NumberOptions,
  named,
  number,
  oneOf,
  quote,
  type StringOptions,
  size,
  string,
} from './values.ts';
