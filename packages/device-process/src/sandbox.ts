import { fileURLToPath } from 'node:url';
import { type BlockedCall, type Jail, loadPolicy, type Policy } from '@tsvmm/jail';
import type { ProcessBackend } from './device.ts';

/** The policies that come with this package. */
const DIRECTORY = fileURLToPath(new URL('../policies/', import.meta.url));

/** The policies' files by the kind of back end. */
export const DEVICE_POLICIES: Readonly<Record<ProcessBackend['kind'], string>> = {
  balloon: 'balloon_device',
  block: 'block_device',
  console: 'console_device',
  // Its events come as a console's input does.
  input: 'console_device',
  'multiport-console': 'console_device',
  pmem: 'pmem_device',
  rng: 'rng_device',
  scsi: 'scsi_device',
};

/** How the processes of devices are confined; what is left out is as it comes. */
export interface Sandbox {
  /** A directory whose policies take the place of those of the same name (`--seccomp-policy-dir`). */
  readonly policyDirectory?: string;
  /** System calls that a policy does not allow are reported, and made (`--seccomp-log-failures`). */
  readonly logFailures?: boolean;
  /** A directory that becomes the processes' root; an empty, read-only one unless given (`--pivot-root`). */
  readonly root?: string;
}

/**
 * The system calls that the process of a device may make.
 *
 * @throws JailError BAD_POLICY
 */
export function devicePolicy(kind: ProcessBackend['kind'], directory?: string): Policy {
  return loadPolicy(DEVICE_POLICIES[kind], [...(directory === undefined ? [] : [directory]), DIRECTORY]);
}

/** @throws JailError BAD_POLICY */
export function jailFor(
  kind: ProcessBackend['kind'],
  { policyDirectory, logFailures = false, root }: Sandbox,
  onBlockedCall: (call: BlockedCall) => void,
): Jail {
  return {
    policy: devicePolicy(kind, policyDirectory),
    ...(root !== undefined && { root }),
    ...(logFailures && { onBlockedCall }),
  };
}
