/** Arguments of system calls that policies name, as <linux/…> and <asm-generic/…> define them for all architectures here. */
export const POLICY_CONSTANTS: ReadonlyMap<string, bigint> = new Map(
  Object.entries({
    // mmap, mprotect
    PROT_NONE: 0x0n,
    PROT_READ: 0x1n,
    PROT_WRITE: 0x2n,
    PROT_EXEC: 0x4n,
    MAP_SHARED: 0x01n,
    MAP_PRIVATE: 0x02n,
    MAP_FIXED: 0x10n,
    MAP_ANONYMOUS: 0x20n,
    MAP_NORESERVE: 0x4000n,
    MAP_STACK: 0x20000n,
    // madvise
    MADV_NORMAL: 0n,
    MADV_WILLNEED: 3n,
    MADV_DONTNEED: 4n,
    MADV_FREE: 8n,
    MADV_REMOVE: 9n,
    MADV_DONTFORK: 10n,
    MADV_HUGEPAGE: 14n,
    MADV_NOHUGEPAGE: 15n,
    MADV_DONTDUMP: 16n,
    MADV_COLD: 20n,
    MADV_PAGEOUT: 21n,
    // clone
    CLONE_VM: 0x100n,
    CLONE_THREAD: 0x10000n,
    CLONE_NEWNS: 0x20000n,
    CLONE_NEWUSER: 0x10000000n,
    CLONE_NEWNET: 0x40000000n,
    // fcntl
    F_DUPFD: 0n,
    F_GETFD: 1n,
    F_SETFD: 2n,
    F_GETFL: 3n,
    F_SETFL: 4n,
    F_SETLK: 6n,
    F_DUPFD_CLOEXEC: 1030n,
    F_GET_SEALS: 1034n,
    // prctl
    PR_SET_NAME: 15n,
    PR_SET_VMA: 0x53564d41n,
    // fallocate
    FALLOC_FL_KEEP_SIZE: 0x01n,
    FALLOC_FL_PUNCH_HOLE: 0x02n,
    FALLOC_FL_ZERO_RANGE: 0x10n,
    // statx, newfstatat
    AT_EMPTY_PATH: 0x1000n,
    // signals
    SIGABRT: 6n,
    // ioctl: generic, terminals, block devices, tap
    FIONREAD: 0x541bn,
    FIONBIO: 0x5421n,
    FIOCLEX: 0x5451n,
    TCGETS: 0x5401n,
    TIOCGWINSZ: 0x5413n,
    BLKGETSIZE64: 0x80081272n,
    BLKDISCARD: 0x1277n,
    BLKZEROOUT: 0x127fn,
    BLKSSZGET: 0x1268n,
    TUNSETOFFLOAD: 0x400454d0n,
  }),
);
