import { BOARD_OPTIONS } from './board.ts';
import { CONSOLE_OPTIONS } from './consoles.ts';
import type { OptionDefinition } from './definition.ts';
import { DISK_OPTIONS } from './disks.ts';
import { GUEST_OPTIONS } from './guest.ts';
import { HYPERVISOR_OPTIONS } from './hypervisor.ts';
import { INPUT_OPTIONS } from './input.ts';
import { ISOLATION_OPTIONS } from './isolation.ts';
import { MACHINE_OPTIONS } from './machine.ts';
import { NOT_BUILT_OPTIONS } from './not-built.ts';
import { VHOST_USER_OPTIONS } from './vhost-user.ts';

/** Every option of `tsvmm run`, besides the global ones. */
export const RUN_OPTIONS: readonly OptionDefinition[] = [
  ...GUEST_OPTIONS,
  ...MACHINE_OPTIONS,
  ...BOARD_OPTIONS,
  ...DISK_OPTIONS,
  ...CONSOLE_OPTIONS,
  ...INPUT_OPTIONS,
  ...VHOST_USER_OPTIONS,
  ...HYPERVISOR_OPTIONS,
  ...ISOLATION_OPTIONS,
  ...NOT_BUILT_OPTIONS,
];
