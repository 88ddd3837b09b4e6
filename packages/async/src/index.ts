export { AsyncFile } from './async-file.ts';
export { ExecutorError, type ExecutorErrorCode } from './errors.ts';
export {
  type AllocationMode,
  type Completion,
  type Executor,
  type ExecutorKind,
  NO_ROOM,
  type Segments,
} from './executor.ts';
export { type ExecutorOptions, type OpenedExecutor, openExecutor } from './open.ts';
