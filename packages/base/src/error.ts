import { getSystemErrorName } from 'node:util';

/** What to do about the errors whose remedy is not obvious from their name. */
const REMEDIES: Readonly<Record<string, string>> = {
  EACCES: 'permission denied: check the owner and mode of the file, or the groups of this user',
  EADDRINUSE: 'the address is in use: stop its owner, or remove the stale socket file',
  EAGAIN: 'the resource is busy for now: try again',
  EBADF: 'the descriptor is not open, or not for this direction',
  EBUSY: 'it is in use already: release it first',
  ECONNREFUSED: 'nobody listens there: start the other side first',
  EINTR: 'interrupted by a signal: try again',
  EINVAL: 'invalid argument',
  EMFILE: "this process has too many open files: raise its limit with 'ulimit -n'",
  EMSGSIZE: 'the message is larger than agreed',
  ENFILE: 'the host has too many open files: raise fs.file-max',
  ENODEV: 'this kind of file cannot be used like that',
  ENOENT: 'there is no such file: check the path',
  ENOLCK: 'the file system offers no locks: use another one',
  ENOMEM: 'out of memory, huge pages or mappings: ask for less, or raise vm.max_map_count or vm.nr_hugepages',
  ENOSPC: 'no space left: free some',
  ENOSYS: 'this kernel lacks the system call, or a sandbox hides it',
  ENOTCONN: 'there is no connection, or its other side has gone: connect again',
  // Linux has one number for this and EOPNOTSUPP, and Node calls it by this name.
  ENOTSUP: 'the file system or socket does not support this operation',
  ENOTTY: 'the descriptor is not the kind of device that can do this',
  EPERM: 'not permitted: this needs a privilege, or the file is sealed or does not support it',
  EPIPE: 'the other side has closed the connection',
  ETIMEDOUT: 'it took too long',
};

/**
 * A system call failed, or was refused before it was made because an argument cannot be right (`code` is then
 * `'EINVAL'`).
 */
export class SystemError extends Error {
  override readonly name = 'SystemError';
  /** The errno's name, such as `'ENOMEM'`. */
  readonly code: string;
  /** The errno, a positive number. */
  readonly errno: number;
  /** The system call, such as `'memfd_create'`. */
  readonly syscall: string;

  constructor(errno: number, syscall: string, what: string) {
    const code = getSystemErrorName(-errno);
    const remedy = REMEDIES[code];
    super(`${what} (${syscall}: ${code}${remedy === undefined ? '' : `, ${remedy}`})`);
    this.code = code;
    this.errno = errno;
    this.syscall = syscall;
  }
}

/** What to tell a person of something that was thrown: an error's message, anything else as it prints. */
export function reasonOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
