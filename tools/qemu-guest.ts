import { spawn } from 'node:child_process';
import { GuestShell } from './guest-shell.ts';

/** A riscv64 guest in QEMU, whose memory vhost-user back ends can map, and at whose shell one types. */
export class QemuGuest extends GuestShell {
  constructor(
    { kernel, initrd }: { readonly kernel: string; readonly initrd: string },
    options: readonly string[],
  ) {
    super(
      spawn(
        'qemu-system-riscv64',
        [
          ...['-M', 'virt,memory-backend=ram', '-nographic', '-no-reboot', '-nodefaults', '-serial', 'stdio'],
          // Its back ends map the guest's memory.
          ...['-m', '256M', '-object', 'memory-backend-memfd,id=ram,size=256M,share=on'],
          ...['-kernel', kernel, '-initrd', initrd, '-append', 'console=ttyS0 quiet', ...options],
        ],
        { stdio: ['pipe', 'pipe', 'inherit'] },
      ),
    );
  }
}
