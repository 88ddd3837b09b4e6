import { type OptionDefinition, unbuiltOptions } from './definition.ts';

const INTO_GUEST = 'Hand data to the guest in its initrd or with --params.';
const NO_CONTROL_SOCKET = 'Leave it out: there is no control socket yet; signals and Ctrl-A x end the guest.';
const NO_BALLOON_POLICY = 'Leave it out: the balloon has the size that --init-mem leaves for it.';
const BY_HOST = 'Leave it out, and set it for the whole process with the tools of the host.';
const NO_NETWORK = 'There is no network yet; exchange files with the guest on a disk: --block PATH.';
const NO_SCREEN = 'There is no screen yet; work with the guest on its console.';
const NO_SHARING = 'Put the files on a disk image (--block PATH) or into the initrd.';
const NO_PASSTHROUGH = 'Host devices cannot be handed to the guest yet; only disks and consoles can.';
const NO_PROTECTION = "Leave it out: the guest's memory is not hidden from the host.";
const ONE_KIND_OF_CPU = 'Leave it out: the CPUs are all alike.';
const X86 = 'Leave it out: x86_64 machines do without it.';
const AARCH64 = 'Leave it out: it is for aarch64 machines, which are not built yet.';
const WINDOWS = 'Leave it out: it is for Windows hosts.';
const ANDROID = 'Leave it out: it is for Android hosts.';

function replacedBy(option: string): string {
  return `It is an old spelling of ${option}, which is not built yet either.`;
}

/** Every other option of `crosvm run`: known, refused by name, with what to do instead. */
export const NOT_BUILT_OPTIONS: readonly OptionDefinition[] = [
  ...unbuiltOptions('Guest', INTO_GUEST, ['device-tree-overlay']),
  ...unbuiltOptions('Guest', 'In the guest, copy /sys/firmware/fdt.', ['dump-device-tree-blob']),
  ...unbuiltOptions('Guest', 'Leave it out: the board chooses the place.', ['fdt-position']),
  ...unbuiltOptions('Guest', 'Name the file systems in the initrd, or put root on a --block.', [
    'android-fstab',
  ]),
  ...unbuiltOptions('Guest', 'Keep the console in a file: --serial type=file,path=LOG,console.', ['pstore']),
  ...unbuiltOptions('Guest', 'Boot the guest anew, with its state on a --block.', ['restore']),

  ...unbuiltOptions('Machine', X86, [
    'break-linux-pci-config-io',
    'bus-lock-ratelimit',
    'enable-hwp',
    'force-calibrated-tsc-leaf',
    'itmt',
    's2idle',
  ]),
  ...unbuiltOptions('Machine', AARCH64, [
    'cpu-frequencies-khz',
    'cpu-ipc-ratio',
    'dev-pm',
    'no-pmu',
    'smccc-trng',
    'vhost-scmi',
    'virt-cpufreq',
    'virt-cpufreq-upstream',
  ]),
  ...unbuiltOptions('Machine', replacedBy('--cpus mte=[…]'), ['mte']),
  ...unbuiltOptions('Machine', replacedBy('--cpus clusters=[[…]]'), ['cpu-cluster']),
  ...unbuiltOptions('Machine', 'Leave it out: each CPU is a core of its own.', ['no-smt']),
  ...unbuiltOptions('Machine', ONE_KIND_OF_CPU, [
    'cpu-capacity',
    'dynamic-power-coefficient',
    'host-cpu-topology',
  ]),
  ...unbuiltOptions('Machine', BY_HOST, [
    'boost-uclamp',
    'core-scheduling',
    'cpu-affinity',
    'delay-rt',
    'hugepages',
    'lock-guest-memory',
    'per-vm-core-scheduling',
    'rt-cpus',
    'vcpu-cgroup-path',
  ]),
  ...unbuiltOptions('Machine', "Use the host's swap space.", ['swap']),
  ...unbuiltOptions('Machine', NO_BALLOON_POLICY, [
    'balloon-bias-mib',
    'balloon-control',
    'balloon-ws-num-bins',
    'balloon-ws-reporting',
  ]),
  ...unbuiltOptions('Machine', 'Leave it out: the board lays out the bus and the addresses.', [
    'disable-virtio-intx',
    'mmio-address-range',
    'pci-hotplug-slots',
    'stub-pci-device',
  ]),
  ...unbuiltOptions('Machine', 'Write --pci mem=[start=…,size=…].', ['pci-start']),
  ...unbuiltOptions('Machine', 'Leave it out: the guest runs on mains power.', ['battery']),
  ...unbuiltOptions('Machine', 'Leave it out: the guest keeps its own time.', ['pvclock']),

  ...unbuiltOptions('Disks', 'Attach the image as a disk: --block PATH.', ['file-backed-mapping']),
  ...unbuiltOptions('Disks', 'Make the image with mke2fs -d DIRECTORY and attach it: --block PATH.', [
    'pmem-ext2',
  ]),

  ...unbuiltOptions('Network', NO_NETWORK, ['net', 'slirp-capture-file']),
  ...unbuiltOptions('Network', replacedBy('--net'), [
    'host-ip',
    'mac',
    'net-vq-pairs',
    'netmask',
    'tap-fd',
    'tap-name',
    'vhost-net',
    'vhost-net-device',
  ]),
  ...unbuiltOptions(
    'Network',
    'Talk to the guest through a console: --serial type=unix-stream,path=SOCKET.',
    ['vsock'],
  ),
  ...unbuiltOptions('Network', replacedBy('--vsock'), ['cid', 'vhost-vsock-device', 'vhost-vsock-fd']),

  ...unbuiltOptions('Shared files', NO_SHARING, ['shared-dir']),

  ...unbuiltOptions('Graphics, input and sound', NO_SCREEN, [
    'display-window-keyboard',
    'display-window-mouse',
    'gpu',
    'gpu-cgroup-path',
    'gpu-render-server',
    'gpu-server-cgroup-path',
    'wayland-sock',
    'x-display',
  ]),
  ...unbuiltOptions('Graphics, input and sound', replacedBy('--gpu displays=[[…]]'), ['gpu-display']),
  ...unbuiltOptions('Graphics, input and sound', replacedBy('--input evdev'), ['evdev']),
  ...unbuiltOptions('Graphics, input and sound', 'Leave it out: the guest has no sound yet.', [
    'sound',
    'virtio-snd',
  ]),
  ...unbuiltOptions('Graphics, input and sound', 'Leave it out: the guest decodes in software.', [
    'media-decoder',
    'simple-media-device',
    'v4l2-proxy',
    'video-decoder',
    'video-encoder',
  ]),

  ...unbuiltOptions('Devices of the host', NO_PASSTHROUGH, [
    'coiommu',
    'vfio',
    'vfio-isolate-hotplug',
    'vfio-platform-pm',
    'vtpm-proxy',
  ]),
  ...unbuiltOptions('Devices of the host', replacedBy('--vfio'), ['vfio-platform']),

  ...unbuiltOptions('Isolation', 'Leave it out: no process of a device gets memory by a fork.', [
    'unmap-guest-memory-on-fork',
  ]),
  ...unbuiltOptions('Isolation', NO_PROTECTION, [
    'ffa',
    'process-invariants-handle',
    'process-invariants-size',
    'protected-vm',
    'protected-vm-with-firmware',
    'protected-vm-without-firmware',
    'swiotlb',
    'unprotected-vm-with-firmware',
  ]),

  ...unbuiltOptions('Hypervisor', 'Leave it out: no memory of the guest is read-only.', [
    'force-disable-readonly-mem',
  ]),

  ...unbuiltOptions('Control', NO_CONTROL_SOCKET, ['s/socket', 'suspended', 'suspended-vcpus']),
  ...unbuiltOptions('Control', 'Debug inside the guest, or follow its console.', ['gdb']),
  ...unbuiltOptions('Control', WINDOWS, [
    'crash-pipe-name',
    'exit-stats',
    'host-guid',
    'kernel-log-file',
    'log-file',
    'logs-directory',
    'product-channel',
    'product-name',
    'product-version',
    'service-pipe-name',
  ]),
  ...unbuiltOptions('Control', ANDROID, ['android-display-service', 'task-profiles']),
];
