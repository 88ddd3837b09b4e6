export { CompositeDisk } from './composite/composite-disk.ts';
export { type CompositePartition, createCompositeDisk } from './composite/create.ts';
export type { Component, CompositeSpecification } from './composite/specification.ts';
export {
  type ConvertOptions,
  type CreateDiskOptions,
  convertDisk,
  createDisk,
} from './convert.ts';
export { type CopyOptions, copyDisk } from './copy.ts';
export { detectFormat, FORMATS, type Format } from './detect.ts';
export type { Disk, Extent, WriteZeroesOptions } from './disk.ts';
export { DiskError, type DiskErrorCode } from './errors.ts';
export { AndroidSparseDisk } from './formats/android-sparse.ts';
export { VhdDisk } from './formats/vhd.ts';
export { VhdxDisk } from './formats/vhdx.ts';
export { VmdkDisk } from './formats/vmdk/vmdk-disk.ts';
export { ZstdDisk } from './formats/zstd-seekable.ts';
export { type DiskInfo, diskChain, diskInfo, type Qcow2Info } from './info.ts';
export { type MapEntry, mapDisk } from './map.ts';
export { type OpenDiskOptions, type OpenStorage, openDisk } from './open.ts';
export { type CheckOptions, type CheckResult, checkQcow2 } from './qcow2/check.ts';
export { formatQcow2, type Qcow2Format } from './qcow2/create.ts';
export type { CompressionType } from './qcow2/header.ts';
export type { Qcow2CacheOptions } from './qcow2/image.ts';
export { Qcow2Disk } from './qcow2/qcow2-disk.ts';
export type { Progress } from './qcow2/references.ts';
export type { Snapshot } from './qcow2/snapshots.ts';
export { RawDisk } from './raw.ts';
export { SegmentList, type Segments } from './segments.ts';
export { ExecutorStorage } from './storage/executor.ts';
export { FileStorage, type FileStorageOptions } from './storage/file.ts';
export { MemoryStorage } from './storage/memory.ts';
export { RecordingStorage, type StorageEvent } from './storage/recording.ts';
export { ReplacedFile } from './storage/replaced-file.ts';
export type { Pending, Storage } from './storage/storage.ts';
