export { CpioError, type CpioErrorCode } from './errors.ts';
export type { FileType } from './header.ts';
export { type CpioEntry, readCpio } from './reader.ts';
export {
  type Attributes,
  CpioWriter,
  type CpioWriterOptions,
  cpioArchive,
  type DeviceNumber,
} from './writer.ts';
