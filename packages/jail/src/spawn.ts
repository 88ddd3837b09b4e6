import { readFileSync } from 'node:fs';
import { getSystemErrorName } from 'node:util';
import { FileDescriptor } from '@tsvmm/base';
import { JailError } from './errors.ts';
import { native, SPAWN_STEPS } from './native.ts';

/** RLIMIT_* of <asm-generic/resource.h>. */
const RESOURCES = { coreBytes: 4, openFiles: 7, lockedBytes: 8 } as const;

/** What a process may use at most. */
export type ResourceLimits = Readonly<Partial<Record<keyof typeof RESOURCES, number>>>;

/** The user and group id that a process in namespaces has inside: anything but 0, which the kernel treats specially. */
const INSIDE_ID = 1000;

export interface SpawnOptions {
  /** Absolute path. */
  readonly program: string;
  readonly arguments: readonly string[];
  /** `NAME=value` each; nothing is inherited. */
  readonly environment: readonly string[];
  /** Become the program's descriptors 0, 1, …; it has no others. They stay the caller's. */
  readonly descriptors: readonly FileDescriptor[];
  readonly limits: ResourceLimits;
  /** Own user, mount, process, network, IPC and UTS namespaces, and no capabilities in them. */
  readonly namespaces: boolean;
  /** A seccomp filter that applies from before the program is executed. */
  readonly filter?: Uint8Array;
}

/**
 * Starts a program. It can gain no privileges (no_new_privs), and it is killed when the calling thread ends.
 *
 * @throws JailError NO_NAMESPACES, SETUP_FAILED
 */
export function spawnProcess(options: SpawnOptions): {
  readonly pid: number;
  readonly pidfd: FileDescriptor;
} {
  const limits = Object.entries(options.limits).flatMap(([name, value]) => [
    RESOURCES[name as keyof typeof RESOURCES],
    value,
  ]);
  const result = new Int32Array(4);
  native.spawn(
    options.program,
    options.arguments,
    options.environment,
    Int32Array.from(options.descriptors, (descriptor) => descriptor.number),
    Float64Array.from(limits),
    options.namespaces,
    INSIDE_ID,
    options.filter ?? new Uint8Array(),
    result,
  );
  const [pid = -1, pidfd = -1, step = -1, errno = 0] = result;
  if (step >= 0) throw spawnError(step, errno, options.namespaces);
  return { pid, pidfd: new FileDescriptor(pidfd) };
}

/** Errors that mean that the host does not let this user have namespaces. */
const REFUSALS: readonly string[] = ['EPERM', 'EACCES', 'ENOSPC', 'EUSERS', 'EINVAL', 'ENOSYS'];

function spawnError(step: number, errno: number, namespaces: boolean): JailError {
  const doing = SPAWN_STEPS[step] ?? 'start';
  const code = getSystemErrorName(-errno);
  const isRefusal =
    namespaces && step <= SPAWN_STEPS.indexOf('make the mounts private') && REFUSALS.includes(code);
  if (!isRefusal) return new JailError('SETUP_FAILED', `a jailed process could not ${doing} (${code})`);
  return new JailError(
    'NO_NAMESPACES',
    `this host does not let this user ${doing} (${code}), which sandboxes are made of: ${remedy()}, ` +
      'or run without sandboxes (--disable-sandbox)',
  );
}

/** Settings that keep users from having namespaces: where they are, what they are then, and what to set instead. */
const SETTINGS: readonly (readonly [name: string, refusing: string, remedy: string])[] = [
  ['kernel/unprivileged_userns_clone', '0', "set 'sysctl kernel.unprivileged_userns_clone=1'"],
  [
    'kernel/apparmor_restrict_unprivileged_userns',
    '1',
    "set 'sysctl kernel.apparmor_restrict_unprivileged_userns=0'",
  ],
  ['user/max_user_namespaces', '0', "set 'sysctl user.max_user_namespaces=10000'"],
];

function remedy(): string {
  for (const [name, refusing, text] of SETTINGS) {
    if (setting(name) === refusing) return text;
  }
  return 'allow user namespaces (in a container: its seccomp profile and its security options), or run as root';
}

function setting(name: string): string | undefined {
  try {
    return readFileSync(`/proc/sys/${name}`, 'utf8').trim();
  } catch {
    // Only some kernels have it.
    return undefined;
  }
}
