/**
 * The modules of the default guest, beside what they depend on: the virtio devices, the few others a VMM shows, and
 * the file systems a root or a share may have. A kernel that has one built in, or does not have it, goes without.
 */
export const GUEST_MODULES: readonly string[] = [
  // transports
  'virtio_pci',
  'virtio_mmio',
  // virtio devices
  'virtio_balloon',
  'virtio_blk',
  'virtio_console',
  'virtio_crypto',
  'virtio_gpu',
  'virtio_input',
  'virtio_iommu',
  'virtio_mem',
  'virtio_net',
  'virtio_pmem',
  'virtio_rng',
  'virtio_rtc',
  'virtio_scsi',
  'virtio_snd',
  'virtiofs',
  '9pnet_virtio',
  'vmw_vsock_virtio_transport',
  'nd_pmem',
  'sd_mod',
  'sr_mod',
  // input
  'evdev',
  'i8042',
  'atkbd',
  'serio',
  // platform devices
  'pvpanic_mmio',
  'pvpanic_pci',
  'rtc_cmos',
  'rtc_pl031',
  'gpio_keys',
  'button',
  // file systems
  '9p',
  'erofs',
  'ext4',
  'fuse',
  'isofs',
  'overlay',
  'squashfs',
  'vfat',
  'nls_ascii',
  'nls_cp437',
  'nls_iso8859_1',
  'nls_utf8',
  'loop',
  // what those ask the kernel's crypto layer for by an alias
  'crc32c_generic',
  'crc32c_cryptoapi',
  'crc32_generic',
  // sockets and networks
  'vsock',
  'vsock_diag',
  'af_packet',
  'ipv6',
  'tun',
];
