export { array, bytes, Elements } from './array.ts';
export { AtomicBigCell, AtomicCell, AtomicWaitCell, atomic } from './atomic.ts';
export { StructError, type StructErrorCode } from './errors.ts';
export type { Kind, NativeScalar, Scalar, ValueOf, View } from './kind.ts';
export { type Accessor, type Fields, Layout, type StructOptions, struct, u64split } from './layout.ts';
export { SharedMutex } from './mutex.ts';
export { be16, be32, be64, be64big, i8, i16, i32, i64big, u8, u16, u32, u64, u64big } from './scalars.ts';
