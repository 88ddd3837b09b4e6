export type { FilesystemSummary } from './builder.ts';
export type {
  Attributes,
  Chunk,
  DeviceEntry,
  DirectoryEntry,
  Entry,
  FileEntry,
  HardLinkEntry,
  InodeEntry,
  Name,
  Range,
  SpecialEntry,
  SymlinkEntry,
  Timestamp,
} from './entry.ts';
export { Ext2Error, type Ext2ErrorCode } from './errors.ts';
export type { FilesystemType } from './layout/features.ts';
export { type MakeOptions, type MakeProgress, makeFilesystem } from './make.ts';
export type { FilesystemOptions } from './options.ts';
export { type FilesystemPlan, type PlanOptions, planFilesystem } from './plan.ts';
export { type ScanOptions, scanDirectory } from './scan.ts';
export { readTar } from './tar/reader.ts';
export type { ImageTarget } from './target.ts';
