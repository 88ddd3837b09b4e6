export { toDts } from './dts.ts';
export { FdtError, type FdtErrorCode } from './errors.ts';
export { parseFdt } from './reader.ts';
export { DeviceTree, FdtNode, type Reservation } from './tree.ts';
export { type ToBytesOptions, toBytes } from './writer.ts';
