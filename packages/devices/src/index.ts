export {
  attachAcpiPm,
  attachBus,
  attachCmosRtc,
  attachI8254,
  attachPcieSlot,
  attachPciRoot,
  attachPl011,
  attachPrimeCellRtc,
  attachUart16550,
  type BusDescriptor,
  type BusEntry,
  type DeviceDescriptor,
  describeBus,
} from './attach.ts';
export { type AccessSize, Bus, type BusAccess, type BusDevice, createBusAccess, readAllOnes } from './bus.ts';
export type { DeviceEnvironment, DeviceInterrupts, Signal } from './environment.ts';
export { DeviceError, type DeviceErrorCode } from './errors.ts';
export {
  createWiredOrState,
  type InterruptLine,
  type IntxDescriptor,
  type MsiEvents,
  type MsiSender,
  UNCONNECTED_LINE,
  WiredOrLine,
} from './interrupt.ts';
export { IoWorker, type IoWorkerOptions } from './io-worker/io-worker.ts';
export type { IoEnvironment } from './io-worker/protocol.ts';
export { serveDevices } from './io-worker/serve-devices.ts';
export { formatPciAddress, type PciAddress, parsePciAddress, routingId } from './pci/address.ts';
export { PciBridgeHeader } from './pci/bridge-header.ts';
export { PciBus } from './pci/bus.ts';
export {
  CONFIGURATION_SPACE_LENGTH,
  type PciBar,
  PciCapabilityId,
  PciCommand,
  PciConfigurationSpace,
  PciConfigurationSpaceBuilder,
  type PciIdentity,
  PciRegister,
} from './pci/configuration-space.ts';
export type { PciBridge, PciFunction } from './pci/function.ts';
export { describeMsix, MSIX_NO_VECTOR, Msix, type MsixDescriptor, type MsixPlacement } from './pci/msix.ts';
export { PcieRootPortDevice, PcieRootPortFunction } from './pci/pcie/root-port.ts';
export { PcieSlot } from './pci/pcie/slot.ts';
export { type PvpanicDescriptor, PvpanicDevice, PvpanicEvent, PvpanicFunction } from './pci/pvpanic.ts';
export {
  PCI_PORT_IO_LENGTH,
  PciMemoryConfig,
  PciMemoryWindow,
  PciPortIo,
  PciRoot,
} from './pci/root.ts';
export {
  type ConfigurationOnlyDescriptor,
  type InterruptRoute,
  type PciBridgeDevice,
  type PciDevice,
  type PciFunctionDescriptor,
  type PciRootDescriptor,
  PciTopology,
  type PciWindow,
} from './pci/topology.ts';
export {
  ACPI_PM_CONTROL_BLOCK,
  ACPI_PM_EVENT_BLOCK,
  ACPI_PM_GPE_COUNT,
  ACPI_PM_GPE0_BLOCK,
  ACPI_PM_GPE0_LENGTH,
  ACPI_PM_LENGTH,
  ACPI_PM_SLEEP_TYPE,
  AcpiPm,
  type AcpiPmDescriptor,
  type AcpiPmRequests,
  describeAcpiPm,
} from './platform/acpi-pm.ts';
export { announceChange, DeviceClock, type TimedDevice } from './platform/clock.ts';
export {
  CMOS_RTC_LENGTH,
  CMOS_RTC_PORT,
  CmosRtc,
  type CmosRtcDescriptor,
  type CmosRtcOptions,
  describeCmosRtc,
} from './platform/cmos-rtc.ts';
export { CmosTimeRegister } from './platform/cmos-time.ts';
export {
  DEBUGCON_LENGTH,
  DEBUGCON_PORT,
  Debugcon,
  type DebugconDescriptor,
  describeDebugcon,
} from './platform/debugcon.ts';
export {
  type BootDevice,
  bootOrderFile,
  describeFwCfg,
  FW_CFG_LENGTH,
  FW_CFG_PORT,
  FwCfg,
  type FwCfgDescriptor,
  type FwCfgFile,
} from './platform/fw-cfg.ts';
export { I8042, I8042_LENGTH, I8042_PORT, type I8042Descriptor } from './platform/i8042.ts';
export {
  describeI8254,
  I8254,
  I8254_FREQUENCY,
  I8254_LENGTH,
  I8254_PORT,
  type I8254Descriptor,
  SYSTEM_CONTROL_LENGTH,
  SYSTEM_CONTROL_PORT,
  type SystemControlDescriptor,
  SystemControlPort,
} from './platform/i8254.ts';
export { Pflash, type PflashDescriptor } from './platform/pflash.ts';
export { PflashFile, type PflashOptions } from './platform/pflash-file.ts';
export {
  describePrimeCellRtc,
  PRIMECELL_RTC_LENGTH,
  PrimeCellRtc,
  type PrimeCellRtcDescriptor,
  type PrimeCellRtcOptions,
  type PrimeCellRtcPart,
} from './platform/primecell-rtc.ts';
export { ByteRing } from './serial/byte-ring.ts';
export { describePl011, PL011_LENGTH, Pl011, type Pl011Descriptor } from './serial/pl011.ts';
export { SerialInput } from './serial/serial-input.ts';
export { SerialOutput, type SerialOutputOptions } from './serial/serial-output.ts';
export {
  DiscardSink,
  FileSink,
  openSerialSink,
  type SerialSink,
  type SerialSinkOptions,
  StreamSink,
  UnixStreamSink,
} from './serial/sinks.ts';
export { SyslogSink, type SyslogSinkOptions } from './serial/syslog-sink.ts';
export { withTimestamps } from './serial/timestamps.ts';
export {
  describeUart16550,
  UART16550_LENGTH,
  Uart16550,
  type Uart16550Descriptor,
} from './serial/uart16550.ts';
export { UnixDatagramSink } from './serial/unix-datagram-sink.ts';
export type { UsbDevice, UsbSetup, UsbSpeed, UsbTransfer } from './usb/device.ts';
export type { UsbDeviceDescriptor } from './usb/devices.ts';
export { KEYBOARD_REPORT_LENGTH, UsbKeyboard } from './usb/hid/keyboard.ts';
export { XhciController, type XhciControllerOptions } from './usb/xhci/controller.ts';
export { type XhciDescriptor, XhciDevice } from './usb/xhci/device.ts';
export type { BackendContext, VirtioBackend } from './virtio/backend.ts';
export { BackendHost, type BackendHostOptions } from './virtio/backend-host.ts';
export { BalloonBackend } from './virtio/balloon/balloon-backend.ts';
export { BALLOON_PAGE, type BalloonOptions, balloonModel } from './virtio/balloon/model.ts';
export type { BalloonStatistic, BalloonStats } from './virtio/balloon/stats.ts';
export { BlockBackend } from './virtio/block/block-backend.ts';
export { BLOCK_ID_LENGTH, type BlockOptions, blockModel } from './virtio/block/model.ts';
export type { DeviceCommand, DeviceReply } from './virtio/command.ts';
export {
  ConsoleBackend,
  type ConsoleBackendOptions,
  type ConsoleOptions,
  type ConsoleSize,
  consoleModel,
} from './virtio/console/console.ts';
export {
  MultiportConsoleBackend,
  multiportConsoleModel,
  type PortOptions,
  type PortStreams,
} from './virtio/console/multiport.ts';
export {
  type FeatureSet,
  featureSet,
  hasFeature,
  VirtioDeviceId,
  VirtioFeature,
  VirtioStatus,
} from './virtio/constants.ts';
export {
  type BackendDescriptor,
  type DeviceDescription,
  describeBlockDevice,
  describeScsiDevice,
  type LocalBackendDescriptor,
  openBackend,
  type ScsiDisk,
  type VirtioPciDescriptor,
  VirtioPciDevice,
} from './virtio/device.ts';
export { loadDeviceState, type StatefulDevice, saveDeviceState } from './virtio/device-state.ts';
export type { DiskImage, ImageEnvironment } from './virtio/disk-image.ts';
export { type CustomInput, readCustomInput } from './virtio/input/custom.ts';
export { INPUT_EVENT_LENGTH, InputBackend } from './virtio/input/input-backend.ts';
export {
  INPUT_KINDS,
  type InputKind,
  inputEvents,
  TOUCH_KINDS,
  type TouchArea,
  type TouchKind,
  touchEvents,
} from './virtio/input/kinds.ts';
export { type InputAxis, type InputDescription, inputModel } from './virtio/input/model.ts';
export type { BrokenDevice, DeviceLifecycleOptions } from './virtio/lifecycle.ts';
export type { PmemRange } from './virtio/pmem/model.ts';
export { VirtqueueError, type VirtqueueErrorCode } from './virtio/queue/errors.ts';
export { PackedQueue } from './virtio/queue/packed-queue.ts';
export { QueueServer, type QueueServerOptions } from './virtio/queue/queue-server.ts';
export { Segments } from './virtio/queue/segments.ts';
export { SplitQueue } from './virtio/queue/split-queue.ts';
export type { Virtqueue, VirtqueueOptions } from './virtio/queue/virtqueue.ts';
export type {
  OpenRemote,
  RemoteBackend,
  RemoteDescriptor,
  RemoteDevice,
  RemoteEvents,
  RemoteQueue,
} from './virtio/remote/remote-backend.ts';
export { RemoteHost, type RemoteHostOptions } from './virtio/remote/remote-host.ts';
export { RngBackend, rngModel } from './virtio/rng/rng.ts';
export type { VirtioInterrupt } from './virtio/transport/interrupt.ts';
export type { ConfigRange, VirtioDeviceModel } from './virtio/transport/registers.ts';
export { attachQueueState, createVirtioState, type VirtqueueState } from './virtio/transport/state.ts';
export type { Doorbell, PciClass } from './virtio/transport/virtio-pci.ts';
