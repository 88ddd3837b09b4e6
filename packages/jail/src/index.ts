export { JailError, type JailErrorCode } from './errors.ts';
export { type BlockedCall, describeExit, type JailExit } from './exit.ts';
export { type Jail, JailedProcess, type JailedProcessOptions } from './jailed-process.ts';
export { loadPolicy } from './policies.ts';
export { type CompileOptions, compilePolicy } from './seccomp/compile.ts';
export {
  type Action,
  type Comparison,
  type Operator,
  type Policy,
  type PolicySource,
  parsePolicy,
  type Rule,
} from './seccomp/policy.ts';
export { type JailArchitecture, SYSTEM_CALLS, systemCallName } from './seccomp/system-calls.ts';
export type { ResourceLimits } from './spawn.ts';
